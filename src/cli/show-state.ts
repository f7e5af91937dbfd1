// States of runs and steps in colours, progress as a bar.
import type { Colors } from './cli-context.ts';

/** The word in the colour of what it means: green done, red failed, cyan at work, yellow held. */
export function paintState(colors: Colors, state: string): string {
  switch (state) {
    case 'completed':
      return colors.green(state);
    case 'failed':
    case 'dead_letter':
    case 'rollback_failed':
      return colors.red(state);
    case 'running':
    case 'rolling_back':
      return colors.cyan(state);
    case 'waiting':
    case 'retrying':
    case 'paused':
      return colors.yellow(state);
    case 'cancelled':
    case 'skipped':
    case 'rolled_back':
      return colors.dim(state);
    default:
      return state;
  }
}

/** `███████░░░ 70 %`. */
export function progressBar(percent: number, width = 20): string {
  const bounded = Math.min(100, Math.max(0, percent));
  const full = Math.round((bounded / 100) * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)} ${Math.round(bounded)} %`;
}
