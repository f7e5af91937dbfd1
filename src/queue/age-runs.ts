// Ages: runs that have waited for long go up by one priority, so that nothing waits for ever behind what is more urgent.
import { type Queryable, statement } from '../db/database.ts';

/** Queues that age alike: those named, or (`isOthers`) all but those. */
export interface AgingQueues {
  queues: readonly string[];
  isOthers: boolean;
  agingMs: number;
}

// Waiting counts from when the run could have started, and from its last step up. In the line it comes to it takes a place at
// the time of that line: its key was given out for another.
const age = statement(
  'age_runs',
  `with due as (
    select q.run_id from cronwright.queue q
    where q.state = 'pending' and q.priority > 1 and (substring(q.queue, '^[^{#@]+') = any($1::text[])) <> $2
      and coalesce(q.aged_at, q.enqueued_at) <= coalesce($4::timestamptz, now()) - $3::int8 * interval '1 millisecond'
      and coalesce((select r.run_at from cronwright.runs r where r.id = q.run_id), q.enqueued_at)
        <= coalesce($4::timestamptz, now()) - $3::int8 * interval '1 millisecond'
    order by q.run_id
    limit $5
    for update skip locked
  )
  update cronwright.queue
  set priority = (priority - 1)::int2, aged_at = coalesce($4::timestamptz, now()),
    fair = least(fair, coalesce((select f.tag from cronwright.fair_tags f
      where f.tenant = '' and f.queue = substring(queue.queue, '^[^{#@]+') and f.priority = queue.priority - 1), 0))
  where run_id = any(array(select run_id from due)) and state = 'pending' and priority > 1
  returning run_id`,
);

/** Returns how many went up, at most `limit`. */
export async function ageRuns(
  db: Queryable,
  { queues, isOthers, agingMs }: AgingQueues,
  options: { limit: number; now?: Date | null },
): Promise<number> {
  const { rows } = await db.query(age, [queues, isOthers, agingMs, options.now ?? null, options.limit]);
  return rows.length;
}
