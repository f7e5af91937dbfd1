// Gives up what attempts hold of budgets that are at work no more: nobody knows whether they have spent it.
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Database } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import { loseDeadHolds } from '../store/costs.ts';

export interface CostWatchOptions {
  db: Database;
  events: EventBus;
  everyMs: number;
}

/** Every node looks; each reservation is given up once. */
export function createCostWatch({ db, events, everyMs }: CostWatchOptions): Service {
  const rescued = createWakeUp();
  let unsubscribe = () => {};
  const loop = createLoopService({
    name: 'cost-watch',
    async loop(signal) {
      while (!signal.aborted) {
        const reservations = await loseDeadHolds(db);
        if (reservations > 0) events.emit('costs.lost', { reservations });
        await rescued.wait(everyMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'cost-watch', error: String(error) }),
  });
  return {
    name: loop.name,
    async start() {
      unsubscribe = events.on('run.rescued', () => rescued.wake());
      await loop.start();
    },
    async stop() {
      unsubscribe();
      await loop.stop();
    },
  };
}
