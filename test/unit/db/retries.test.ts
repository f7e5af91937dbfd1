import { describe, expect, it, vi } from 'vitest';
import {
  AmbiguousCommitError,
  canRetry,
  failureKind,
  maxAttempts,
  retryDelayMs,
  sqlState,
  withRetries,
} from '../../../src/db/retries.ts';
import { CronwrightError } from '../../../src/domain/errors.ts';

function errorWith(code: string, message = 'refused'): Error {
  return Object.assign(new Error(message), { code });
}

describe('the kind of a database failure', () => {
  it.each([
    [errorWith('40001'), 'conflict'],
    [errorWith('40P01'), 'conflict'],
    [errorWith('40003'), 'unknown_outcome'],
    [errorWith('08006'), 'connection'],
    [errorWith('57P01'), 'connection'],
    [errorWith('57P03'), 'connection'],
    [errorWith('ECONNRESET'), 'connection'],
    [errorWith('EPIPE'), 'connection'],
    [new Error('Connection terminated unexpectedly'), 'connection'],
    [new Error('Query read timeout'), 'connection'],
    [errorWith('0A000', 'cached plan must not change result type'), 'stale_plan'],
    [errorWith('0A000', 'not supported'), 'other'],
    [errorWith('23505'), 'other'],
    [errorWith('57014'), 'other'],
    [errorWith('ENOENT'), 'other'],
    [new Error('no code at all'), 'other'],
    [new CronwrightError('unavailable', 'Connection terminated'), 'other'],
    [new AmbiguousCommitError('a transaction', errorWith('ECONNRESET')), 'other'],
    ['not an error', 'other'],
    [undefined, 'other'],
  ])('of %s is %s', (error, kind) => {
    expect(failureKind(error)).toBe(kind);
  });

  it('reads a SQLSTATE, and does not take a system error for one', () => {
    expect(sqlState(errorWith('23505'))).toBe('23505');
    expect(sqlState(errorWith('EPIPE'))).toBeUndefined();
    expect(sqlState(new Error('none'))).toBeUndefined();
  });
});

describe('the delay before another attempt', () => {
  it('doubles, stays below its cap and never falls under half of it', () => {
    const longest = [1, 2, 3, 4, 9, 14].map((attempt) => retryDelayMs('conflict', attempt, () => 1));
    expect(longest).toEqual([2, 4, 8, 16, 500, 500]);
    const shortest = [1, 2, 3, 4, 9, 14].map((attempt) => retryDelayMs('conflict', attempt, () => 0));
    expect(shortest).toEqual([1, 2, 4, 8, 250, 250]);
  });

  it('is longer where a server has to come back', () => {
    expect(retryDelayMs('connection', 1, () => 1)).toBe(50);
  });
});

describe('trying again', () => {
  it('ends with the first success and tells of each failure before', async () => {
    const failures = [errorWith('40001', 'first'), errorWith('40P01', 'second')];
    const onRetry = vi.fn();
    const attempt = async () => {
      const failure = failures.shift();
      if (failure) throw failure;
      return 'done';
    };
    expect(await withRetries('claim', attempt, onRetry)).toBe('done');
    expect(onRetry.mock.calls.map(([notice]) => notice)).toEqual([
      expect.objectContaining({ operation: 'claim', attempt: 1, reason: 'first', sqlState: '40001' }),
      expect.objectContaining({ operation: 'claim', attempt: 2, reason: 'second', sqlState: '40P01' }),
    ]);
  });

  it.each([
    ['ECONNRESET', 'connection'],
    ['40003', 'unknown_outcome'],
    ['23505', 'other'],
  ] as const)('gives up on %s with the error itself, after the attempts its kind allows', async (code, kind) => {
    const error = errorWith(code);
    const attempt = vi.fn(async () => {
      throw error;
    });
    await expect(withRetries('claim', attempt)).rejects.toBe(error);
    expect(attempt).toHaveBeenCalledTimes(maxAttempts[kind]);
  });

  it('allows conflicts the most attempts and other failures none', () => {
    expect(canRetry('conflict', maxAttempts.conflict - 1)).toBe(true);
    expect(canRetry('conflict', maxAttempts.conflict)).toBe(false);
    expect(canRetry('other', 1)).toBe(false);
  });
});

describe('an ambiguous commit', () => {
  it('says what is unknown, keeps its cause and maps to unavailable', () => {
    const cause = new Error('Connection terminated unexpectedly');
    const error = new AmbiguousCommitError('enqueue_runs', cause);
    expect(error.message).toContain('enqueue_runs');
    expect(error.message).toContain('Connection terminated unexpectedly');
    expect(error).toMatchObject({ name: 'AmbiguousCommitError', code: 'unavailable', cause });
  });
});
