// Starts a run of a schedule now, as its overlap policy allows.
import { statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { createNewRun, type NewRun } from '../domain/new-run.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { announceRuns } from './announce-runs.ts';
import { cancelRun } from './cancel-run.ts';
import { type LockedSchedule, lockSchedule } from './lock-schedule.ts';
import { type Caller, type RunStarter, requirePipeline, type StartedRun, startedRun } from './start-run.ts';

export interface TriggerRequest {
  id: string;
  /** Instead of the schedule's own, by name. */
  inputs?: Readonly<Record<string, unknown>> | undefined;
  /** Also while another run of the schedule is live. */
  force: boolean;
}

export interface TriggeredRun extends StartedRun {
  schedule: string;
}

const liveRuns = statement(
  'list_live_runs_of_schedule',
  `select run_id, state from cronwright.queue
  where tenant = $1 and schedule = $2 order by run_id limit 1000`,
);

interface LiveRun {
  run_id: string;
  state: string;
}

/** Throws `not_found`, `invalid_input`, `limit_reached`, and `conflict` where the overlap policy forbids it. */
export async function triggerSchedule(
  starter: RunStarter,
  request: TriggerRequest,
  caller: Caller,
): Promise<TriggeredRun> {
  const { context, room } = starter;
  await room.reserve(caller.tenant, 1);
  const { run, replaced } = await context.db.transaction(async (tx) => {
    // The lock lets one trigger look and enqueue at a time.
    const schedule = await lockSchedule(tx, caller.tenant, request.id);
    const { rows } = await tx.query<LiveRun>(liveRuns, [caller.tenant, request.id]);
    const { overlap } = schedule.definition;
    if (!request.force) checkOverlap(schedule, rows);
    const run = newRun(starter, schedule, request, caller);
    await enqueueRuns(tx, [run]);
    return { run, replaced: overlap === 'cancel_previous' && !request.force ? rows : [] };
  });
  await cancelReplaced(starter, replaced, caller);
  await announceRuns(context, [run]);
  return { ...startedRun(context, run), schedule: request.id };
}

function checkOverlap(schedule: LockedSchedule, live: readonly LiveRun[]): void {
  const { overlap } = schedule.definition;
  // The slot holds one run at work; of the others one may wait.
  const hindrance = overlap === 'skip' ? live[0] : overlap === 'queue' ? live[1] : undefined;
  if (!hindrance) return;
  const why = overlap === 'skip' ? 'a run of it is live' : 'a run of it is waiting already';
  throw new CronwrightError(
    'conflict',
    `schedule "${schedule.id}" has overlap "${overlap}" and ${why}: run "${hindrance.run_id}" is ${hindrance.state}; force starts one all the same`,
    { details: { state: hindrance.state, requested: 'pending', run_id: hindrance.run_id, overlap } },
  );
}

/** A forced run does not hold the schedule's slot: it would wait for the very run it is to run beside. */
function newRun(
  { context }: RunStarter,
  schedule: LockedSchedule,
  { inputs, force }: TriggerRequest,
  caller: Caller,
): NewRun {
  const pipeline = requirePipeline(context, caller.tenant, schedule.pipeline);
  const { definition } = schedule;
  return createNewRun(pipeline, context.pipelines.termsOf(pipeline), {
    origin: caller.origin,
    inputs: { ...definition.inputs, ...inputs },
    priority: definition.priority,
    schedule: { id: schedule.id, nominalAt: null, exclusive: definition.overlap !== 'allow' && !force },
    actor: caller.actor,
    traceparent: caller.traceparent,
  });
}

async function cancelReplaced(starter: RunStarter, runs: readonly LiveRun[], caller: Caller): Promise<void> {
  const reason = 'replaced by a triggered run (overlap: cancel_previous)';
  for (const { run_id } of runs) {
    try {
      await cancelRun(starter.context, { tenant: caller.tenant, id: run_id, actor: caller.actor, reason });
    } catch (error) {
      // It ended by itself meanwhile.
      if (!(error instanceof CronwrightError) || error.code !== 'conflict') throw error;
    }
  }
}
