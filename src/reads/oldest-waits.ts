// How long the oldest run of each queue has been ready without ever being claimed: what says that workers are missing.
import { type Queryable, statement } from '../db/database.ts';

// Runs that were claimed before are left out: when they became ready again is kept nowhere. A run with a start time waits from
// then on, which its record alone knows; the oldest few hundred of a queue are looked up, so that a long backlog costs one sort.
const oldest = statement(
  'oldest_waits',
  `select s.queue, (extract(epoch from coalesce($1::timestamptz, now()) - min(o.due_at)) * 1000)::float8 as wait_ms
  from unnest($2::text[]) as s(queue)
  cross join lateral (
    select greatest(q.enqueued_at, coalesce(r.run_at, q.enqueued_at)) as due_at
    from (
      select run_id, enqueued_at from cronwright.queue
      where queue = s.queue and state = 'pending' and blocked_on is null and started_at is null
      order by enqueued_at
      limit 500
    ) q
    join cronwright.runs r on r.id = q.run_id
  ) o
  group by s.queue`,
);

export interface OldestWait {
  queue: string;
  waitMs: number;
}

/** One row for each of `queues` in which such a run stands. */
export async function oldestWaits(
  db: Queryable,
  queues: readonly string[],
  now: Date | null = null,
): Promise<OldestWait[]> {
  if (queues.length === 0) return [];
  const { rows } = await db.query<{ queue: string; wait_ms: number }>(oldest, [now, queues]);
  return rows.map((row) => ({ queue: row.queue, waitMs: Math.max(0, row.wait_ms) }));
}
