// What somebody can do about a run, as a command that is not refused in its state.
import type { RunState } from '../../domain/run.ts';

export interface CommandCase {
  id: string;
  tenant: string;
  pipeline: string;
  state: RunState;
  /** The pause that keeps it from being resumed by itself. */
  pausedWith: 'pipeline' | 'tenant' | undefined;
  /** The run where it goes on: its retry, its rollback, or the run whose step it carries out. */
  goesOnIn: string | undefined;
}

/** Undefined where there is nothing to do. */
export function commandFor(run: CommandCase): string | undefined {
  const words = wordsFor(run);
  return words && `cronwright ${words}${ofTenant(run.tenant)}`;
}

/** A command is for the usual tenant unless it says another. */
export function ofTenant(tenant: string): string {
  return tenant === 'default' ? '' : ` --tenant ${tenant}`;
}

function wordsFor({ id, pipeline, state, pausedWith, goesOnIn }: CommandCase): string | undefined {
  switch (state) {
    case 'completed':
      return undefined;
    case 'failed':
    case 'cancelled':
    case 'dead_letter':
    case 'rolled_back':
      return goesOnIn === undefined ? `retry ${id}` : `show ${goesOnIn}`;
    case 'paused':
      if (pausedWith === 'tenant') return 'resume --all';
      return pausedWith === 'pipeline' ? `resume --pipeline ${pipeline}` : `resume ${id}`;
    case 'rolling_back':
      return `explain ${id}`;
    case 'rollback_failed':
      return `rollback ${id}`;
    default:
      return `cancel ${id}`;
  }
}
