// Coalesces runs that callers start at the same time: what one turn of the event loop brings is one write.
import { CronwrightError, type ErrorCode } from '../domain/errors.ts';
import type { NewRun } from '../domain/new-run.ts';
import { outsideTraces } from '../observe/tracer.ts';

export interface EnqueueBatcher {
  /** Resolves once the run is durable. */
  enqueue(run: NewRun): Promise<void>;
}

interface Waiting {
  run: NewRun;
  resolve(): void;
  reject(error: unknown): void;
}

const largestBatch = 500;

/** What is wrong with the database is wrong for everyone; anything else may be the fault of one run. */
const faultsOfAll: readonly ErrorCode[] = ['unavailable', 'limit_reached'];

/** `write` makes all of them durable or none; the ids are client-made, so writing one twice is harmless. */
export function createEnqueueBatcher(write: (runs: readonly NewRun[]) => Promise<void>): EnqueueBatcher {
  let waiting: Waiting[] = [];
  let busy = false;

  // One write at a time: what comes meanwhile is the next one. A second write beside it would make both smaller, and a
  // statement costs the database more than the rows in it.
  function schedule(): void {
    if (busy || waiting.length === 0) return;
    busy = true;
    // The batch belongs to many callers, not to the trace of the first.
    outsideTraces(() => setImmediate(flush));
  }

  function flush(): void {
    const batch = waiting.slice(0, largestBatch);
    waiting = waiting.slice(batch.length);
    void settle(batch).finally(() => {
      busy = false;
      schedule();
    });
  }

  async function settle(batch: readonly Waiting[]): Promise<void> {
    try {
      await write(batch.map((one) => one.run));
      for (const one of batch) one.resolve();
    } catch (error) {
      if (batch.length === 1 || (error instanceof CronwrightError && faultsOfAll.includes(error.code))) {
        for (const one of batch) one.reject(error);
        return;
      }
      // One run that the database refuses must not fail the others.
      for (const one of batch) await settle([one]);
    }
  }

  return {
    enqueue: (run) =>
      new Promise((resolve, reject) => {
        waiting.push({ run, resolve, reject });
        schedule();
      }),
  };
}
