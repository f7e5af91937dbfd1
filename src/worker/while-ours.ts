// Asks the database on behalf of a run and does not give up while the run is ours: one that is away only delays.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, type Queryable, RollBack, type Statement } from '../db/database.ts';
import { sqlState } from '../db/retries.ts';
import { isRepeatable } from '../db/statement-names.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { EventBus } from '../observe/events.ts';
import { isRefused } from './checkpoint-writer.ts';
import type { ChildDeps } from './child-runs.ts';
import type { LiveRun } from './live-run.ts';

const retryAfterMs = 500;

/** Nobody waits for the answer any more: the run goes on elsewhere. */
export class RunLostError extends CronwrightError {
  constructor(runId: string) {
    super('conflict', `the run ${runId} now belongs to another worker`);
  }
}

interface Asking {
  db: Queryable;
  events: EventBus;
  children: ChildDeps;
}

/**
 * The same, with databases that repeat a read, and a write that does no harm twice, until it is answered. They reject with a
 * RunLostError once the lease is lost, and at once with what no repetition helps.
 */
export function whileOurs<Deps extends Asking>(run: LiveRun, deps: Deps): Deps {
  const { db, children, events } = deps;
  return { ...deps, db: patient(run, db, events), children: { ...children, db: patient(run, children.db, events) } };
}

function patient<Db extends Queryable>(run: LiveRun, db: Db, events: EventBus): Db {
  const query = (statement: Statement, params?: readonly unknown[]) => {
    const send = () => db.query(statement, params as never);
    return isRepeatable(statement) ? persist(run, events, send) : send();
  };
  if (!isDatabase(db)) return Object.assign(Object.create(db), { query });
  const transaction = <T>(work: (tx: Queryable) => Promise<T>, options?: { idempotent?: boolean }) => {
    const send = () => db.transaction(work, options);
    return options?.idempotent ? persist(run, events, send) : send();
  };
  return Object.assign(Object.create(db), { query, transaction });
}

async function persist<T>(run: LiveRun, events: EventBus, send: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await send();
    } catch (error) {
      if (run.abortedBy === 'lease_lost') throw new RunLostError(run.claimed.runId);
      if (isRefused(error) || isFault(error) || error instanceof RollBack) throw error;
      events.emit('service.crashed', { service: 'run-queries', error: String(error) });
      await sleep(retryAfterMs);
    }
  }
}

/** It is wrong in itself: repeated, it would hold the run for ever. */
function isFault(error: unknown): boolean {
  return error instanceof TypeError || sqlState(error)?.startsWith('42') === true;
}

function isDatabase(db: Queryable): db is Database {
  return 'transaction' in db;
}
