// Retries a run that ended badly: a new run of the same version that starts from what the old one completed.
import { CronwrightError } from '../domain/errors.ts';
import { stepsKeptByRetry } from '../domain/kept-steps.ts';
import { createNewRun } from '../domain/new-run.ts';
import type { RunState } from '../domain/run.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { announceRuns } from './announce-runs.ts';
import { lockRun } from './lock-run.ts';
import { refuseRetried } from './retry-line.ts';
import { type Caller, type RunStarter, type StartedRun, startedRun } from './start-run.ts';
import {
  readSourceRun,
  readStepStates,
  requireVersion,
  scheduleOf,
  takeOverEdits,
  takeOverSteps,
} from './take-over-steps.ts';

export interface RetriedRun extends StartedRun {
  parent_id: string;
  /** Steps that are taken over and do not run again. */
  kept_steps: string[];
}

const retryable: readonly RunState[] = ['failed', 'cancelled', 'dead_letter', 'rolled_back'];

/** Throws `not_found`, `conflict` where the run has not ended badly or was retried already, `limit_reached`. */
export async function retryRun(
  starter: RunStarter,
  id: string,
  caller: Caller,
  { force = false }: { force?: boolean | undefined } = {},
): Promise<RetriedRun> {
  const { context, room } = starter;
  await room.reserve(caller.tenant, 1);
  const { run, kept } = await context.db.transaction(async (tx) => {
    const before = await lockRun(tx, caller.tenant, id);
    if (!retryable.includes(before.state)) throw cannotRetry(id, before.state);
    const from = await readSourceRun(tx, id);
    if (!force) await refuseRetried(tx, id, before.state);
    const pipeline = await requireVersion(tx, caller.tenant, before.pipeline, from.pipeline_version);
    const run = createNewRun(pipeline, context.pipelines.termsOf(pipeline), {
      origin: 'retry',
      inputs: from.inputs ?? {},
      priority: from.priority,
      dryRun: from.dry_run,
      actor: caller.actor,
      parentId: id,
      traceparent: caller.traceparent,
      // Like the old one it holds its schedule's slot unless overlap is allowed.
      ...scheduleOf(from, pipeline),
    });
    const kept = stepsKeptByRetry(pipeline, await readStepStates(tx, id));
    const continued = pipeline.steps.map((step) => step.id).filter((step) => !kept.includes(step));
    await enqueueRuns(tx, [run]);
    await takeOverSteps(tx, { from: id, to: run.id }, { kept, continued });
    await takeOverEdits(tx, { from: id, to: run.id });
    return { run, kept };
  });
  await announceRuns(context, [run]);
  return { ...startedRun(context, run), parent_id: id, kept_steps: kept };
}

function cannotRetry(id: string, state: RunState): CronwrightError {
  const why = `only a run that is ${retryable.join(', ')} can be retried`;
  return new CronwrightError('conflict', `run "${id}" is ${state} and cannot be retried: ${why}`, {
    details: { state, requested: 'retry' },
  });
}
