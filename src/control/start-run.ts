// Starts a run of a pipeline: checks what was asked for, makes it durable and answers with its id.
import { CronwrightError } from '../domain/errors.ts';
import { createNewRun, type NewRun } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { Origin } from '../domain/run.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { announceRuns } from './announce-runs.ts';
import type { ControlContext } from './control-context.ts';
import { createEnqueueBatcher } from './enqueue-batcher.ts';
import { answerOnce, recallAnswer } from './idempotency.ts';
import { createLiveRunLimit, type LiveRunLimit } from './live-run-limit.ts';

export interface RunRequest {
  inputs?: Readonly<Record<string, unknown>> | undefined;
  priority?: number | undefined;
  runAt?: Date | undefined;
  dryRun?: boolean | undefined;
}

/** Who asks, and for whom. */
export interface Caller {
  tenant: string;
  actor: string;
  origin: Origin;
  traceparent?: string | undefined;
  idempotencyKey?: string | undefined;
}

export interface StartedRun {
  id: string;
  tenant: string;
  pipeline: string;
  pipeline_version: string;
  /** Paused where its pipeline or tenant is. */
  state: 'pending' | 'scheduled' | 'paused';
  priority: number;
  run_at: string | null;
  dry_run: boolean;
}

/** The one way in for runs that people and programs ask for. */
export interface RunStarter {
  readonly context: ControlContext;
  readonly room: LiveRunLimit;
  /** Throws `not_found`, `invalid_input`, `conflict` (idempotency key), `limit_reached`. */
  start(pipeline: string, request: RunRequest, caller: Caller): Promise<StartedRun>;
}

export function createRunStarter(context: ControlContext): RunStarter {
  const { db, clock } = context;
  const room = createLiveRunLimit({
    db,
    clock,
    limitOf: (tenant) => context.liveRunsOf?.(tenant) ?? context.liveRunsPerTenant,
  });
  const batcher = createEnqueueBatcher(async (runs) => {
    await enqueueRuns(db, runs);
    // The callers' answer needs the runs to be durable, not admitted.
    void announceRuns(context, runs);
  });

  async function start(id: string, request: RunRequest, caller: Caller): Promise<StartedRun> {
    const run = newRunOf(context, requirePipeline(context, caller.tenant, id), request, caller);
    if (caller.idempotencyKey !== undefined) return startOnce(run, id, request, caller, caller.idempotencyKey);
    await room.reserve(run.tenant, 1);
    await batcher.enqueue(run);
    return startedRun(context, run);
  }

  async function startOnce(run: NewRun, id: string, request: RunRequest, caller: Caller, key: string) {
    const identity = { tenant: caller.tenant, key, request: ['start', id, request] };
    const kept = await recallAnswer<StartedRun>(db, identity);
    if (kept) return kept.answer;
    await room.reserve(run.tenant, 1);
    const first = { status: 202, answer: startedRun(context, run) };
    const { answer, repeated } = await answerOnce(db, identity, first, async (tx) => {
      await enqueueRuns(tx, [run]);
    });
    if (!repeated) await announceRuns(context, [run]);
    return answer;
  }

  return { context, room, start };
}

/** Throws `not_found`. */
export function requirePipeline(context: ControlContext, tenant: string, id: string): Pipeline {
  const pipeline = context.pipelines.get(tenant, id);
  if (!pipeline) throw new CronwrightError('not_found', `there is no pipeline "${id}" of tenant "${tenant}"`);
  return pipeline;
}

export function newRunOf(context: ControlContext, pipeline: Pipeline, request: RunRequest, caller: Caller): NewRun {
  return createNewRun(pipeline, context.pipelines.termsOf(pipeline), {
    origin: caller.origin,
    inputs: request.inputs,
    priority: request.priority,
    runAt: request.runAt,
    dryRun: request.dryRun,
    actor: caller.actor,
    traceparent: caller.traceparent,
  });
}

export function startedRun(context: ControlContext, run: NewRun): StartedRun {
  const later = run.runAt !== null && run.runAt.getTime() > context.clock.now();
  return {
    id: run.id,
    tenant: run.tenant,
    pipeline: run.pipeline,
    pipeline_version: run.pipelineVersion,
    state: run.isHeld ? 'paused' : later ? 'scheduled' : 'pending',
    priority: run.priority,
    run_at: run.runAt?.toISOString() ?? null,
    dry_run: run.dryRun,
  };
}
