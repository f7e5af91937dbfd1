// How new runs travel into SQL: one array a column, and the two inserts that every way of enqueueing shares.
import type { NewRun } from '../domain/new-run.ts';
import { routeOf } from '../domain/route.ts';

/** Separates slot keys within one text parameter; ids cannot contain it. */
const limitSeparator = '\n';

/** `unnest` of the parameters $1…$19 of `runParams`, in the same order. `queue` is the route: the queue with its labels. */
const columns = `$1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::int4[], $8::bool[],
    $9::text[], $10::int2[], $11::text[], $12::text[], $13::text[], $14::bool[], $15::text[], $16::uuid[], $17::text[],
    $18::timestamptz[], $19::text[]`;
const columnNames = `id, tenant, pipeline, pipeline_version, schedule, nominal_at, nominal_count, late, origin,
    priority, queue, weight, inputs, dry_run, actor, parent_id, traceparent, run_at, limits`;

export const runInsert = `insert into cronwright.runs (
    id, tenant, pipeline, pipeline_version, schedule, nominal_at, nominal_count, late, origin, priority, queue,
    inputs, dry_run, actor, parent_id, traceparent, created_at, run_at)
  select u.id, u.tenant, u.pipeline, u.pipeline_version, u.schedule, u.nominal_at, u.nominal_count, u.late, u.origin,
    u.priority, split_part(u.queue, '{', 1), u.inputs::jsonb, u.dry_run, u.actor, u.parent_id, u.traceparent,
    coalesce($20::timestamptz, now()), u.run_at
  from unnest(
    ${columns}
  ) as u(${columnNames})`;

/**
 * A run that needs slots is born blocked on the first of them; without limits it is born ready, and held while its pipeline or
 * tenant is paused, which is a look into a table that is empty nearly always. `fair` is the number of the
 * parameter that `fairParam` makes.
 */
export const queueInsert = (fair: number): string => `insert into cronwright.queue (
    run_id, tenant, queue, pipeline, pipeline_version, schedule, priority, fair, weight, state, paused_from, held_by, limits,
    blocked_on, run_at, token, claims, attempt, enqueued_at)
  select u.id, u.tenant, u.queue, u.pipeline, u.pipeline_version, u.schedule, u.priority, u.fair, u.weight,
    case when h.id is not null then 'paused' when u.run_at > coalesce($20::timestamptz, now()) then 'scheduled'
      else 'pending' end,
    case when h.id is null then null when u.run_at > coalesce($20::timestamptz, now()) then 'scheduled' else 'pending' end,
    h.id,
    string_to_array(u.limits, e'\\n'), split_part(u.limits, e'\\n', 1),
    case when u.run_at > coalesce($20::timestamptz, now()) then u.run_at end,
    0, 0, 1, coalesce($20::timestamptz, now())
  from unnest(
    ${columns}, $${fair}::int8[]
  ) as u(${columnNames}, fair)
  left join lateral (
    select p.id from cronwright.pauses p
    where p.tenant = u.tenant and p.pipeline in ('', u.pipeline) and p.ended_at is null
      and (p.until_at is null or p.until_at > coalesce($20::timestamptz, now()))
    order by p.pipeline desc limit 1
  ) h on true`;

/** Parameters $1…$20 for the statements above; `now` null means the database's clock. */
export function runParams(runs: readonly NewRun[], now: Date | null): unknown[] {
  const column = <T>(pick: (run: NewRun) => T): T[] => runs.map(pick);
  return [
    column((run) => run.id),
    column((run) => run.tenant),
    column((run) => run.pipeline),
    column((run) => run.pipelineVersion),
    column((run) => run.schedule),
    column((run) => run.nominalAt),
    column((run) => run.nominalCount),
    column((run) => run.late),
    column((run) => run.origin),
    column((run) => run.priority),
    column((run) => routeOf(run.queue, run.runsOn)),
    column((run) => run.weight),
    column((run) => (run.inputs === null ? null : JSON.stringify(run.inputs))),
    column((run) => run.dryRun),
    column((run) => run.actor),
    column((run) => run.parentId),
    column((run) => run.traceparent),
    column((run) => run.runAt),
    column((run) => (run.limits.length === 0 ? null : run.limits.join(limitSeparator))),
    now,
  ];
}

/** Each run's place between the tenants; whoever is written a second time keeps its own. */
export function fairParam(runs: readonly NewRun[]): number[] {
  return runs.map((run) => {
    run.fair ??= run.order?.tagOf(run) ?? 0;
    return run.fair;
  });
}
