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

/** `step` is the step that runs now, where one has begun; its name is the phase. */
export function legacyNames(state: RunState, waitKind: string | null, step: string | null): LegacyNames {
  return {
    legacy_state: state === 'waiting' && waitKind === 'step_retry' ? 'error' : (states[state] ?? state),
    legacy_phase:
      state === 'running' ? (step?.toUpperCase() ?? 'INITIALIZING') : (phases[state] ?? state.toUpperCase()),
  };
}
