// The names that events have in older systems, and which of ours stand for each.
import type { Transition } from '../../domain/run.ts';

export const olderNames = [
  'PIPELINE_STARTED',
  'PIPELINE_COMPLETED',
  'PIPELINE_FAILED',
  'PIPELINE_PAUSED',
  'PIPELINE_RESUMED',
  'PHASE_STARTED',
  'PHASE_COMPLETED',
  'PHASE_FAILED',
  'SUBTASK_GENERATED',
  'ERROR_OCCURRED',
  'CHECKPOINT_CREATED',
] as const;

export type OlderName = (typeof olderNames)[number];

const byName: Readonly<Record<string, readonly OlderName[]>> = {
  'run.completed': ['PIPELINE_COMPLETED'],
  'run.failed': ['ERROR_OCCURRED', 'PIPELINE_FAILED'],
  'run.dead_lettered': ['ERROR_OCCURRED', 'PIPELINE_FAILED'],
  'run.paused': ['PIPELINE_PAUSED'],
  'run.resumed': ['PIPELINE_RESUMED'],
  'step.started': ['PHASE_STARTED'],
  'step.children_started': ['PHASE_STARTED'],
  'step.completed': ['PHASE_COMPLETED', 'CHECKPOINT_CREATED'],
  'step.failed': ['ERROR_OCCURRED', 'PHASE_FAILED'],
};

/** What is told within a phase, and begins it where nothing of it was told before: the start of a young step is told late or never. */
const withinPhase: Readonly<Record<string, OlderName>> = {
  'step.retried': 'ERROR_OCCURRED',
  'item.failed': 'ERROR_OCCURRED',
  'item.completed': 'CHECKPOINT_CREATED',
  'step.event.subtask_generated': 'SUBTASK_GENERATED',
  'step.event.checkpoint_created': 'CHECKPOINT_CREATED',
};

export function olderNamesOf(
  { event, data }: Pick<Transition, 'event' | 'data'>,
  isPart: boolean,
): readonly OlderName[] {
  const within = withinPhase[event];
  // What a part of a run comes to, and the phase itself, is told by the run whose part it is.
  if (isPart) return within ? [within] : [];
  if (within) return ['PHASE_STARTED', within];
  if (event === 'run.claimed') return isFirstClaim(data) ? ['PIPELINE_STARTED'] : [];
  if (event.startsWith('alert.')) return ['ERROR_OCCURRED'];
  return byName[event] ?? [];
}

/** The token of a run rises with each of its claims. */
function isFirstClaim(data: unknown): boolean {
  return typeof data === 'object' && data !== null && 'token' in data && data.token === 1;
}
