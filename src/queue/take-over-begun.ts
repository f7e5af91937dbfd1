// Takes over what the parts of a run began, in order to undo it: a part never undoes what it did, its parent does.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';

// Of several children that began the same, the one that completed it counts, else the last. What the parent knows of an item
// stays; that it began, and what it noted for itself, only the child may know. Parts of an earlier life of the step, which were
// undone with a rollback to a step before it, are marked.
const take = statement(
  'take_over_begun_of_parts',
  `with fenced as (
    select run_id, tenant from cronwright.queue where run_id = $1 and token = $2 for share
  ), begun as (
    select distinct on (c.step, c.item) r.parent_id, c.step, c.item, c.state, c.attempts, c.retries, c.output, c.error,
      c.checkpoint, c.started_at, c.finished_at
    from cronwright.runs r
    join cronwright.step_runs c on c.run_id = r.id and c.step = r.child ->> 'step'
    where r.parent_id = any($3::uuid[]) and r.is_part is true and r.state is not null and r.child -> 'undone' is null
      and c.started_at is not null and c.state not in ('skipped', 'compensated')
      and (c.item >= 0 or (r.child ->> 'from')::int4 < 0)
    order by c.step, c.item, case when c.state = 'completed' then 0 else 1 end, (r.child ->> 'generation')::int4 desc
  ), taken as (
    insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, error, checkpoint,
      started_at, finished_at, retry_at, rate_limited_ms, done_by)
    select f.run_id, b.step, b.item, f.tenant,
      case when b.state in ('completed', 'failed') then b.state else 'cancelled' end, b.attempts, b.retries, $2::int8,
      case when b.state = 'completed' then b.output end, b.error, b.checkpoint, b.started_at, b.finished_at, null, 0,
      case when b.parent_id <> f.run_id then b.parent_id end
    from fenced f cross join begun b
    on conflict (run_id, step, item) do update
    set checkpoint = coalesce(excluded.checkpoint, step_runs.checkpoint),
      started_at = coalesce(step_runs.started_at, excluded.started_at),
      state = case when step_runs.item >= 0 and step_runs.state in ('pending', 'running', 'waiting', 'cancelled')
        then excluded.state else step_runs.state end,
      output = case when step_runs.item >= 0 and step_runs.state in ('pending', 'running', 'waiting', 'cancelled')
        then excluded.output else step_runs.output end,
      error = case when step_runs.item >= 0 and step_runs.state in ('pending', 'running', 'waiting', 'cancelled')
        then excluded.error else step_runs.error end,
      attempts = case when step_runs.item >= 0 and step_runs.state in ('pending', 'running', 'waiting', 'cancelled')
        then excluded.attempts else step_runs.attempts end,
      finished_at = case when step_runs.item >= 0 and step_runs.state in ('pending', 'running', 'waiting', 'cancelled')
        then excluded.finished_at else step_runs.finished_at end
    where step_runs.state <> 'compensated'
  )
  select b.step, b.state = 'completed' as completed, case when b.state = 'completed' then b.output end as output,
    b.started_at, b.finished_at
  from fenced f left join begun b on b.item < 0`,
  { idempotent: true },
);

/** What a part did of a step that it carried out as a whole. */
export interface BegunStep {
  isCompleted: boolean;
  /** Of a completed one. */
  output: Json | undefined;
  startedAt: Date;
  finishedAt: Date | null;
}

/**
 * Items go into the parent's own rows; of whole steps the children's part is given back. `parents`: the run itself, and the
 * ended run that it undoes. Undefined where the run is no longer the worker's. Call it once the parts have ended.
 */
export async function takeOverBegun(
  db: Queryable,
  run: { runId: string; token: number },
  parents: readonly string[],
): Promise<Map<string, BegunStep> | undefined> {
  const { rows } = await db.query<{
    step: string | null;
    completed: boolean;
    output: Json;
    started_at: Date;
    finished_at: Date | null;
  }>(take, [run.runId, run.token, parents]);
  if (rows.length === 0) return undefined;
  const begun = new Map<string, BegunStep>();
  for (const { step, completed, output, started_at, finished_at } of rows) {
    if (step === null) continue;
    begun.set(step, {
      isCompleted: completed,
      output: output ?? undefined,
      startedAt: started_at,
      finishedAt: finished_at,
    });
  }
  return begun;
}

// One whose own rollback failed waits for a person.
const live = statement(
  'count_live_parts',
  `select count(*)::int4 as n
  from cronwright.runs r join cronwright.queue q on q.run_id = r.id
  where r.parent_id = any($1::uuid[]) and r.is_part is true and r.state is null and q.state <> 'rollback_failed'`,
);

export async function countLiveParts(db: Queryable, parents: readonly string[]): Promise<number> {
  return (await db.query<{ n: number }>(live, [parents])).rows[0]?.n ?? 0;
}
