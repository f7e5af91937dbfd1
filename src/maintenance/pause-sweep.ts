// Settles pauses of pipelines and tenants again and again: runs that raced with one, and pauses whose end has come.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import type { Database } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import { admitRuns } from '../queue/admit-runs.ts';
import { forgetPauses } from '../queue/pauses.ts';
import { settlePauses } from '../queue/settle-pauses.ts';

export interface PauseSweepOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  /** Between two looks while a pause lasts, in milliseconds: for its end, and while it is young for runs that raced with it. */
  everyMs: number;
  /** Between two looks while none does, and between two looks for runs that any pause is to hold. */
  idleMs: number;
  onReady: () => void;
}

const forgetEveryMs = 3_600_000;
/** What enqueues, claims or wakes a run and has not seen a pause began before it, and is over by then. */
const youngMs = 10_000;

export function createPauseSweep(options: PauseSweepOptions): Service {
  const { db, clock, events } = options;

  let allAt = clock.monotonic();

  /** Milliseconds until the next look. */
  async function sweep(): Promise<number> {
    const isForAll = clock.monotonic() >= allAt;
    if (isForAll) allAt = clock.monotonic() + options.idleMs;
    const { inForce, held, asked, letGo, keys } = await settlePauses(
      db,
      null,
      (pause) => isForAll || clock.now() - pause.at.getTime() < youngMs,
    );
    if (held + asked + letGo > 0) events.emit('pauses.settled', { held, asked, letGo });
    await admitRuns(db, keys);
    if (keys.length > 0 || letGo > 0) options.onReady();
    const ends = inForce.flatMap((pause) => (pause.until === null ? [] : [pause.until.getTime() - clock.now()]));
    return Math.max(10, Math.min(inForce.length > 0 ? options.everyMs : options.idleMs, ...ends));
  }

  return createLoopService({
    name: 'pause-sweep',
    async loop(signal) {
      let forgetAt = clock.monotonic();
      while (!signal.aborted) {
        const waitMs = await sweep();
        if (clock.monotonic() >= forgetAt) {
          await forgetPauses(db);
          forgetAt = clock.monotonic() + forgetEveryMs;
        }
        await sleepUnlessAborted(waitMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'pause-sweep', error: String(error) }),
  });
}
