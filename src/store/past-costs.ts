// What the steps of a pipeline have cost in its last completed runs.
import { type Queryable, statement } from '../db/database.ts';

/** Runs that are looked back over. */
const mostRuns = 20;

// The newest runs by the index of their pipeline, then one look-up a run.
const costs = statement(
  'find_past_costs',
  `with recent as (
    select id from (
      select id, state from cronwright.runs
      where tenant = $1 and pipeline = $2 and not dry_run and is_part is not true
      order by id desc
      limit 200
    ) newest
    where state = 'completed'
    order by id desc
    limit $3
  )
  select s.step, (sum(s.usd) / (select count(*) from recent))::float8 as usd
  from recent r
  cross join lateral (
    select c.step, c.usd from cronwright.costs c where c.whole_id = r.id and c.state <> 'held'
    offset 0
  ) s
  group by s.step`,
);

/** US dollars a run on average, by step; a step that has cost nothing is not in it. */
export async function loadPastCosts(db: Queryable, tenant: string, pipeline: string): Promise<Map<string, number>> {
  const { rows } = await db.query<{ step: string; usd: number }>(costs, [tenant, pipeline, mostRuns]);
  return new Map(rows.map(({ step, usd }) => [step, usd]));
}
