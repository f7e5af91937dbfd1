// The queues of a node that serves all: those its pipelines name, and those where runs of removed pipelines still wait.
import type { Clock } from '../base/clock.ts';
import type { Queryable } from '../db/database.ts';
import { findReadyQueues } from '../queue/find-ready-queues.ts';

const lookEveryMs = 10_000;
/** `cronwright run` has a queue of its own that nobody else serves. */
const ofOneProcess = /^run-\d+$/;

/** `named` gives the same list until the configuration changes. */
export function createServedQueues(options: {
  db: Queryable;
  clock: Clock;
  named: () => readonly string[];
}): () => Promise<readonly string[]> {
  let lookedFor: readonly string[] | undefined;
  let lookedAt = 0;
  let served: readonly string[] = [];
  return async () => {
    const named = options.named();
    const now = options.clock.monotonic();
    if (named === lookedFor && now - lookedAt < lookEveryMs) return served;
    const ready = await findReadyQueues(options.db);
    const strays = ready.filter((queue) => !named.includes(queue) && !ofOneProcess.test(queue));
    [lookedFor, lookedAt, served] = [named, now, strays.length === 0 ? named : [...named, ...strays]];
    return served;
  };
}
