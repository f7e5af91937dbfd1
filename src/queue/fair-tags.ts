// Keeps the order keys of all nodes together: each notes what it gave out, at most about once a second, and reads what others did.
import { type Queryable, statement } from '../db/database.ts';

/** What one node has to tell of one tenant at one queue and priority; tenant '' is the virtual time. */
export interface FairTag {
  tenant: string;
  queue: string;
  priority: number;
  tag: number;
}

export interface FairTagNote extends FairTag {
  /** How much of `tag` was given out since the last note: keys that nodes give out at the same time add up. */
  added: number;
}

// Not to be repeated blindly: it adds.
const note = statement(
  'note_fair_tags',
  `insert into cronwright.fair_tags (tenant, queue, priority, tag, added, updated_at)
  select u.tenant, u.queue, u.priority, u.tag, u.added, now()
  from unnest($1::text[], $2::text[], $3::int2[], $4::int8[], $5::int8[]) as u(tenant, queue, priority, tag, added)
  on conflict (queue, priority, tenant) do update
  set tag = greatest(fair_tags.tag, excluded.tag - excluded.added) + excluded.added, added = excluded.added,
    updated_at = excluded.updated_at
  returning tenant, queue, priority, tag`,
);

const news = statement(
  'read_fair_tags',
  `select tenant, queue, priority, tag from cronwright.fair_tags
  where updated_at >= now() - $1::int8 * interval '1 millisecond'`,
);

// Ids are in order of time: what was enqueued after the last note is at the end of the key.
const unnoted = statement(
  'read_unnoted_fair_tags',
  `select tenant, substring(queue, '^[^{#@]+') as queue, priority, max(fair) as tag
  from cronwright.queue where run_id >= $1::uuid and state <> 'scheduled' group by 1, 2, 3`,
);

const lastNote = statement(
  'last_fair_note',
  'select (extract(epoch from max(updated_at)) * 1000)::float8 as at_ms from cronwright.fair_tags',
);

const forget = statement(
  'forget_fair_tags',
  `delete from cronwright.fair_tags
  where tenant <> '' and updated_at < now() - interval '1 hour' and tag <= (
    select v.tag from cronwright.fair_tags v
    where v.tenant = '' and v.queue = fair_tags.queue and v.priority = fair_tags.priority)`,
);

/** In one order on every node, so that none waits for another. Returns what the rows hold now. */
export async function noteFairTags(db: Queryable, notes: readonly FairTagNote[]): Promise<FairTag[]> {
  if (notes.length === 0) return [];
  const sorted = [...notes].sort(
    (a, b) => compare(a.queue, b.queue) || a.priority - b.priority || compare(a.tenant, b.tenant),
  );
  const { rows } = await db.query<FairTag>(note, [
    sorted.map((one) => one.tenant),
    sorted.map((one) => one.queue),
    sorted.map((one) => one.priority),
    sorted.map((one) => one.tag),
    sorted.map((one) => one.added),
  ]);
  return rows;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** What was noted within the last `withinMs` milliseconds. */
export async function readFairTags(db: Queryable, withinMs: number): Promise<FairTag[]> {
  return (await db.query<FairTag>(news, [withinMs])).rows;
}

/** What was given out shortly before every node went away, and never noted. */
export async function readUnnotedFairTags(db: Queryable): Promise<FairTag[]> {
  const { rows } = await db.query<{ at_ms: number | null }>(lastNote);
  const atMs = rows[0]?.at_ms;
  if (atMs === null || atMs === undefined) return [];
  return (await db.query<FairTag>(unnoted, [firstIdOf(atMs - clocksDifferMs)])).rows;
}

/** Clocks of clients, which make the ids, differ by less. */
const clocksDifferMs = 60_000;

/** The smallest UUID v7 of an instant. */
export function firstIdOf(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

/** Tenants that have nothing left before the virtual time need no row. */
export async function forgetFairTags(db: Queryable): Promise<void> {
  await db.query(forget);
}
