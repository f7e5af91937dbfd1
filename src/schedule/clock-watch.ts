// Notices when the database's clock jumps against this process's monotonic one, and says what the scheduler should do.
import type { Clock } from '../base/clock.ts';
import type { EventBus } from '../observe/events.ts';

export type ClockJump = { kind: 'none' } | { kind: 'back' } | { kind: 'ahead'; holdMs: number };

export interface ClockWatch {
  /** To be called with each reading of the database's clock, in milliseconds since the epoch. */
  observe(databaseNowMs: number): ClockJump;
}

/** Beyond this a jump is worth a line in the log. */
const toldBeyondMs = 5_000;
/** Beyond this a jump changes what the scheduler does. */
const actedOnBeyondMs = 300_000;
const holdMs = 60_000;

export function createClockWatch(options: { clock: Clock; events: EventBus }): ClockWatch {
  let last: { database: number; monotonic: number } | undefined;
  return {
    observe(database) {
      const monotonic = options.clock.monotonic();
      const byMs = last === undefined ? 0 : database - last.database - (monotonic - last.monotonic);
      last = { database, monotonic };
      if (Math.abs(byMs) > toldBeyondMs) options.events.emit('clock.jumped', { byMs });
      if (byMs < -actedOnBeyondMs) return { kind: 'back' };
      return byMs > actedOnBeyondMs ? { kind: 'ahead', holdMs } : { kind: 'none' };
    },
  };
}
