// How long the last completed runs of a pipeline and attempts of its steps took, as percentiles.
import { type Queryable, statement } from '../db/database.ts';
import type { DurationSample } from '../domain/adaptive-timeout.ts';

/** Runs that are looked back over. */
const mostRuns = 200;
/** Items of one fan-out in one run that are looked at. */
const mostItems = 100;

// The newest runs by the index of their pipeline, then one look-up a run and step. Only what went through at its first attempt:
// of others the record holds the time with all their waits.
const durations = statement(
  'find_past_durations',
  `with recent as (
    select id, state, attempt, started_at, finished_at
    from cronwright.runs
    where tenant = $1 and pipeline = $2 and not dry_run and is_part is not true
    order by id desc
    limit $3
  ), took as (
    select '' as step, extract(epoch from r.finished_at - r.started_at)::float8 * 1000 as ms
    from recent r where r.state = 'completed' and r.attempt = 1
    union all
    select s.step, s.ms
    from recent r
    cross join unnest($4::text[], $5::bool[]) as w(step, has_items)
    cross join lateral (
      select t.step, extract(epoch from t.finished_at - t.started_at)::float8 * 1000 as ms
      from cronwright.step_runs t
      where t.run_id = r.id and t.step = w.step and (t.item >= 0) = w.has_items and t.state = 'completed'
        and t.attempts = 1 and t.started_at is not null
      limit $6
    ) s
  )
  select step, count(*)::int4 as n,
    percentile_disc(0.5) within group (order by ms) as p50, percentile_disc(0.9) within group (order by ms) as p90,
    percentile_disc(0.95) within group (order by ms) as p95, percentile_disc(0.99) within group (order by ms) as p99
  from took
  where ms is not null
  group by step`,
);

export interface PastDurations {
  run: DurationSample | undefined;
  steps: ReadonlyMap<string, DurationSample>;
}

export async function loadPastDurations(
  db: Queryable,
  of: { tenant: string; pipeline: string; steps: readonly { id: string; hasItems: boolean }[] },
): Promise<PastDurations> {
  const { rows } = await db.query<{ step: string; n: number; p50: number; p90: number; p95: number; p99: number }>(
    durations,
    [
      of.tenant,
      of.pipeline,
      mostRuns,
      of.steps.map(({ id }) => id),
      of.steps.map(({ hasItems }) => hasItems),
      mostItems,
    ],
  );
  const steps = new Map<string, DurationSample>();
  for (const { step, n, p50, p90, p95, p99 } of rows) {
    steps.set(step, { count: n, ms: { 50: p50, 90: p90, 95: p95, 99: p99 } });
  }
  const run = steps.get('');
  steps.delete('');
  return { run, steps };
}
