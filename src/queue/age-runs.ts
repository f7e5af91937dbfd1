// Ages: runs that have waited for long go up by one priority, so that nothing waits for ever behind what is more urgent.
import { type Queryable, statement } from '../db/database.ts';

/** Queues that age alike: those named, or (`isOthers`) all but those. */
export interface AgingQueues {
  queues: readonly string[];
  isOthers: boolean;
  agingMs: number;
}

const dueBefore = "coalesce($4::timestamptz, now()) - $3::int8 * interval '1 millisecond'";
const isOfQueues = "(substring(q.queue, '^[^{#@]+') = any($1::text[])) <> $2";
// In the line it comes to a run takes a place at the time of that line: its key was given out for another.
const raise = `update cronwright.queue
  set priority = (priority - 1)::int2, aged_at = coalesce($4::timestamptz, now()),
    fair = least(fair, coalesce((select f.tag from cronwright.fair_tags f
      where f.tenant = '' and f.queue = substring(queue.queue, '^[^{#@]+') and f.priority = queue.priority - 1), 0))
  where run_id = any(array(select run_id from due)) and state = 'pending' and priority > 1
  returning run_id`;

// Waiting counts from when the run could have started. Ids are in order of time: what is too young is not even read.
const ageFirst = statement(
  'age_runs',
  `with due as (
    select q.run_id from cronwright.queue q
    where q.run_id >= $6::uuid and q.run_id <= $7::uuid and q.state = 'pending' and q.priority > 1 and q.aged_at is null
      and q.enqueued_at <= ${dueBefore} and ${isOfQueues}
      and coalesce((select r.run_at from cronwright.runs r where r.id = q.run_id), q.enqueued_at) <= ${dueBefore}
    order by q.run_id
    limit $5
    for update skip locked
  )
  ${raise}`,
);

const ageAgain = statement(
  'age_runs_again',
  `with due as (
    select q.run_id from cronwright.queue q
    where q.aged_at <= ${dueBefore} and q.state = 'pending' and q.priority > 1 and ${isOfQueues}
    order by q.aged_at nulls last
    limit $5
    for update skip locked
  )
  ${raise}`,
);

/** Which of the runs that never went up are looked at: by their ids, which tell when they were made. */
export interface IdRange {
  from: string;
  to: string;
}

const allIds: IdRange = { from: '00000000-0000-0000-0000-000000000000', to: 'ffffffff-ffff-ffff-ffff-ffffffffffff' };

/** Returns how many went up, at most `limit` for the first time and as many once more: fewer than `limit` are all of them. */
export async function ageRuns(
  db: Queryable,
  { queues, isOthers, agingMs }: AgingQueues,
  options: { limit: number; now?: Date | null; ids?: IdRange | undefined },
): Promise<number> {
  const { from, to } = options.ids ?? allIds;
  const params = [queues, isOthers, agingMs, options.now ?? null, options.limit];
  const first = await db.query(ageFirst, [...params, from, to]);
  const again = await db.query(ageAgain, params);
  return first.rows.length + again.rows.length;
}
