// Threads of messages of runs: added once a call however often a step is tried, and seen by each attempt as its step first saw them.
import { type Database, type Queryable, RollBack, statement } from '../db/database.ts';
import type { CostPlace } from './cost-place.ts';

export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface Exchange {
  thread: string;
  /** Names the call: the same for the same call of any attempt. */
  key: string;
  messages: readonly Message[];
}

export interface SaidMessage extends Message {
  seq: number;
  owner: string;
  attempt: number;
  token: number;
}

const load = statement(
  'load_conversation',
  `select seq, role, content, owner, attempt, token from cronwright.conversations
  where run_id = $1 and thread = $2 order by seq`,
);

// Only the run's own worker speaks: the share lock makes a rescue wait for this write, or this write see the rescue's token.
const holder = statement(
  'lock_speaking_run',
  'select run_id from cronwright.queue where run_id = $1 and token = $2 for share',
);

const saidBefore = statement(
  'find_said_messages',
  'select seq, n from cronwright.conversations where run_id = $1 and thread = $2 and key = $3 order by n',
);

// A later attempt's words stand where the earlier one's stood: what others have said since comes after them.
const sayAgain = statement(
  'replace_messages',
  `update cronwright.conversations c
  set role = u.role, content = u.content, attempt = $4, token = $5, at = coalesce($9::timestamptz, now())
  from unnest($6::int4[], $7::text[], $8::text[]) as u(n, role, content)
  where c.run_id = $1 and c.thread = $2 and c.key = $3 and c.n = u.n`,
);

const unsay = statement(
  'drop_messages',
  'delete from cronwright.conversations where run_id = $1 and thread = $2 and key = $3 and n >= $4',
);

// Of two who speak at once one finds its place taken, and looks for the next.
const say = statement(
  'append_messages',
  `insert into cronwright.conversations (run_id, thread, seq, tenant, role, content, owner, key, n, step, item, attempt,
    token, at)
  select $1, $2, l.last + row_number() over (order by u.n)::int4, $3, u.role, u.content, $4, $5, u.n, $6, $7, $8, $9,
    coalesce($13::timestamptz, now())
  from (select coalesce(max(seq), 0)::int4 as last from cronwright.conversations where run_id = $1 and thread = $2) l
  cross join unnest($10::int4[], $11::text[], $12::text[]) as u(n, role, content)
  on conflict do nothing
  returning seq`,
);

// What kept steps have said, and completed items of those that go on; each message where it stood.
const copy = statement(
  'copy_conversations',
  `insert into cronwright.conversations (run_id, thread, seq, tenant, role, content, owner, key, n, step, item, attempt, token,
    said_in, at)
  select $2, c.thread, c.seq, c.tenant, c.role, c.content, c.owner, c.key, c.n, c.step, c.item, c.attempt, c.token,
    coalesce(c.said_in, c.run_id), c.at
  from cronwright.conversations c
  where c.run_id = $1 and (c.step = any($3::text[]) or (c.item >= 0 and c.step = any($4::text[]) and exists (
    select 1 from cronwright.step_runs s
    where s.run_id = c.run_id and s.step = c.step and s.item = c.item and s.state = 'completed')))
  on conflict do nothing`,
);

/** All that was said in a thread, oldest first. */
export async function loadThread(db: Queryable, runId: string, thread: string): Promise<SaidMessage[]> {
  return (await db.query<SaidMessage>(load, [runId, thread])).rows;
}

/** The thread as this attempt is to see it. */
export async function loadConversation(db: Queryable, by: CostPlace, thread: string): Promise<Message[]> {
  return asFirstSeen(await loadThread(db, by.wholeId, thread), by).map(({ role, content }) => ({ role, content }));
}

/**
 * Up to the first word of an earlier attempt of the same step: what that attempt said, this one is about to say, and what came after
 * it did not see. So an attempt that repeats another asks the same.
 */
export function asFirstSeen<Said extends Pick<SaidMessage, 'owner' | 'attempt' | 'token'>>(
  messages: readonly Said[],
  by: Pick<CostPlace, 'idempotencyKey' | 'attempt' | 'token'>,
): Said[] {
  const isOfBefore = ({ owner, attempt, token }: Said) =>
    owner === by.idempotencyKey && (attempt !== by.attempt || token !== by.token);
  const first = messages.findIndex(isOfBefore);
  return messages.slice(0, first < 0 ? undefined : first);
}

/** Somebody else took the place: the transaction leaves nothing behind, and is tried again. */
class PlaceTaken extends RollBack {}

const mostTries = 50;

/** False where the run is no longer the caller's; nothing was said then. */
export async function appendConversation(
  db: Database,
  by: CostPlace,
  exchange: Exchange,
  now: Date | null = null,
): Promise<boolean> {
  return whileTaken(() => db.transaction((tx) => appendConversationIn(tx, by, exchange, now), { idempotent: true }));
}

/** Repeats a transaction that speaks, as often as another was quicker. */
export async function whileTaken<T>(send: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof PlaceTaken) || tries >= mostTries) throw error;
    }
  }
}

/** Within `whileTaken`. */
export async function appendConversationIn(
  tx: Queryable,
  by: CostPlace,
  { thread, key, messages }: Exchange,
  now: Date | null,
): Promise<boolean> {
  if ((await tx.query(holder, [by.runId, by.token])).rows.length === 0) return false;
  const before = (await tx.query(saidBefore, [by.wholeId, thread, key])).rows.length;
  const roles = messages.map(({ role }) => role);
  const contents = messages.map(({ content }) => content);
  const numbers = messages.map((_, n) => n);
  if (before > 0) {
    const place = [by.wholeId, thread, key];
    await tx.query(sayAgain, [...place, by.attempt, by.token, numbers, roles, contents, now]);
    if (before > messages.length) await tx.query(unsay, [...place, messages.length]);
  }
  const rest = numbers.slice(before);
  if (rest.length === 0) return true;
  const { count } = await tx.query(say, [
    ...[by.wholeId, thread, by.tenant, by.idempotencyKey, key, by.step, by.item, by.attempt, by.token],
    ...[rest, roles.slice(before), contents.slice(before), now],
  ]);
  if (count < rest.length) throw new PlaceTaken('another said something at the same time');
  return true;
}

/** A run that goes on from another begins with what the steps that it keeps have said. */
export async function takeOverConversations(
  tx: Queryable,
  runs: { from: string; to: string },
  steps: { kept: readonly string[]; continued: readonly string[] },
): Promise<void> {
  await tx.query(copy, [runs.from, runs.to, steps.kept, steps.continued]);
}
