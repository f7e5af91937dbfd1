// Keeps what runs wait for: a question is asked once, and answered once, by a person or by time.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import type { AskedBy, AskedKind, Question, TimeoutPolicy, WaitState } from '../domain/wait.ts';

export interface WaitKey {
  runId: string;
  step: string;
  /** -1: the step itself. */
  item: number;
  key: string;
}

export interface WaitRow {
  step: string;
  item: number;
  key: string;
  kind: AskedKind;
  askedBy: AskedBy;
  attempt: number;
  message: string | null;
  form: Json;
  choices: string[] | null;
  onTimeout: TimeoutPolicy;
  askedAt: Date;
  timeoutAt: Date | null;
  state: WaitState;
  decision: string | null;
  data: Json;
  answeredBy: string | null;
  answeredAt: Date | null;
  /** The run's history says how it has ended. */
  told: boolean;
  /** Its time is up, by the database's clock, and nobody has written that down. */
  isDue: boolean;
}

const columns = `step, item, key, kind, asked_by as "askedBy", attempt, message, form, choices, on_timeout as "onTimeout",
    asked_at as "askedAt", timeout_at as "timeoutAt", state, decision, data, answered_by as "answeredBy",
    answered_at as "answeredAt", told`;

const find = statement(
  'find_wait',
  `select ${columns}, coalesce(state = 'open' and timeout_at <= coalesce($5::timestamptz, now()), false) as "isDue"
  from cronwright.waits where run_id = $1 and step = $2 and item = $3 and key = $4`,
);

// One look-up a run, as with their steps.
const load = statement(
  'load_waits',
  `select u.id as "runId", w.*
  from unnest($1::uuid[]) as u(id)
  cross join lateral (
    select ${columns}, coalesce(state = 'open' and timeout_at <= coalesce($2::timestamptz, now()), false) as "isDue"
    from cronwright.waits where run_id = u.id order by asked_at, key
    offset 0
  ) w`,
);

// Only the run's own worker asks: the share lock makes a rescue wait for this write, or this write see the rescue's token.
// A question that was cancelled with its run's last attempt may be asked again.
const open = statement(
  'open_wait',
  `with holder as (
    select run_id, tenant from cronwright.queue where run_id = $1 and token = $5 for share
  )
  insert into cronwright.waits (run_id, step, item, key, tenant, kind, asked_by, attempt, message, form, choices, approvers,
    starter_may_answer, asked_at, timeout_at, on_timeout, state, decision, data, answered_by, answered_at, told)
  select h.run_id, $2, $3, $4, h.tenant, $6, $7, $8, $9, $10::jsonb, $11::text[], $12::text[], $13,
    coalesce($16::timestamptz, now()), coalesce($16::timestamptz, now()) + $14::float8 * interval '1 millisecond', $15,
    $17, $18, $19::jsonb, $20, case when $17 = 'answered' then coalesce($16::timestamptz, now()) end, true
  from holder h
  on conflict (run_id, step, item, key) do update
  set state = excluded.state, attempt = excluded.attempt, message = excluded.message, form = excluded.form,
    asked_at = excluded.asked_at, timeout_at = excluded.timeout_at
  where waits.state = 'cancelled'
  returning timeout_at`,
  { idempotent: true },
);

const expire = statement(
  'expire_wait',
  `update cronwright.waits
  set state = 'timed_out', answered_at = coalesce($5::timestamptz, now()), told = false
  where run_id = $1 and step = $2 and item = $3 and key = $4 and state = 'open'
    and timeout_at <= coalesce($5::timestamptz, now())
  returning answered_at`,
  { idempotent: true },
);

const markTold = statement(
  'mark_waits_told',
  `update cronwright.waits w set told = true
  from unnest($2::text[], $3::int4[], $4::text[]) as u(step, item, key)
  where w.run_id = $1 and w.step = u.step and w.item = u.item and w.key = u.key and w.state <> 'open' and w.told = false`,
  { idempotent: true },
);

// A rollback takes the question with it, and what was told of it before says nothing of the one that is asked anew.
const isInHistory = statement(
  'find_told_wait',
  `select h.seq
  from cronwright.history h
  cross join lateral json_array_elements(h.transitions) as t(one)
  where h.run_id = $1 and h.at >= $6::timestamptz and t.one->>'event' = $5 and t.one->>'step' = $2
    and coalesce((t.one->>'item')::int4, -1) = $3 and t.one->'data'->>'key' = $4
  limit 1`,
);

const cancelOpen = statement(
  'cancel_waits',
  `update cronwright.waits set state = 'cancelled', answered_at = coalesce($2::timestamptz, now())
  where run_id = $1 and state = 'open'`,
  { idempotent: true },
);

const keyOf = ({ runId, step, item, key }: WaitKey) => [runId, step, item, key];

export async function findWait(db: Queryable, key: WaitKey, now: Date | null = null): Promise<WaitRow | undefined> {
  return (await db.query<WaitRow>(find, [...keyOf(key), now])).rows[0];
}

/** All questions of each run, open or not, in the order they were asked. */
export async function loadWaits(
  db: Queryable,
  runIds: readonly string[],
  now: Date | null = null,
): Promise<Map<string, WaitRow[]>> {
  const { rows } = await db.query<WaitRow & { runId: string }>(load, [runIds, now]);
  const byRun = new Map<string, WaitRow[]>();
  for (const { runId, ...row } of rows) byRun.set(runId, [...(byRun.get(runId) ?? []), row]);
  return byRun;
}

export interface NewWait extends WaitKey, Omit<Question, 'key'> {
  token: number;
  askedBy: AskedBy;
  attempt: number;
  /** Set where it is a record of what was done without asking. */
  answer?: { decision: string; data: Json; by: string };
}

/** Undefined where the question is there already, or the run is no longer the caller's. */
export async function openWait(
  db: Queryable,
  wait: NewWait,
  now: Date | null = null,
): Promise<{ timeoutAt: Date | null } | undefined> {
  const { answer } = wait;
  const { rows } = await db.query<{ timeout_at: Date | null }>(open, [
    ...keyOf(wait),
    wait.token,
    wait.kind,
    wait.askedBy,
    wait.attempt,
    wait.message,
    wait.form === null ? null : JSON.stringify(wait.form),
    wait.choices,
    wait.approvers,
    wait.starterMayAnswer,
    wait.timeoutMs,
    wait.onTimeout,
    now,
    answer === undefined ? 'open' : 'answered',
    answer?.decision ?? null,
    answer === undefined || answer.data === null ? null : JSON.stringify(answer.data),
    answer?.by ?? null,
  ]);
  const row = rows[0];
  return row && { timeoutAt: row.timeout_at };
}

/** When its time was found to be up; undefined where somebody has answered, or its time is not up. */
export async function expireWait(db: Queryable, key: WaitKey, now: Date | null = null): Promise<Date | undefined> {
  return (await db.query<{ answered_at: Date }>(expire, [...keyOf(key), now])).rows[0]?.answered_at;
}

/** Whether the run's history says so of the question that was asked then. */
export async function isToldOf(db: Queryable, key: WaitKey, event: string, askedAt: Date): Promise<boolean> {
  return (await db.query(isInHistory, [...keyOf(key), event, askedAt])).rows.length > 0;
}

/** The history says how these have ended: nobody has to look there any more. */
export async function markWaitsTold(
  db: Queryable,
  runId: string,
  keys: readonly Pick<WaitKey, 'step' | 'item' | 'key'>[],
): Promise<void> {
  await db.query(markTold, [
    runId,
    keys.map(({ step }) => step),
    keys.map(({ item }) => item),
    keys.map(({ key }) => key),
  ]);
}

export async function cancelOpenWaits(db: Queryable, runId: string, now: Date | null = null): Promise<void> {
  await db.query(cancelOpen, [runId, now]);
}
