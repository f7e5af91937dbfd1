// Coalesces runs that callers start at the same time: what one turn of the event loop brings is one write.
import { CronwrightError, type ErrorCode } from '../domain/errors.ts';
import type { NewRun } from '../domain/new-run.ts';

export interface EnqueueBatcher {
  /** Resolves once the run is durable. */
  enqueue(run: NewRun): Promise<void>;
}

interface Waiting {
  run: NewRun;
  resolve(): void;
  reject(error: unknown): void;
}

/** Two writes at once keep the database busy while the next batch collects; more would only make batches smaller. */
const writers = 2;
const largestBatch = 500;

/** What is wrong with the database is wrong for everyone; anything else may be the fault of one run. */
const faultsOfAll: readonly ErrorCode[] = ['unavailable', 'limit_reached'];

/** `write` makes all of them durable or none; the ids are client-made, so writing one twice is harmless. */
export function createEnqueueBatcher(write: (runs: readonly NewRun[]) => Promise<void>): EnqueueBatcher {
  let waiting: Waiting[] = [];
  let writing = 0;
  let scheduled = false;

  function schedule(): void {
    if (scheduled || writing >= writers || waiting.length === 0) return;
    scheduled = true;
    setImmediate(flush);
  }

  function flush(): void {
    scheduled = false;
    const batch = waiting.slice(0, largestBatch);
    waiting = waiting.slice(batch.length);
    if (batch.length === 0) return;
    writing += 1;
    void settle(batch).finally(() => {
      writing -= 1;
      schedule();
    });
    schedule();
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
