// Raises what has waited for long, in the queues whose settings ask for it; where none does it does nothing.
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import type { Database } from '../db/database.ts';
import { anyName, type SharedLimits } from '../domain/shared-limits.ts';
import type { EventBus } from '../observe/events.ts';
import { type AgingQueues, ageRuns } from '../queue/age-runs.ts';

export interface AgerOptions {
  db: Database;
  events: EventBus;
  limits: () => SharedLimits;
  /** Runs have another place in their line. */
  onAged: () => void;
}

const batch = 1_000;
const longestMs = 60_000;
const shortestMs = 200;

export function createAger(options: AgerOptions): Service {
  const { db, events } = options;
  return createLoopService({
    name: 'ager',
    async loop(signal) {
      while (!signal.aborted) {
        const aging = agingQueues(options.limits());
        for (const queues of aging) await ageAll(queues, signal);
        // A tenth of the time is late enough.
        const soonest = Math.min(longestMs, ...aging.map(({ agingMs }) => agingMs / 10));
        await sleepUnlessAborted(Math.max(shortestMs, soonest), signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'ager', error: String(error) }),
  });

  async function ageAll(queues: AgingQueues, signal: AbortSignal): Promise<void> {
    let total = 0;
    while (!signal.aborted) {
      const aged = await ageRuns(db, queues, { limit: batch });
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
