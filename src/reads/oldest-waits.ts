// How long the oldest run of each queue has been ready without ever being claimed: what says that workers are missing.
import { type Queryable, statement } from '../db/database.ts';
import { queueOfRoute } from '../domain/route.ts';

// Runs that were claimed before are left out: when they became ready again is kept nowhere. A run with a start time waits from
// then on, which its record alone knows; the oldest few hundred of a queue are looked up, so that a long backlog costs one sort.
const oldest = statement(
  'oldest_waits',
  `select s.route, (extract(epoch from coalesce($1::timestamptz, now()) - min(o.due_at)) * 1000)::float8 as wait_ms
  from unnest($2::text[]) as s(route)
  cross join lateral (
    select greatest(q.enqueued_at, coalesce(r.run_at, q.enqueued_at)) as due_at
    from (
      select run_id, enqueued_at from cronwright.queue
      where queue = s.route and state = 'pending' and blocked_on is null and started_at is null
      order by enqueued_at
      limit 500
    ) q
    join cronwright.runs r on r.id = q.run_id
  ) o
  group by s.route`,
);

export interface OldestWait {
  queue: string;
  waitMs: number;
}

/** One row for each queue with such a run on one of its `routes`. */
export async function oldestWaits(
  db: Queryable,
  routes: readonly string[],
  now: Date | null = null,
): Promise<OldestWait[]> {
  if (routes.length === 0) return [];
  const { rows } = await db.query<{ route: string; wait_ms: number }>(oldest, [now, routes]);
  const longest = new Map<string, number>();
  for (const { route, wait_ms: waitMs } of rows) {
    const queue = queueOfRoute(route);
    longest.set(queue, Math.max(0, waitMs, longest.get(queue) ?? 0));
  }
  return [...longest].map(([queue, waitMs]) => ({ queue, waitMs }));
}
