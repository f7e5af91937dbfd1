// The start/stop contract and the waits that loops are made of.
import { describe, expect, it } from 'vitest';
import { createLoopService, sleepUnlessAborted } from '../../../src/base/service.ts';

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function failOnCrash(error: unknown): void {
  throw error;
}

describe('a loop service', () => {
  it('runs its loop from start until stop, which returns when the loop has ended', async () => {
    const log: string[] = [];
    const service = createLoopService({
      name: 'loop',
      onCrash: failOnCrash,
      async loop(signal) {
        log.push('begun');
        await aborted(signal);
        await Promise.resolve();
        log.push('ended');
      },
    });
    await service.start();
    expect(log).toEqual(['begun']);
    await service.stop();
    expect(log).toEqual(['begun', 'ended']);
  });

  it('is safe to stop before it starts and twice, and to start twice', async () => {
    let begun = 0;
    const service = createLoopService({
      name: 'loop',
      onCrash: failOnCrash,
      loop: (signal) => {
        begun += 1;
        return aborted(signal);
      },
    });
    await service.stop();
    await service.start();
    await service.start();
    expect(begun).toBe(1);
    await Promise.all([service.stop(), service.stop()]);
    await service.stop();
  });

  it('can be started again after it was stopped', async () => {
    let begun = 0;
    const service = createLoopService({
      name: 'loop',
      onCrash: failOnCrash,
      loop: (signal) => {
        begun += 1;
        return aborted(signal);
      },
    });
    await service.start();
    await service.stop();
    await service.start();
    await service.stop();
    expect(begun).toBe(2);
  });

  it('reports a crash and goes on', async () => {
    const crashes: unknown[] = [];
    const broken = new Error('broken pass');
    let again: (() => void) | undefined;
    const secondPass = new Promise<void>((resolve) => {
      again = resolve;
    });
    let pass = 0;
    const service = createLoopService({
      name: 'loop',
      restartDelayMs: 1,
      onCrash: (error) => crashes.push(error),
      async loop(signal) {
        pass += 1;
        if (pass === 1) throw broken;
        again?.();
        await aborted(signal);
      },
    });
    await service.start();
    await secondPass;
    expect(crashes).toEqual([broken]);
    await service.stop();
  });

  it('stops at once while it waits to begin again after a crash', async () => {
    const service = createLoopService({
      name: 'loop',
      restartDelayMs: 60_000,
      onCrash: () => {},
      loop: () => Promise.reject(new Error('broken')),
    });
    await service.start();
    const begun = performance.now();
    await service.stop();
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  it('does not report what its loop throws because it was stopped', async () => {
    const crashes: unknown[] = [];
    const service = createLoopService({
      name: 'loop',
      onCrash: (error) => crashes.push(error),
      async loop(signal) {
        await aborted(signal);
        throw new Error('query was cancelled');
      },
    });
    await service.start();
    await service.stop();
    expect(crashes).toEqual([]);
  });
});

describe('sleepUnlessAborted', () => {
  it('waits the whole time', async () => {
    expect(await sleepUnlessAborted(1, new AbortController().signal)).toBe(true);
  });

  it('ends early when the signal aborts, without rejecting', async () => {
    const controller = new AbortController();
    const sleep = sleepUnlessAborted(60_000, controller.signal);
    controller.abort(new Error('stop'));
    expect(await sleep).toBe(false);
  });

  it('does not wait where the signal has aborted before', async () => {
    expect(await sleepUnlessAborted(60_000, AbortSignal.abort())).toBe(false);
  });
});
