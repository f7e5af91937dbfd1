// Group commit: outcomes of all runs of a node are written together, as soon as one of two connections is free.
import type { Queryable } from '../db/database.ts';
import { sqlState } from '../db/retries.ts';
import type { FencedWrite } from '../queue/fenced-write.ts';
import { finishRuns, type RunFinish } from '../queue/finish-runs.ts';
import { type RunRelease, releaseRuns } from '../queue/release-runs.ts';
import { writeCheckpoints } from '../queue/write-checkpoints.ts';
import { type RollbackWrite, writeRollbacks } from '../queue/write-rollback.ts';

/** Each answers true once the write is durable, false where the run is no longer this worker's (nothing was written). */
export interface CheckpointWriter {
  checkpoint(write: FencedWrite): Promise<boolean>;
  finish(finish: RunFinish): Promise<boolean>;
  release(release: RunRelease): Promise<boolean>;
  rollback(write: RollbackWrite): Promise<boolean>;
}

export interface CheckpointWriterOptions {
  connections: readonly Queryable[];
  node: string;
  now: () => number;
  /** Slots that a flush has freed. */
  onFreed: (keys: readonly { tenant: string; key: string }[]) => void;
  /** A flush is durable, and with it the history of its runs. */
  onWritten: () => void;
}

const maxBatch = 500;

/** Whether the database has refused the data itself (22, 23, 54): sending it again is of no use. */
export function isRefused(error: unknown): boolean {
  return /^(22|23|54)/.test(sqlState(error) ?? '');
}

interface Waiting<Write> {
  write: Write;
  resolve: (accepted: boolean) => void;
  reject: (error: unknown) => void;
}

export function createCheckpointWriter(options: CheckpointWriterOptions): CheckpointWriter {
  const free = [...options.connections];
  const checkpoints = createLine<FencedWrite>((db, writes) => writeCheckpoints(db, writes, options.node, flushTime()));
  const releases = createLine<RunRelease>((db, writes) => releaseRuns(db, writes, options.node, flushTime()));
  const finishes = createLine<RunFinish>(async (db, writes) => {
    const { finished, freed } = await finishRuns(db, writes, options.node, flushTime());
    if (freed.length > 0) options.onFreed(freed);
    return finished;
  });
  const rollbacks = createLine<RollbackWrite>((db, writes) => writeRollbacks(db, writes, options.node, flushTime()));
  const lines = [finishes, checkpoints, releases, rollbacks];

  function flushTime(): Date {
    return new Date(options.now());
  }

  /** No timer: what comes while both connections are busy becomes the next batch. */
  function pump(): void {
    while (free.length > 0) {
      const line = lines.reduce((longest, one) => (one.length() > longest.length() ? one : longest));
      if (line.length() === 0) return;
      const connection = free.pop() as Queryable;
      void line.flush(connection).then(() => {
        options.onWritten();
        free.push(connection);
        pump();
      });
    }
  }

  function add<Write>(line: Line<Write>, write: Write): Promise<boolean> {
    const written = line.add(write);
    // Writes of one turn of the event loop travel together.
    queueMicrotask(pump);
    return written;
  }

  return {
    checkpoint: (write) => add(checkpoints, write),
    finish: (write) => add(finishes, write),
    release: (write) => add(releases, write),
    rollback: (write) => add(rollbacks, write),
  };
}

interface Line<Write> {
  add(write: Write): Promise<boolean>;
  length(): number;
  flush(db: Queryable): Promise<void>;
}

function createLine<Write extends FencedWrite>(
  flushBatch: (db: Queryable, writes: readonly Write[]) => Promise<Set<string>>,
): Line<Write> {
  let waiting: Waiting<Write>[] = [];

  async function settle(db: Queryable, batch: readonly Waiting<Write>[]): Promise<void> {
    try {
      const accepted = await flushBatch(
        db,
        batch.map((one) => one.write),
      );
      for (const one of batch) one.resolve(accepted.has(one.write.runId));
    } catch (error) {
      if (batch.length === 1 || !isRefused(error)) {
        for (const one of batch) one.reject(error);
        return;
      }
      // What the database will not store is one run's, and must not hold up the others.
      for (const one of batch) await settle(db, [one]);
    }
  }

  return {
    add: (write) => new Promise((resolve, reject) => waiting.push({ write, resolve, reject })),
    length: () => waiting.length,
    async flush(db) {
      const batch = waiting.slice(0, maxBatch);
      waiting = waiting.slice(maxBatch);
      await settle(db, batch);
    },
  };
}
