// Retries a run that ended badly: a new run of the same version that starts from what the old one completed.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { createNewRun } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { RunState, StepState } from '../domain/run.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { loadPipelineVersion } from '../store/pipelines.ts';
import { announceRuns } from './announce-runs.ts';
import { lockRun } from './lock-run.ts';
import { type Caller, type RunStarter, type StartedRun, startedRun } from './start-run.ts';

export interface RetriedRun extends StartedRun {
  parent_id: string;
  /** Steps that are taken over and do not run again. */
  kept_steps: string[];
}

const retryable: readonly RunState[] = ['failed', 'cancelled', 'dead_letter', 'rolled_back'];

const source = statement(
  'read_run_for_retry',
  `select pipeline_version, schedule, nominal_at, nominal_count, late, priority, inputs, dry_run
  from cronwright.runs where id = $1`,
);

const ownSteps = statement(
  'read_steps_for_retry',
  'select step, state from cronwright.step_runs where run_id = $1 and item = -1',
);

// Completed items of a step that did not complete are taken over too: the step goes on with the others.
const copySteps = statement(
  'copy_checkpoints',
  `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, error, checkpoint,
    started_at, finished_at, retry_at, rate_limited_ms)
  select $2, step, item, tenant, state, attempts, retries, 0, output, error, checkpoint, started_at, finished_at, null,
    rate_limited_ms
  from cronwright.step_runs
  where run_id = $1 and (step = any($3) or (item >= 0 and state = 'completed' and step = any($4)))
  on conflict do nothing`,
);

// Where the newest files of the old run are: what other nodes have of them is not what its checkpoints speak of.
const noteHome = statement(
  'note_home_of_files',
  `update cronwright.queue q set home = n.home
  from cronwright.runs r join cronwright.nodes n on n.id = r.node
  where q.run_id = $2 and r.id = $1`,
);

interface SourceRow {
  pipeline_version: string;
  schedule: string | null;
  nominal_at: Date | null;
  nominal_count: number;
  late: boolean;
  priority: number;
  inputs: Record<string, unknown> | null;
  dry_run: boolean;
}

/** Throws `not_found`, `conflict` where the run has not ended badly, `limit_reached`. */
export async function retryRun(starter: RunStarter, id: string, caller: Caller): Promise<RetriedRun> {
  const { context, room } = starter;
  await room.reserve(caller.tenant, 1);
  const { run, kept } = await context.db.transaction(async (tx) => {
    const before = await lockRun(tx, caller.tenant, id);
    if (!retryable.includes(before.state)) throw cannotRetry(id, before.state);
    const from = await requireSource(tx, id);
    const pipeline = await requireVersion(tx, caller.tenant, before.pipeline, from.pipeline_version);
    const run = createNewRun(pipeline, context.pipelines.weightOf(pipeline), {
      origin: 'retry',
      inputs: from.inputs ?? {},
      priority: from.priority,
      dryRun: from.dry_run,
      actor: caller.actor,
      parentId: id,
      traceparent: caller.traceparent,
      ...scheduleOf(from, pipeline),
    });
    const { rows } = await tx.query<{ step: string; state: StepState }>(ownSteps, [id]);
    const kept = keptSteps(pipeline, new Map(rows.map((row) => [row.step, row.state])));
    const continued = pipeline.steps.map((step) => step.id).filter((step) => !kept.includes(step));
    await enqueueRuns(tx, [run]);
    await tx.query(copySteps, [id, run.id, kept, continued]);
    await tx.query(noteHome, [id, run.id]);
    return { run, kept };
  });
  await announceRuns(context, [run]);
  return { ...startedRun(context, run), parent_id: id, kept_steps: kept };
}

/**
 * Steps that need not run again: those that completed, and those that were skipped although everything they need is kept
 * (a step skipped because another one failed gets its chance). `finally` and `on_failure` steps belong to one end of a
 * run and always run again.
 */
function keptSteps(pipeline: Pick<Pipeline, 'steps'>, states: ReadonlyMap<string, StepState>): string[] {
  const kept = new Set<string>();
  let before = -1;
  while (kept.size > before) {
    before = kept.size;
    for (const { id, needs } of pipeline.steps) {
      const state = states.get(id);
      if (state === 'completed' || (state === 'skipped' && needs.every((need) => kept.has(need)))) kept.add(id);
    }
  }
  return pipeline.steps.map((step) => step.id).filter((step) => kept.has(step));
}

/** The new run stands for the same nominal time, and like the old one holds its schedule's slot unless overlap is allowed. */
function scheduleOf(from: SourceRow, pipeline: Pipeline) {
  if (from.schedule === null) return {};
  const definition = pipeline.schedules.find((schedule) => schedule.id === from.schedule);
  return {
    schedule: {
      id: from.schedule,
      nominalAt: from.nominal_at,
      nominalCount: from.nominal_count,
      late: from.late,
      exclusive: definition !== undefined && definition.overlap !== 'allow',
    },
  };
}

async function requireSource(tx: Queryable, id: string): Promise<SourceRow> {
  const row = (await tx.query<SourceRow>(source, [id])).rows[0];
  if (!row) throw new CronwrightError('not_found', `there is no run "${id}"`);
  return row;
}

async function requireVersion(tx: Queryable, tenant: string, id: string, version: string): Promise<Pipeline> {
  const pipeline = await loadPipelineVersion(tx, tenant, id, version);
  if (pipeline) return pipeline;
  throw new CronwrightError('conflict', `version ${version} of pipeline "${id}" is no longer stored: start a new run`);
}

function cannotRetry(id: string, state: RunState): CronwrightError {
  const why = `only a run that is ${retryable.join(', ')} can be retried`;
  return new CronwrightError('conflict', `run "${id}" is ${state} and cannot be retried: ${why}`, {
    details: { state, requested: 'retry' },
  });
}
