// The idempotency key of a step: the same for all its attempts, and a new one once what it did was undone and it begins again.
import type { LiveRun } from './live-run.ts';

/** `doneBy`: the run that does or did the step. */
export function attemptKey(
  run: LiveRun,
  step: string,
  item: number | undefined,
  doneBy: string = run.claimed.runId,
): string {
  const times = run.undone?.get(`${step}/${item ?? -1}`)?.times ?? 0;
  return `${doneBy}/${step}${item === undefined ? '' : `/${item}`}${times > 0 ? `~${times}` : ''}`;
}
