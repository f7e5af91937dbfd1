// How long to wait before a retry, and whether there is one: one formula, two named policies (REQUIREMENTS G-2, G-3, G-4).

export interface RetryPolicy {
  /** Delay before the first retry, in milliseconds. */
  initialMs: number;
  multiplier: number;
  /** Upper bound of the delay before jitter, in milliseconds. */
  maxMs: number;
  /** 0…1: up to this share of the delay is added at random. */
  jitter: number;
  /** Retries, so attempts = maxRetries + 1. */
  maxRetries: number;
  /** Error classes (`transient`) and error names (`TimeoutError`) that are retried. */
  on: readonly string[];
}

export type ErrorClass = 'transient' | 'fatal' | 'rate_limited' | 'item';

/** For steps: 1 s, ×2, at most 60 s, jitter 20 %, 3 retries. */
export const fastRetry: RetryPolicy = {
  initialMs: 1_000,
  multiplier: 2,
  maxMs: 60_000,
  jitter: 0.2,
  maxRetries: 3,
  on: ['transient'],
};

/** For whole runs: 1, 2, 4, 8 … 60 minutes, no jitter, 3 retries. */
export const slowRetry: RetryPolicy = {
  initialMs: 60_000,
  multiplier: 2,
  maxMs: 3_600_000,
  jitter: 0,
  maxRetries: 3,
  on: ['transient'],
};

/** Waits longer than this give the worker back (DESIGN §7). */
export const workerHoldMs = 5_000;

/**
 * Delay before retry `n` (1 = first retry), in milliseconds:
 * `min(max, initial · multiplier^(n-1)) · (1 + random·jitter)`, `random` in 0…1.
 */
export function retryDelayMs(policy: RetryPolicy, n: number, random: number): number {
  const base = Math.min(policy.maxMs, policy.initialMs * policy.multiplier ** (n - 1));
  return Math.round(base * (1 + random * policy.jitter));
}

/** The class `transient` as older configurations call it (`retry_on_errors`). */
const olderTransient = 'TransientError';

/** Whether an error of this class and name is retried after `retriesUsed` retries. */
export function canRetry(
  policy: RetryPolicy,
  retriesUsed: number,
  error: { class: ErrorClass; name: string },
): boolean {
  if (retriesUsed >= policy.maxRetries) return false;
  const { on } = policy;
  if (on.includes(error.name) || on.includes(error.class)) return true;
  return error.class === 'transient' && on.includes(olderTransient);
}

/** Wait for a `rate_limited` error, in milliseconds: the longer of Retry-After (60 s where it is absent) and the back-off. */
export function rateLimitDelayMs(
  policy: RetryPolicy,
  n: number,
  retryAfterMs: number | undefined,
  random: number,
): number {
  return Math.max(retryAfterMs ?? 60_000, retryDelayMs(policy, n, random));
}

/** A run waits at most this long for rate limits without using up retries. */
const maxRateLimitedMs = 3_600_000;

/** What a step has used up so far. */
export interface RetriesUsed {
  retries: number;
  /** Waits of `rate_limited` errors so far, in milliseconds. */
  rateLimitedMs: number;
  /** Rate-limited failures in a row, this one included. */
  rateLimitedInARow: number;
}

export type RetryDecision =
  | { kind: 'retry'; delayMs: number; retries: number; rateLimitedMs: number }
  | { kind: 'give_up' };

/** What follows a failed attempt; `random` in 0…1. A rate limit waits without using up a retry, up to an hour in all. */
export function decideRetry(
  policy: RetryPolicy,
  used: RetriesUsed,
  error: { class: ErrorClass; name: string; retryAfterMs?: number },
  random: number,
): RetryDecision {
  if (error.class === 'rate_limited') {
    const delayMs = rateLimitDelayMs(policy, used.rateLimitedInARow, error.retryAfterMs, random);
    if (used.rateLimitedMs + delayMs <= maxRateLimitedMs) {
      return { kind: 'retry', delayMs, retries: used.retries, rateLimitedMs: used.rateLimitedMs + delayMs };
    }
    if (used.retries >= policy.maxRetries) return { kind: 'give_up' };
    return { kind: 'retry', delayMs, retries: used.retries + 1, rateLimitedMs: used.rateLimitedMs };
  }
  if (!canRetry(policy, used.retries, error)) return { kind: 'give_up' };
  const retries = used.retries + 1;
  return { kind: 'retry', delayMs: retryDelayMs(policy, retries, random), retries, rateLimitedMs: used.rateLimitedMs };
}
