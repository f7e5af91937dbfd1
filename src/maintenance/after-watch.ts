// Starts runs that wait for another pipeline: at once where it completes here, by a look now and then for all others.
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Database } from '../db/database.ts';
import { pipelineOfKey } from '../domain/after.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { EventBus } from '../observe/events.ts';
import { admitAfter } from '../queue/admit-after.ts';
import { admitRuns, findBlockedKeys } from '../queue/admit-runs.ts';

export interface AfterWatchOptions {
  db: Database;
  events: EventBus;
  catalog: Pick<PipelineCatalog, 'list'>;
  everyMs: number;
  /** There may be something to claim. */
  onReady: () => void;
}

/** By `tenant/pipeline`: the pipelines that one waits for; and those that are waited for. */
interface Names {
  of: readonly Pipeline[];
  waitsFor: ReadonlyMap<string, readonly string[]>;
  isAwaited: ReadonlySet<string>;
}

export function createAfterWatch(options: AfterWatchOptions): Service {
  const { db, events, catalog } = options;
  const news = createWakeUp();
  const due = new Map<string, { tenant: string; pipeline: string }>();
  let names: Names = namesOf([]);
  let unsubscribe: (() => void)[] = [];

  /** The list is another one whenever pipelines have changed. */
  function current(): Names {
    const list = catalog.list();
    if (list !== names.of) names = namesOf(list);
    return names;
  }

  function look(tenant: string, pipeline: string): void {
    due.set(`${tenant}/${pipeline}`, { tenant, pipeline });
    news.wake();
  }

  async function admitDue(): Promise<void> {
    for (const [id, { tenant, pipeline }] of due) {
      due.delete(id);
      const { ready, keys } = await admitAfter(db, tenant, pipeline);
      for (const { key } of keys) {
        const next = pipelineOfKey(key);
        if (next !== undefined) due.set(`${tenant}/${next}`, { tenant, pipeline: next });
      }
      await admitRuns(db, keys);
      if (ready + keys.length > 0) options.onReady();
    }
  }

  async function sweep(): Promise<void> {
    for (const { tenant, key } of await findBlockedKeys(db)) {
      const pipeline = pipelineOfKey(key);
      if (pipeline !== undefined) due.set(`${tenant}/${pipeline}`, { tenant, pipeline });
    }
  }

  const loop = createLoopService({
    name: 'after-watch',
    async loop(signal) {
      await sweep();
      while (!signal.aborted) {
        await admitDue();
        if (!(await news.wait(options.everyMs, signal))) await sweep();
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'after-watch', error: String(error) }),
  });

  return {
    name: 'after-watch',
    async start() {
      if (unsubscribe.length === 0) {
        unsubscribe = [
          events.on('run.finished', ({ tenant, pipeline, state }) => {
            if (state === 'completed' && current().isAwaited.has(`${tenant}/${pipeline}`)) look(tenant, pipeline);
          }),
          events.on('run.enqueued', ({ tenant, pipeline }) => {
            const { waitsFor } = current();
            if (waitsFor.size === 0) return;
            for (const one of waitsFor.get(`${tenant}/${pipeline}`) ?? []) look(tenant, one);
          }),
        ];
      }
      await loop.start();
    },
    async stop() {
      for (const end of unsubscribe) end();
      unsubscribe = [];
      await loop.stop();
    },
  };
}

function namesOf(list: readonly Pipeline[]): Names {
  const waitsFor = new Map<string, readonly string[]>();
  const isAwaited = new Set<string>();
  for (const { tenant, id, after = [] } of list) {
    if (after.length === 0) continue;
    waitsFor.set(
      `${tenant}/${id}`,
      after.map((one) => one.pipeline),
    );
    for (const one of after) isAwaited.add(`${tenant}/${one.pipeline}`);
  }
  return { of: list, waitsFor, isAwaited };
}
