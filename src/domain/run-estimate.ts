// When a run will probably end: from how long earlier runs still took at this point, else linear from elapsed and progress.
import { isForPeople, isTerminal, type RunState, type WaitKind } from './run.ts';

export const etaSources = ['history', 'linear'] as const;
export const etaReasons = [
  'ended',
  'not_started',
  'paused',
  'waits_for_people',
  'rolling_back',
  'no_progress',
  'overdue',
] as const;

export interface RunEstimate {
  eta: Date | null;
  eta_from: (typeof etaSources)[number] | null;
  /** Why there is none. */
  eta_reason: (typeof etaReasons)[number] | null;
}

export interface EstimatedRun {
  state: RunState;
  waitKind: string | null;
  startedAt: Date | null;
  /** 0…100. */
  progress: number;
  /** When it goes on by itself, where it waits for a time. */
  wakesAt: Date | null;
  now: Date;
}

/** What earlier runs still took from a point on that this run has passed at `since`. */
export interface PastRemainder {
  since: Date;
  medianMs: number;
}

/** Why nothing can be said whatever the past; undefined where it is worth a look. */
export function reasonForNoEstimate({ state, waitKind, startedAt }: EstimatedRun): RunEstimate['eta_reason'] {
  if (isTerminal(state)) return 'ended';
  if (state === 'paused') return 'paused';
  if (state === 'rolling_back' || state === 'rollback_failed') return 'rolling_back';
  if (startedAt === null) return 'not_started';
  const isWait = state === 'waiting' && waitKind !== null && waitKind !== 'timer';
  return isWait && isForPeople(waitKind as WaitKind) ? 'waits_for_people' : null;
}

export function estimateEnd(run: EstimatedRun, past: PastRemainder | undefined): RunEstimate {
  const reason = reasonForNoEstimate(run);
  if (reason !== null) return { eta: null, eta_from: null, eta_reason: reason };
  const { now } = run;
  const wakesAt = run.state === 'waiting' || run.state === 'retrying' ? run.wakesAt : null;
  if (past) {
    // While it waits nothing of the rest is done.
    const from = wakesAt ?? past.since;
    const eta = new Date(from.getTime() + past.medianMs);
    if (eta > now) return { eta, eta_from: 'history', eta_reason: null };
  }
  const linear = linearEta(run.startedAt, run.progress, now);
  if (linear === null) return { eta: null, eta_from: null, eta_reason: past ? 'overdue' : 'no_progress' };
  const waitMs = wakesAt === null ? 0 : Math.max(0, wakesAt.getTime() - now.getTime());
  return { eta: new Date(linear.getTime() + waitMs), eta_from: 'linear', eta_reason: null };
}

/** Now + elapsed · what is left / what is done; null at 0 %. */
export function linearEta(startedAt: Date | null, progress: number, now: Date): Date | null {
  if (startedAt === null || progress <= 0 || progress > 100) return null;
  const elapsed = Math.max(0, now.getTime() - startedAt.getTime());
  return new Date(now.getTime() + (elapsed * (100 - progress)) / progress);
}
