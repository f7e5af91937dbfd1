// Names the queues in which runs are ready, whoever serves them.
import { type Queryable, statement } from '../db/database.ts';

// One look into the index per queue, however many runs wait in each.
const readyQueues = statement(
  'find_ready_queues',
  `with recursive k(queue) as (
    (select queue from cronwright.queue where state = 'pending' and blocked_on is null order by queue limit 1)
    union all
    select n.queue from k cross join lateral (
      select q.queue from cronwright.queue q
      where q.state = 'pending' and q.blocked_on is null and q.queue > k.queue
      order by q.queue limit 1) n
  )
  select queue from k limit 1000`,
  { idempotent: true },
);

export async function findReadyQueues(db: Queryable): Promise<string[]> {
  return (await db.query<{ queue: string }>(readyQueues)).rows.map((row) => row.queue);
}
