// One run whole: its state, the summary of its steps, how far it is, why it failed and whom it came from.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal } from '../domain/run.ts';
import { estimateEnd, etaReasons, etaSources, type RunEstimate, reasonForNoEstimate } from '../domain/run-estimate.ts';
import { liveState } from '../queue/live-state.ts';
import { type RunCostRow, runCostColumn, runCostView, toRunCost } from './cost-view.ts';
import { isUuid } from './cursor.ts';
import { waitsOfRun, waitView } from './list-waits.ts';
import { findPastRemainder } from './past-remainder.ts';
import { type RunRow, type RunView, runColumns, runView, toRunView } from './run-view.ts';
import { type RunSlaRow, runSlaColumns, runSlaView, toRunSla } from './sla-view.ts';
import { anyJson, instant, maybeInstant } from './view-fields.ts';

export const runDetail = runView
  .extend({
    inputs: z.record(z.string(), anyJson).nullable(),
    steps: z
      .object({
        total: z.int(),
        pending: z.int(),
        running: z.int(),
        waiting: z.int(),
        completed: z.int(),
        failed: z.int(),
        skipped: z.int(),
        cancelled: z.int(),
        compensated: z.int(),
      })
      .describe('steps by state'),
    retries: z.int().describe('of all its steps and their items'),
    updated_at: instant.describe('when something was last told of it: progress, an event, its end'),
    eta: maybeInstant.describe('when it probably ends'),
    eta_from: z
      .enum(etaSources)
      .nullable()
      .describe('history: how long earlier runs still took at this point; linear: elapsed and progress'),
    eta_reason: z.enum(etaReasons).nullable().describe('why there is no eta'),
    lineage: z.array(z.uuid()).describe('the runs it goes back to, the first one first, at most 100'),
    children: z.array(z.uuid()).describe('runs made from this one, newest first, at most 100'),
    traceparent: z.string().nullable(),
    cost: runCostView,
    sensor: z
      .object({ id: z.string(), key: z.string() })
      .nullable()
      .describe('the sensor that started it, and what that had found'),
    sla: runSlaView.nullable().describe('what was promised about time, and what was missed; null: nothing was'),
    waits: z.array(waitView).describe('what it asks and has asked, newest first, at most 200'),
  })
  .meta({ id: 'RunDetail' });

export type RunDetail = z.infer<typeof runDetail>;

const one = statement(
  'get_run',
  `select ${runColumns}, r.inputs, r.traceparent, ${runCostColumn},
    (select coalesce(sum(s.retries), 0)::int8 from cronwright.step_runs s where s.run_id = r.id) as retries,
    greatest(r.created_at, q.progress_at, r.finished_at,
      (select max(h.at) from cronwright.history h where h.run_id = r.id)) as updated_at,
    (select jsonb_object_agg(s.state, s.n) from (
      select state, count(*) as n from cronwright.step_runs where run_id = r.id and item = -1 group by state) s) as begun,
    (select jsonb_array_length(coalesce(p.definition->'steps', '[]')) from cronwright.pipelines p
      where p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version) as defined,
    array(select c.id from cronwright.runs c where c.parent_id = r.id order by c.id desc limit 100) as children,
    (select jsonb_build_object('id', e.sensor, 'key', e.key) from cronwright.sensor_events e where e.run_id = r.id limit 1) as sensor,
    ${runSlaColumns}
  from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
  where r.id = $1 and ($2::text is null or r.tenant = $2)`,
);

// A run and its parent are of one tenant.
const lineage = statement(
  'get_run_lineage',
  `with recursive line(id, parent_id, depth) as (
    select id, parent_id, 1::int4 from cronwright.runs where id = $1
    union all
    select p.id, p.parent_id, l.depth + 1 from line l join cronwright.runs p on p.id = l.parent_id where l.depth < 100
  )
  select id from line order by depth desc`,
);

async function lineageOf(db: Queryable, parentId: string): Promise<string[]> {
  return (await db.query<{ id: string }>(lineage, [parentId])).rows.map((row) => row.id);
}

type DetailRow = RunRow &
  RunSlaRow & {
    inputs: Record<string, unknown> | null;
    traceparent: string | null;
    begun: Partial<Record<keyof RunDetail['steps'], number>> | null;
    defined: number | null;
    retries: number;
    updated_at: Date;
    children: string[];
    sensor: RunDetail['sensor'];
    cost: RunCostRow;
  };

/** Throws `not_found`. */
export async function getRun(db: Queryable, tenant: string | null, id: string): Promise<RunDetail> {
  const row = isUuid(id) ? (await db.query<DetailRow>(one, [id, tenant])).rows[0] : undefined;
  if (!row) throw runNotFound(id);
  const {
    inputs,
    traceparent,
    begun,
    defined,
    retries,
    updated_at,
    children,
    cost,
    sensor,
    promise,
    sla_misses,
    ...run
  } = row;
  const view = toRunView(run);
  return {
    ...view,
    inputs,
    steps: countSteps(begun ?? {}, defined ?? 0),
    retries,
    updated_at,
    ...(await estimate(db, run, view)),
    lineage: run.parent_id === null ? [] : await lineageOf(db, run.parent_id),
    children,
    traceparent,
    cost: toRunCost(cost),
    sensor,
    sla: toRunSla({ promise, sla_misses }, run),
    waits: await waitsOfRun(db, id),
  };
}

export function runNotFound(id: string): CronwrightError {
  return new CronwrightError('not_found', `there is no run "${id}"`);
}

/** Throws `not_found` unless the run is there; says whether it has ended. */
export async function requireRun(
  db: Queryable,
  tenant: string | null,
  id: string,
): Promise<{ state: RunRow['state']; ended: boolean }> {
  const row = isUuid(id) ? (await db.query<{ state: RunRow['state'] }>(state, [id, tenant])).rows[0] : undefined;
  if (!row) throw runNotFound(id);
  return { state: row.state, ended: isTerminal(row.state) };
}

const state = statement(
  'get_run_state',
  `select coalesce(r.state, ${liveState('q')}, 'pending') as state
  from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
  where r.id = $1 and ($2::text is null or r.tenant = $2)`,
);

/** The past is only looked at where it can tell something. */
async function estimate(db: Queryable, run: RunRow, view: RunView): Promise<RunEstimate> {
  const { state, progress, started_at: startedAt, wakes_at: wakesAt, wait_kind: waitKind } = view;
  const estimated = { state, progress, startedAt, wakesAt, waitKind, now: run.read_at };
  const past = reasonForNoEstimate(estimated) === null ? await findPastRemainder(db, run) : undefined;
  return estimateEnd(estimated, past);
}

function countSteps(begun: Partial<Record<keyof RunDetail['steps'], number>>, defined: number): RunDetail['steps'] {
  const count = (name: keyof RunDetail['steps']) => begun[name] ?? 0;
  const known = Object.values(begun).reduce((sum, n) => sum + n, 0);
  const total = Math.max(defined, known);
  return {
    total,
    pending: count('pending') + total - known,
    running: count('running'),
    waiting: count('waiting'),
    completed: count('completed'),
    failed: count('failed'),
    skipped: count('skipped'),
    cancelled: count('cancelled'),
    compensated: count('compensated'),
  };
}
