// A run in the words of older pipelines: one of nine states, phases in one of six, derived from the run and its steps.
import { z } from 'zod';
import type { Queryable } from '../db/database.ts';
import { getRun, type RunDetail } from './get-run.ts';
import { phaseName } from './legacy-names.ts';
import { runSteps, type StepView } from './run-steps.ts';
import { instant, maybeInstant, storedError } from './view-fields.ts';

export const phaseStates = ['PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'SKIPPED', 'RETRYING'] as const;
export type PhaseState = (typeof phaseStates)[number];

const phaseView = z.object({
  id: z.string().describe('the step; a checkpoint once it has completed'),
  name: z.string().describe('the label of the step in capitals'),
  state: z.enum(phaseStates),
  attempts: z.int(),
  started_at: maybeInstant,
  finished_at: maybeInstant,
  duration_ms: z.number().nullable(),
  error: storedError.nullable(),
});

export const pipelineStateView = z
  .object({
    id: z.uuid().describe('of the run'),
    pipeline: z.string(),
    state: z
      .string()
      .describe('IDLE, INITIALIZING, the name of the phase under way, PAUSED, COMPLETED, FAILED or ROLLED_BACK'),
    phase: z.string().nullable().describe('id of the phase under way'),
    phases: z.array(phaseView),
    requested: z.enum(['pause', 'cancel', 'rollback']).nullable().describe('asked for, not yet obeyed'),
    progress: z.int(),
    message: z.string().nullable(),
    error: storedError.nullable(),
    created_at: instant,
    started_at: maybeInstant,
    finished_at: maybeInstant,
    duration_ms: z.number().nullable(),
    run: z.string().describe('where the run itself is'),
  })
  .meta({ id: 'PipelineState' });

export type PipelineStateView = z.infer<typeof pipelineStateView>;

/** Throws `not_found`. */
export async function pipelineState(db: Queryable, tenant: string | null, id: string): Promise<PipelineStateView> {
  const [run, steps] = [await getRun(db, tenant, id), await runSteps(db, tenant, id)];
  return describePipelineState(run, steps);
}

export function describePipelineState(run: RunDetail, steps: readonly StepView[]): PipelineStateView {
  const main = steps.filter(({ kind }) => kind === 'step');
  const { id, pipeline, requested, progress, message, error, created_at, started_at, finished_at, duration_ms } = run;
  const current = isUnderWay(run) ? phaseUnderWay(main) : undefined;
  return {
    id,
    pipeline,
    state: stateOf(run, current),
    phase: current?.step ?? null,
    phases: main.map((step) => ({
      id: step.step,
      name: phaseName(step.label ?? step.step),
      state: phaseStateOf(run, step),
      attempts: step.attempts,
      started_at: step.started_at,
      finished_at: step.finished_at,
      duration_ms: step.duration_ms,
      error: step.error,
    })),
    requested,
    progress,
    message,
    error,
    created_at,
    started_at,
    finished_at,
    duration_ms,
    run: `/api/v1/runs/${id}`,
  };
}

type StateOfRun = Pick<RunDetail, 'state' | 'started_at'>;

/** Waiting and being tried again are ways to be at work there; so is being undone. */
function isUnderWay({ state, started_at: startedAt }: StateOfRun): boolean {
  if (state === 'pending') return startedAt !== null;
  return ['running', 'waiting', 'retrying', 'rolling_back'].includes(state);
}

function stateOf(run: StateOfRun, current: StepView | undefined): string {
  if (isUnderWay(run)) return phaseName(current ? (current.label ?? current.step) : null);
  if (run.state === 'completed' || run.state === 'paused' || run.state === 'rolled_back')
    return run.state.toUpperCase();
  return run.state === 'pending' || run.state === 'scheduled' ? 'IDLE' : 'FAILED';
}

/** Rows of steps are written when they end or take long: between two, the next one is under way. */
function phaseUnderWay(steps: readonly StepView[]): StepView | undefined {
  const busy = steps.find(({ state }) => state === 'running' || state === 'waiting');
  if (busy) return busy;
  const hasBegun = steps.some(({ state }) => state !== 'pending');
  // After the last one the run has its end still to come, and steps that are no phase.
  return hasBegun ? (steps.find(({ state }) => state === 'pending' || state === 'failed') ?? steps.at(-1)) : undefined;
}

function phaseStateOf(
  run: Pick<RunDetail, 'state'>,
  step: Pick<StepView, 'state' | 'retries' | 'retry_at' | 'started_at'>,
): PhaseState {
  switch (step.state) {
    case 'completed':
    case 'skipped':
      return step.state === 'completed' ? 'COMPLETED' : 'SKIPPED';
    case 'running':
    case 'waiting':
      return step.retries > 0 || step.retry_at !== null ? 'RETRYING' : 'RUNNING';
    case 'failed':
      return run.state === 'retrying' ? 'RETRYING' : 'FAILED';
    // What an end of the run left undone was passed over; what it cut short was not.
    case 'cancelled':
      return step.started_at === null ? 'SKIPPED' : 'FAILED';
    default:
      return 'PENDING';
  }
}
