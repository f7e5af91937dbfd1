// The one formula of retries: its table, and what holds for every policy.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  canRetry,
  decideRetry,
  fastRetry,
  type RetryPolicy,
  rateLimitDelayMs,
  retryDelayMs,
  slowRetry,
} from '../../../src/domain/retry-policy.ts';

const second = 1_000;
const minute = 60 * second;

describe('the delay before a retry', () => {
  it.each([
    [1, 1 * second],
    [2, 2 * second],
    [3, 4 * second],
    [6, 32 * second],
    [7, 60 * second],
    [50, 60 * second],
  ])('fast, retry %i, without jitter: %i ms', (n, expected) => {
    expect(retryDelayMs(fastRetry, n, 0)).toBe(expected);
  });

  it.each([
    [1, 1 * minute],
    [2, 2 * minute],
    [3, 4 * minute],
    [4, 8 * minute],
    [7, 60 * minute],
    [2_000, 60 * minute],
  ])('slow, retry %i: %i ms, whatever the dice say', (n, expected) => {
    expect([0, 0.5, 0.999].map((random) => retryDelayMs(slowRetry, n, random))).toEqual([expected, expected, expected]);
  });

  it('slow: 1, 2, 4, 8, 16, 32 and then 60 minutes', () => {
    const minutes = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => retryDelayMs(slowRetry, n, 0.5) / minute);
    expect(minutes).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
  });

  it('adds jitter after the bound: at most a fifth more for fast', () => {
    expect(retryDelayMs(fastRetry, 1, 1)).toBe(1_200);
    expect(retryDelayMs(fastRetry, 50, 1)).toBe(72_000);
  });

  const policies = fc.record({
    initialMs: fc.integer({ min: 1, max: 3_600_000 }),
    multiplier: fc.double({ min: 1, max: 10, noNaN: true }),
    maxMs: fc.integer({ min: 1, max: 86_400_000 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    maxRetries: fc.integer({ min: 0, max: 1_000 }),
    on: fc.constant(['transient']),
  });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  it('is a whole number of milliseconds within its bounds, for every policy', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 10_000 }), random, (policy, n, dice) => {
        const delay = retryDelayMs(policy, n, dice);
        expect(Number.isInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(Math.min(policy.initialMs, policy.maxMs));
        expect(delay).toBeLessThanOrEqual(Math.ceil(policy.maxMs * (1 + policy.jitter)));
      }),
    );
  });

  it('never shrinks from one retry to the next, for every policy', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 1, max: 500 }), random, (policy, n, dice) => {
        expect(retryDelayMs(policy, n + 1, dice)).toBeGreaterThanOrEqual(retryDelayMs(policy, n, dice));
      }),
    );
  });
});

describe('whether there is a retry', () => {
  const reset = { class: 'transient', name: 'ECONNRESET' } as const;

  it('has max_retries retries, so one attempt more', () => {
    expect([0, 1, 2, 3, 4].map((used) => canRetry(fastRetry, used, reset))).toEqual([true, true, true, false, false]);
  });

  it('is never for a policy of none', () => {
    expect(canRetry({ ...fastRetry, maxRetries: 0 }, 0, reset)).toBe(false);
  });

  it.each([
    ['transient', 'TimeoutError', ['transient'], true],
    ['fatal', 'ValidationError', ['transient'], false],
    ['fatal', 'TimeoutError', ['TimeoutError'], true],
    ['item', 'ParseError', ['transient', 'item'], true],
    ['rate_limited', 'RateLimitError', ['transient'], false],
    ['fatal', 'fatal', [], false],
  ] as const)('%s %s with on: %j is %s', (errorClass, name, on, expected) => {
    const policy: RetryPolicy = { ...fastRetry, on };
    expect(canRetry(policy, 0, { class: errorClass, name })).toBe(expected);
  });
});

describe('the wait for a rate limit', () => {
  it.each([
    [1, undefined, 60 * second],
    [1, 0, 1 * second],
    [1, 5 * second, 5 * second],
    [3, 1 * second, 4 * second],
    [1, 10 * minute, 10 * minute],
  ])('retry %i with Retry-After %s ms is %i ms', (n, retryAfterMs, expected) => {
    expect(rateLimitDelayMs(fastRetry, n, retryAfterMs, 0)).toBe(expected);
  });

  it('uses up no retry until an hour is spent, then does, and ends with the last retry', () => {
    const limited = { class: 'rate_limited', name: 'RateLimitError', retryAfterMs: 20 * minute } as const;
    const decided = (retries: number, minutes: number) =>
      decideRetry(fastRetry, { retries, rateLimitedMs: minutes * minute, rateLimitedInARow: 1 }, limited, 0);
    expect(decided(0, 40)).toEqual({ kind: 'retry', delayMs: 20 * minute, retries: 0, rateLimitedMs: 60 * minute });
    expect(decided(0, 60)).toMatchObject({ kind: 'retry', delayMs: 20 * minute, retries: 1 });
    expect(decided(3, 60)).toEqual({ kind: 'give_up' });
  });
});

describe('what older configurations call retry_on_errors', () => {
  const policy = { ...slowRetry, on: ['TimeoutError', 'TransientError'] };

  it.each([
    ['transient', 'ConnectionReset', true],
    ['transient', 'TransientError', true],
    ['fatal', 'TimeoutError', true],
    ['fatal', 'DumpInvalid', false],
    ['item', 'ConnectionReset', false],
  ] as const)('a %s %s is retried: %s', (errorClass, name, expected) => {
    expect(canRetry(policy, 0, { class: errorClass, name })).toBe(expected);
    expect(canRetry(policy, 3, { class: errorClass, name })).toBe(false);
  });
});
