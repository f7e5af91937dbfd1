// Wakes delayed, waiting and retrying runs at their time, and admits what a lost race has left waiting for a slot.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Database } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import { admitRuns, findBlockedKeys } from '../queue/admit-runs.ts';
import { nextTimerMs, wakeRuns } from '../queue/wake-runs.ts';

export interface RunTimersOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  node: string;
  /** How often blocked runs are looked at while there are any, in milliseconds. */
  everyMs: number;
  /** Longest time between two looks while there is nothing to wait for. */
  longestMs: number;
  onReady: () => void;
}

export interface RunTimers extends Service {
  /** A run with a time was added, or one that may have to wait for a slot. */
  wake(): void;
}

const batch = 1_000;
/** What is overdue and could not be woken is another node's at this moment. */
const takenMs = 20;

export function createRunTimers(options: RunTimersOptions): RunTimers {
  const { db, clock, events } = options;
  const added = createWakeUp();

  /** Milliseconds until the next time, after all that are due. */
  async function wakeDue(): Promise<number> {
    const nextMs = await nextTimerMs(db);
    if (nextMs === undefined) return options.longestMs;
    if (nextMs > 0) return Math.min(nextMs, options.longestMs);
    await wakeAllDue();
    return Math.min(Math.max((await nextTimerMs(db)) ?? options.longestMs, takenMs), options.longestMs);
  }

  async function wakeAllDue(): Promise<void> {
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

  /** Milliseconds until the next sweep: what waits for a slot is looked at often, an empty line seldom. */
  async function sweep(): Promise<number> {
    const keys = await findBlockedKeys(db);
    const admitted = await admitRuns(db, keys);
    if (admitted.length > 0) options.onReady();
    return keys.length > 0 ? options.everyMs : options.longestMs;
  }

  const loop = createLoopService({
    name: 'run-timers',
    async loop(signal) {
      let sweepAt = clock.monotonic();
      while (!signal.aborted) {
        // Both count from here, so that what is idle wakes once for both.
        const from = clock.monotonic();
        const timerAt = from + (await wakeDue());
        if (from >= sweepAt) sweepAt = from + (await sweep());
        const waitMs = Math.max(1, Math.ceil(Math.min(timerAt, sweepAt) - clock.monotonic()));
        const isWoken = await added.wait(waitMs, signal);
        if (isWoken) sweepAt = Math.min(sweepAt, clock.monotonic() + options.everyMs);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'run-timers', error: String(error) }),
  });
  return { name: 'run-timers', wake: () => added.wake(), start: () => loop.start(), stop: () => loop.stop() };
}
