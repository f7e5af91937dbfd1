// Which database failures may be tried again, after what delay, and the error for a commit whose outcome is unknown.
import { setTimeout as sleep } from 'node:timers/promises';
import { CronwrightError, errorMessage } from '../domain/errors.ts';

/**
 * What a failure says about the work it ended:
 * `conflict` rolled back, another transaction won; `connection` the answer is lost; `unknown_outcome` the server itself does
 * not know (40003); `stale_plan` refused before it ran, a new connection plans afresh; `other` no retry helps.
 */
export type FailureKind = 'conflict' | 'connection' | 'unknown_outcome' | 'stale_plan' | 'other';

/** Attempts in all. Conflicts end by themselves; a connection that fails thrice is the caller's to wait for. */
export const maxAttempts: Readonly<Record<FailureKind, number>> = {
  conflict: 15,
  connection: 4,
  unknown_outcome: 4,
  stale_plan: 3,
  other: 1,
};

const firstDelayMs: Readonly<Record<FailureKind, number>> = {
  conflict: 2,
  connection: 50,
  unknown_outcome: 50,
  stale_plan: 0,
  other: 0,
};

const longestDelayMs = 500;

const conflictStates = new Set(['40001', '40P01']);
const connectionStates = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '53300']);
const connectionCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
// The pg driver gives these no code.
const connectionMessages =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|Query read timeout|timeout expired)/;

/**
 * The answer to a write or a commit was lost: it may or may not have happened. Reread under an id made before the write,
 * then go on; `cause` holds the driver's error.
 */
export class AmbiguousCommitError extends CronwrightError {
  constructor(operation: string, cause: unknown) {
    super(
      'unavailable',
      `the outcome of ${operation} is unknown: the answer was lost (${errorMessage(cause)}); reread before repeating it`,
      { cause, details: { operation } },
    );
    this.name = 'AmbiguousCommitError';
  }
}

/** The five-character SQLSTATE the server sent, where the error came from one. */
export function sqlState(error: unknown): string | undefined {
  const code = errorCode(error);
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !connectionCodes.has(code) ? code : undefined;
}

export function failureKind(error: unknown): FailureKind {
  if (error instanceof CronwrightError || !(error instanceof Error)) return 'other';
  const state = sqlState(error);
  if (state !== undefined) {
    if (conflictStates.has(state)) return 'conflict';
    if (state === '40003') return 'unknown_outcome';
    if (state.startsWith('08') || connectionStates.has(state)) return 'connection';
    if (state === '0A000' && error.message.includes('cached plan must not change')) return 'stale_plan';
    return 'other';
  }
  const code = errorCode(error);
  if (code !== undefined && connectionCodes.has(code)) return 'connection';
  return connectionMessages.test(error.message) ? 'connection' : 'other';
}

/** Whether another attempt makes sense after `attempt` (1-based) failed this way. */
export function canRetry(kind: FailureKind, attempt: number): boolean {
  return attempt < maxAttempts[kind];
}

/** Milliseconds before the next attempt: doubling, capped, with full jitter above half so that rivals part. */
export function retryDelayMs(kind: FailureKind, attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(longestDelayMs, firstDelayMs[kind] * 2 ** (attempt - 1));
  return ceiling * (0.5 + random() / 2);
}

export interface RetryNotice {
  operation: string;
  attempt: number;
  delayMs: number;
  reason: string;
  sqlState?: string;
}

/** Runs `attempt` until it succeeds or fails in a way that another try cannot mend. */
export async function withRetries<T>(
  operation: string,
  attempt: () => Promise<T>,
  onRetry: (notice: RetryNotice) => void = () => {},
): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt();
    } catch (error) {
      const kind = failureKind(error);
      if (!canRetry(kind, count)) throw error;
      const delayMs = retryDelayMs(kind, count);
      const state = sqlState(error);
      onRetry({
        operation,
        attempt: count,
        delayMs,
        reason: errorMessage(error),
        ...(state === undefined ? {} : { sqlState: state }),
      });
      if (delayMs > 0) await sleep(delayMs);
    }
  }
}

function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
