// How long earlier runs of a pipeline still took once they had completed the step that a run has completed last.
import { type Queryable, statement } from '../db/database.ts';
import type { PastRemainder } from '../domain/run-estimate.ts';

/** Runs that are looked back over. */
const mostRuns = 100;
/** Fewer say nothing. */
const fewestRuns = 3;

const lastStep = statement(
  'find_last_completed_step',
  `select step, finished_at from cronwright.step_runs
  where run_id = $1 and item = -1 and state = 'completed' and attempts > 0 and finished_at is not null
  order by finished_at desc nulls last limit 1`,
);

// Runs that began at somebody else's checkpoints skipped what others did.
const recentRuns = `with recent as (
    select id, state, started_at, finished_at, origin
    from cronwright.runs
    where tenant = $1 and pipeline = $2 and dry_run = $3 and is_part is not true
    order by id desc
    limit $4
  )`;

const whole = statement(
  'find_past_run_time',
  `${recentRuns}
  select count(*)::int4 as n,
    percentile_disc(0.5) within group (order by extract(epoch from finished_at - started_at)::float8 * 1000) as ms
  from recent where state = 'completed' and origin not in ('retry', 'fork') and started_at is not null`,
);

const rest = statement(
  'find_past_remainder',
  `${recentRuns}
  select count(*)::int4 as n,
    percentile_disc(0.5) within group (order by extract(epoch from r.finished_at - s.finished_at)::float8 * 1000) as ms
  from recent r
  cross join lateral (
    select finished_at from cronwright.step_runs
    where run_id = r.id and step = $5 and item = -1 and state = 'completed' and finished_at is not null
    limit 1
  ) s
  where r.state = 'completed' and r.origin not in ('retry', 'fork')`,
);

/** Undefined where too few runs of the pipeline have completed. */
export async function findPastRemainder(
  db: Queryable,
  run: { id: string; tenant: string; pipeline: string; dry_run: boolean; started_at: Date | null },
): Promise<PastRemainder | undefined> {
  if (run.started_at === null) return undefined;
  const of = [run.tenant, run.pipeline, run.dry_run, mostRuns];
  const [last] = (await db.query<{ step: string; finished_at: Date }>(lastStep, [run.id])).rows;
  const found = last
    ? await db.query<{ n: number; ms: number | null }>(rest, [...of, last.step])
    : await db.query<{ n: number; ms: number | null }>(whole, of);
  const [row] = found.rows;
  if (!row || row.n < fewestRuns || row.ms === null) return undefined;
  return { since: last?.finished_at ?? run.started_at, medianMs: Math.max(0, row.ms) };
}
