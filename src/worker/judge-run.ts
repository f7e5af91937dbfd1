// Judge: what the ends of its steps mean for a run.
import type { StoredError } from '../domain/outcome.ts';
import { canRetry, retryDelayMs } from '../domain/retry-policy.ts';
import type { TerminalState, WaitKind } from '../domain/run.ts';
import { runTimeoutMs } from './adaptive-timeouts.ts';
import { exhaustedPolicy } from './after-failure.ts';
import type { UndoEnd } from './compensate.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { isOutOfTime, type LiveRun } from './live-run.ts';
import type { StepsEnd } from './run-steps.ts';

/** How a run ends, or why it goes back to the queue. */
export type Verdict =
  | { kind: 'finish'; state: TerminalState; error: StoredError | null; timedOut: boolean }
  | { kind: 'wait'; untilMs: number; waitKind: WaitKind; stopsClock: boolean }
  | { kind: 'pause' }
  /** Steps could not be undone: it waits for somebody to ask for the rollback again. */
  | { kind: 'stay_undone'; steps: readonly string[]; error: StoredError }
  | { kind: 'retry_later'; untilMs: number; error: StoredError }
  | { kind: 'give_back'; reason: string }
  | { kind: 'lost' };

export function judge(run: LiveRun, end: StepsEnd, deps: ExecuteDeps): Verdict {
  switch (end.kind) {
    case 'completed': {
      const overdue = run.abortedBy === 'timeout' ? stepOutOfTime(run) : undefined;
      if (overdue) return judgeFailure(run, overdue.step, overdue.error, deps);
      return { kind: 'finish', state: 'completed', error: null, timedOut: false };
    }
    case 'waiting': {
      const { waitKind, stopsClock } = end;
      const untilMs = stopsClock ? end.untilMs : Math.min(end.untilMs, deadlineOf(run));
      return { kind: 'wait', untilMs, waitKind, stopsClock };
    }
    case 'paused':
      return { kind: 'pause' };
    case 'failed':
      return judgeFailure(run, end.step, end.error, deps);
    case 'interrupted':
      if (end.by === 'lease_lost') return { kind: 'lost' };
      if (end.by === 'shutdown') return { kind: 'give_back', reason: 'shutdown' };
      return { kind: 'finish', state: 'cancelled', error: cancelError(run), timedOut: false };
  }
}

/** The time of a run is up for all its steps, also for one that may fail. */
function stepOutOfTime(run: LiveRun): { step: string; error: StoredError } | undefined {
  for (const [step, { state, error }] of run.steps) {
    if (state === 'failed' && error && isOutOfTime(run, error)) return { step, error };
  }
  return undefined;
}

function judgeFailure(run: LiveRun, step: string, error: StoredError, deps: ExecuteDeps): Verdict {
  // The time may also have been up in an earlier claim, and this one only goes on with the clean-up.
  const timedOut = run.abortedBy === 'timeout' || (error.name === 'TimeoutError' && error.class === 'fatal');
  const named = { ...error, message: `step ${step}: ${error.message}`, step };
  const policy = run.compiled.pipeline.retry;
  const used = run.claimed.attempt - 1;
  const isRetryable =
    policy !== undefined && canRetry(policy, used, error) && (!timedOut || policy.on.includes('TimeoutError'));
  if (policy && isRetryable) {
    const delayMs = retryDelayMs(policy, used + 1, deps.random());
    return { kind: 'retry_later', untilMs: deps.clock.now() + delayMs, error: named };
  }
  const failing = run.compiled.byId.get(step);
  const isDead = !timedOut && failing !== undefined && exhaustedPolicy(run, failing, undefined) === 'dead_letter';
  return { kind: 'finish', state: isDead ? 'dead_letter' : 'failed', error: named, timedOut };
}

/** Why a run whose steps are to be undone goes back to the queue. */
export function unfinishedUndo(end: Exclude<UndoEnd, { kind: 'done' }>): Verdict {
  if (end.kind === 'waiting') return { kind: 'wait', untilMs: end.untilMs, waitKind: 'step_retry', stopsClock: false };
  if (end.kind === 'failed') return { ...end, kind: 'stay_undone' };
  return end.by === 'lease_lost' ? { kind: 'lost' } : { kind: 'give_back', reason: end.by };
}

/** The timeout covers the whole run-level attempt, its retries and their waits. */
export function deadlineOf(run: LiveRun): number {
  return run.claimed.attemptStartedAt.getTime() + runTimeoutMs(run);
}

export function rollbackError(run: LiveRun): StoredError {
  const { message } = cancelError(run);
  return { name: 'RolledBack', message: message.replace('cancelled', 'rolled back'), class: 'fatal' };
}

function cancelError(run: LiveRun): StoredError {
  const by = run.cancelledBy?.actor ? ` by ${run.cancelledBy.actor}` : '';
  const why = run.cancelledBy?.reason ? `: ${run.cancelledBy.reason}` : '';
  return { name: 'Cancelled', message: `cancelled${by}${why}`, class: 'fatal' };
}
