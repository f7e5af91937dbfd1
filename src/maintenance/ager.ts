// Raises what has waited for long, in the queues whose settings ask for it; where none does it does nothing.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import type { Database } from '../db/database.ts';
import { anyName, type SharedLimits } from '../domain/shared-limits.ts';
import type { EventBus } from '../observe/events.ts';
import { type AgingQueues, ageRuns, type IdRange } from '../queue/age-runs.ts';
import { firstIdOf } from '../queue/fair-tags.ts';

export interface AgerOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  limits: () => SharedLimits;
  /** Runs have another place in their line. */
  onAged: () => void;
}

const batch = 1_000;
const longestMs = 60_000;
const shortestMs = 200;
/** It rests for so many times as long as a look took. */
const restsPerLook = 20;
/** Ids of runs are from the clocks of those who made them. */
const clocksDifferMs = 2_000;

export function createAger(options: AgerOptions): Service {
  const { db, clock, events } = options;
  /** By queues: up to which id every run was old enough at the last look, and when all are looked at again. */
  const looks = new Map<string, { from: string; wholeAt: number }>();

  return createLoopService({
    name: 'ager',
    async loop(signal) {
      while (!signal.aborted) {
        const began = clock.monotonic();
        const aging = agingQueues(options.limits());
        for (const queues of aging) await ageAll(queues, signal);
        // A tenth of the time is late enough.
        const soonest = Math.min(longestMs, ...aging.map(({ agingMs }) => agingMs / 10));
        const rest = restsPerLook * (clock.monotonic() - began);
        await sleepUnlessAborted(Math.max(shortestMs, soonest, rest), signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'ager', error: String(error) }),
  });

  /**
   * Those that have become old enough since the last look. Once in the time of a rise all are looked at: one that was delayed,
   * paused or waited, or a child, is younger than its id.
   */
  function idsOf({ queues, isOthers, agingMs }: AgingQueues): IdRange | undefined {
    const key = `${isOthers} ${agingMs} ${queues.join(' ')}`;
    const last = looks.get(key);
    const dueMs = clock.now() - agingMs;
    const from = firstIdOf(dueMs - clocksDifferMs);
    const isWhole = last === undefined || clock.monotonic() >= last.wholeAt;
    looks.set(key, { from, wholeAt: isWhole ? clock.monotonic() + agingMs : last.wholeAt });
    return isWhole ? undefined : { from: last.from, to: firstIdOf(dueMs + clocksDifferMs) };
  }

  async function ageAll(queues: AgingQueues, signal: AbortSignal): Promise<void> {
    let total = 0;
    const ids = idsOf(queues);
    while (!signal.aborted) {
      const aged = await ageRuns(db, queues, { limit: batch, ids });
      total += aged;
      if (aged < batch) break;
    }
    if (total === 0) return;
    events.emit('runs.aged', { runs: total, agingMs: queues.agingMs });
    options.onAged();
  }
}

/** Those named one by one, and the rest together. */
function agingQueues({ queues }: SharedLimits): AgingQueues[] {
  const named = Object.keys(queues).filter((name) => name !== anyName);
  const aging = named.flatMap((name): AgingQueues[] => {
    const agingMs = queues[name]?.agingMs;
    return agingMs === undefined ? [] : [{ queues: [name], isOthers: false, agingMs }];
  });
  const others = queues[anyName]?.agingMs;
  return others === undefined ? aging : [...aging, { queues: named, isOthers: true, agingMs: others }];
}
