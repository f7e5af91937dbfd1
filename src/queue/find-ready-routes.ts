// Names the routes on which runs are ready, whoever serves them.
import { type Queryable, statement } from '../db/database.ts';

// One look into the index per route, however many runs wait on each.
const readyRoutes = statement(
  'find_ready_routes',
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

export async function findReadyRoutes(db: Queryable): Promise<string[]> {
  return (await db.query<{ queue: string }>(readyRoutes)).rows.map((row) => row.queue);
}
