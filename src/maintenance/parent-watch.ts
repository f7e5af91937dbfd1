// Tells parents that their children have ended: at once where it happens here, by a look now and then for what got lost.
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Database } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import { admitRuns } from '../queue/admit-runs.ts';
import { cancelChildren } from '../queue/cancel-children.ts';
import { closeUnaskedChildren, findParentsOfOrphans, findUnheardChildren, wakeParents } from '../queue/wake-parents.ts';

export interface ParentWatchOptions {
  db: Database;
  events: EventBus;
  node: string;
  everyMs: number;
  /** There may be something to claim. */
  onReady: () => void;
}

const batch = 500;

export function createParentWatch(options: ParentWatchOptions): Service {
  const { db, events, node } = options;
  const told = createWakeUp();
  let ended: string[] = [];
  let unsubscribe: (() => void) | undefined;

  async function tell(children: readonly string[]): Promise<void> {
    const woken = await wakeParents(db, children, { node });
    if (woken.length === 0) return;
    const keys = woken.flatMap(({ tenant, blockedOn }) => (blockedOn === null ? [] : [{ tenant, key: blockedOn }]));
    if (keys.length > 0) await admitRuns(db, keys);
    options.onReady();
  }

  async function tellEnded(): Promise<void> {
    while (ended.length > 0) {
      const some = ended.slice(0, batch);
      await tell(some);
      ended = ended.slice(some.length);
    }
  }

  async function sweep(): Promise<void> {
    await closeUnaskedChildren(db, batch);
    await tell(await findUnheardChildren(db, batch));
    const parents = await findParentsOfOrphans(db, batch);
    if (parents.length === 0) return;
    const wish = { actor: null, reason: 'its parent has ended', rollback: false };
    const cancelled = await cancelChildren(db, parents, wish);
    for (const child of cancelled.ended) {
      events.emit('run.finished', { ...child, state: 'cancelled', result: 'cancellation', durationMs: 0 });
    }
    if (cancelled.admits.length > 0) await admitRuns(db, cancelled.admits);
    options.onReady();
  }

  const loop = createLoopService({
    name: 'parent-watch',
    async loop(signal) {
      while (!signal.aborted) {
        await tellEnded();
        if (!(await told.wait(options.everyMs, signal))) await sweep();
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'parent-watch', error: String(error) }),
  });

  return {
    name: 'parent-watch',
    async start() {
      unsubscribe ??= events.on('run.finished', ({ runId, origin }) => {
        if (origin !== 'parent') return;
        ended.push(runId);
        told.wake();
      });
      await loop.start();
    },
    async stop() {
      unsubscribe?.();
      unsubscribe = undefined;
      await loop.stop();
    },
  };
}
