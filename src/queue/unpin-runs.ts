// Unpins runs: those that waited long enough for the node with their files, or whose node is gone, may go on at any.
import { type Queryable, statement } from '../db/database.ts';

// The route is the run's own without the directory; where its files are stays on record, so that who has them can tell.
const overdue = statement(
  'unpin_overdue_runs',
  `with late as (
    select run_id from cronwright.queue
    where state = 'pending' and pinned_at < coalesce($1::timestamptz, now()) - $2::int4 * interval '1 millisecond'
    order by pinned_at nulls last
    limit $3
    for update skip locked
  )
  update cronwright.queue set queue = split_part(queue, '@', 1), pinned_at = null
  where run_id = any(array(select run_id from late))
  returning run_id`,
  { idempotent: true },
);

// A running one is its worker's, or for the rescue.
const ofHomes = statement(
  'unpin_runs_of',
  `with left_behind as (
    select run_id from cronwright.queue
    where home = any($1::uuid[]) and pinned_at is not null and state <> 'running'
    limit $2
    for update skip locked
  )
  update cronwright.queue set queue = split_part(queue, '@', 1), pinned_at = null
  where run_id = any(array(select run_id from left_behind))
  returning run_id`,
  { idempotent: true },
);

// One look into the index per directory, however many runs are pinned to it.
const homes = statement(
  'find_pinned_homes',
  `with recursive k(home) as (
    (select home from cronwright.queue where pinned_at is not null and home is not null order by home nulls last limit 1)
    union all
    select n.home from k cross join lateral (
      select q.home from cronwright.queue q
      where q.pinned_at is not null and q.home > k.home
      order by q.home nulls last limit 1) n
  )
  select home from k limit 1000`,
  { idempotent: true },
);

const batch = 1_000;

/** Runs that could go on for longer than `afterMs`, and whose node did not take them. Returns how many. */
export async function unpinOverdueRuns(db: Queryable, afterMs: number, now: Date | null = null): Promise<number> {
  return repeat(async () => (await db.query(overdue, [now, afterMs, batch])).rows.length);
}

/** All runs pinned to the directories. Returns how many. */
export async function unpinRunsOf(db: Queryable, homeIds: readonly string[]): Promise<number> {
  if (homeIds.length === 0) return 0;
  return repeat(async () => (await db.query(ofHomes, [homeIds, batch])).rows.length);
}

/** The directories that runs are pinned to. */
export async function findPinnedHomes(db: Queryable): Promise<string[]> {
  return (await db.query<{ home: string }>(homes)).rows.map((row) => row.home);
}

async function repeat(work: () => Promise<number>): Promise<number> {
  let total = 0;
  for (;;) {
    const done = await work();
    total += done;
    if (done < batch) return total;
  }
}
