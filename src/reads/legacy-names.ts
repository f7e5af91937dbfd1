// Older names of a run's state: views derived from state, wait and step, never stored.
import type { RunState } from '../domain/run.ts';

export interface LegacyNames {
  legacy_state: string;
  legacy_phase: string;
}

const states: Partial<Record<RunState, string>> = {
  scheduled: 'queued',
  pending: 'queued',
  running: 'processing',
  retrying: 'error',
  cancelled: 'aborted',
  dead_letter: 'failed',
};

const phases: Partial<Record<RunState, string>> = {
  scheduled: 'IDLE',
  pending: 'IDLE',
  cancelled: 'FAILED',
  dead_letter: 'FAILED',
};

/** `step` is the label of the step that runs now, where one has begun, or its id: that is the phase. */
export function legacyNames(state: RunState, waitKind: string | null, step: string | null): LegacyNames {
  // Other runs do its work meanwhile.
  const isAtWork = state === 'running' || (state === 'waiting' && waitKind === 'children');
  const waitState = waitKind === 'step_retry' ? 'error' : waitKind === 'children' ? 'processing' : state;
  return {
    legacy_state: state === 'waiting' ? waitState : (states[state] ?? state),
    legacy_phase: isAtWork ? phaseName(step) : (phases[state] ?? state.toUpperCase()),
  };
}

/** `Generating prompts` → `GENERATING_PROMPTS`. */
export function phaseName(label: string | null): string {
  const words = label?.toUpperCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.length === 0 ? 'INITIALIZING' : words.join('_');
}
