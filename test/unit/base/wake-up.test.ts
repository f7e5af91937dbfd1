// A wake-up ends a wait early and is never lost.
import { describe, expect, it } from 'vitest';
import { createWakeUp } from '../../../src/base/wake-up.ts';

const never = new AbortController().signal;

describe('a wake-up', () => {
  it('ends the wait that is under way', async () => {
    const wakeUp = createWakeUp();
    const wait = wakeUp.wait(60_000, never);
    wakeUp.wake();
    expect(await wait).toBe(true);
  });

  it('that came before the wait ends it at once, once, however many there were', async () => {
    const wakeUp = createWakeUp();
    wakeUp.wake();
    wakeUp.wake();
    expect(await wakeUp.wait(60_000, never)).toBe(true);
    expect(await wakeUp.wait(1, never)).toBe(false);
  });

  it('ends one wait, not the next one too', async () => {
    const wakeUp = createWakeUp();
    const wait = wakeUp.wait(60_000, never);
    wakeUp.wake();
    await wait;
    expect(await wakeUp.wait(1, never)).toBe(false);
  });

  it('is not needed: the time runs out', async () => {
    expect(await createWakeUp().wait(1, never)).toBe(false);
  });

  it('gives way to an abort, during the wait and before it', async () => {
    const wakeUp = createWakeUp();
    const controller = new AbortController();
    const wait = wakeUp.wait(60_000, controller.signal);
    controller.abort();
    expect(await wait).toBe(false);
    expect(await wakeUp.wait(60_000, controller.signal)).toBe(false);
  });

  it('that came before an aborted wait is still told', async () => {
    const wakeUp = createWakeUp();
    wakeUp.wake();
    expect(await wakeUp.wait(60_000, AbortSignal.abort())).toBe(true);
  });

  it('after the wait ended by time is kept for the next one', async () => {
    const wakeUp = createWakeUp();
    await wakeUp.wait(1, never);
    wakeUp.wake();
    expect(await wakeUp.wait(60_000, never)).toBe(true);
  });
});
