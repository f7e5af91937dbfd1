// Wakes delayed, waiting and retrying runs at their time, and admits what a lost race has left waiting for a slot.
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Database } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import { admitRuns, findBlockedKeys } from '../queue/admit-runs.ts';
import { nextTimerMs, wakeRuns } from '../queue/wake-runs.ts';

export interface RunTimersOptions {
  db: Database;
  events: EventBus;
  node: string;
  /** Longest time between two looks, in milliseconds. */
  everyMs: number;
  onReady: () => void;
}

export interface RunTimers extends Service {
  /** A run with a time was added. */
  wake(): void;
}

const batch = 1_000;

export function createRunTimers(options: RunTimersOptions): RunTimers {
  const { db, events } = options;
  const added = createWakeUp();

  async function wakeDue(): Promise<void> {
    for (;;) {
      const woken = await wakeRuns(db, { limit: batch, node: options.node });
      if (woken.length === 0) return;
      const keys = new Map<string, { tenant: string; key: string }>();
      for (const { tenant, blockedOn } of woken) {
        if (blockedOn !== null) keys.set(`${tenant} ${blockedOn}`, { tenant, key: blockedOn });
      }
      await admitRuns(db, [...keys.values()]);
      options.onReady();
      if (woken.length < batch) return;
    }
  }

  async function sweep(): Promise<void> {
    const admitted = await admitRuns(db, await findBlockedKeys(db));
    if (admitted.length > 0) options.onReady();
  }

  const loop = createLoopService({
    name: 'run-timers',
    async loop(signal) {
      while (!signal.aborted) {
        await wakeDue();
        await sweep();
        const nextMs = (await nextTimerMs(db)) ?? options.everyMs;
        await added.wait(Math.min(Math.max(Math.ceil(nextMs), 1), options.everyMs), signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'run-timers', error: String(error) }),
  });
  return { name: 'run-timers', wake: () => added.wake(), start: () => loop.start(), stop: () => loop.stop() };
}
