// wait.sleep on the real timer.
import { describe, expect, it } from 'vitest';
import { errorOf, outputOf, runStep } from '../support/step-context.ts';

describe('wait.sleep', () => {
  it.each([
    ['30ms', 30],
    [25, 25],
    ['0.02s', 20],
    ['0m5ms', 5],
  ])('waits %s', async (duration, ms) => {
    const startedAt = performance.now();
    expect(outputOf(await runStep('wait.sleep', { duration }))).toEqual({ slept_ms: ms });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(ms - 2);
  });

  it('ends at once when its signal aborts', async () => {
    const startedAt = performance.now();
    const { result } = await runStep('wait.sleep', { duration: '1h30m' }, { timeoutMs: 30 });
    expect(result).toMatchObject({ kind: 'timeout', scope: 'step', abandoned: false });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('does not wait in a dry run', async () => {
    expect(outputOf(await runStep('wait.sleep', { duration: '1h' }, { dryRun: true }))).toEqual({ slept_ms: 0 });
  });

  it.each(['5', 'soon', '-1s', '8d', -1, 1e12])('refuses %s', async (duration) => {
    expect(errorOf(await runStep('wait.sleep', { duration })).name).toBe('ValidationError');
  });
});
