// PGlite: PostgreSQL embedded in a worker thread, the database of those who have none yet.
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Worker } from 'node:worker_threads';
import pg from 'pg';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import type { Database } from './database.ts';
import type { DatabaseEvent, DatabaseHooks } from './database-event.ts';
import { type DirectoryLock, lockDirectory } from './pglite-lock.ts';
import { createUpkeep } from './pglite-upkeep.ts';
import { PgliteWire, type WorkerMessage } from './pglite-wire.ts';
import { createPooledDatabase } from './pooled-database.ts';
import { createReentryGuard } from './reentry-guard.ts';
import { applySessionSettings } from './session-settings.ts';
import { sqlTypes } from './sql-values.ts';
import { createStatementNames } from './statement-names.ts';
import { siblingOf, startProcess, startWorker } from './typescript-entry.ts';

export interface PgliteOptions extends DatabaseHooks {
  /** The directory of the database, made at the first start; its lock is the file `<dataDir>.lock`. Or `memory://`. */
  dataDir: string;
  /** Tables to vacuum often. Default: those whose rows live shortest. */
  vacuumTables?: readonly string[];
  /** Rows written between two vacuums. Default 20,000: a few thousand finished runs. */
  vacuumEveryWrites?: number;
  /** Milliseconds after which writes are followed by a vacuum at the latest. Default 60,000. */
  vacuumEveryMs?: number;
}

const hotTables = ['queue', 'slots', 'schedules', 'nodes', 'runs'].map((table) => `cronwright.${table}`);

/**
 * Opens the database, and makes it first where there is none. Throws CronwrightError `unavailable` where another process
 * has it open. Survives a crash of the process, not a power loss: PGlite never syncs to the disk.
 */
export async function createPglite(options: PgliteOptions): Promise<Database> {
  const onEvent = (event: DatabaseEvent) => options.onEvent?.(event);
  const inMemory = options.dataDir.startsWith('memory://');
  const dataDir = inMemory ? options.dataDir : resolve(options.dataDir);
  const lock = inMemory ? undefined : await lockAndInitialise(dataDir, onEvent);
  let lastWorkerEnded: Promise<unknown> | undefined;

  async function start(): Promise<Worker> {
    if (inMemory && lastWorkerEnded) throw new Error('its worker has ended, and the data in memory with it');
    await lastWorkerEnded;
    const worker = await readyWorker(dataDir);
    lastWorkerEnded = new Promise((resolvePromise) => worker.once('exit', resolvePromise));
    return worker;
  }

  const pool = new pg.Pool({
    // One connection: whole transactions take turns, and plain queries queue up behind them.
    max: 1,
    idleTimeoutMillis: 0,
    stream: () => new PgliteWire(start),
    user: 'postgres',
    database: 'postgres',
    ssl: false,
    types: sqlTypes,
    pipeline: true,
    onConnect: async (client) => {
      client.on('error', () => {});
      await applySessionSettings(client, { cockroachdb: false });
    },
  });
  pool.on('error', (error) => onEvent({ type: 'connection_lost', reason: error.message }));

  const upkeep = createUpkeep(
    () => database,
    {
      vacuumTables: options.vacuumTables ?? hotTables,
      vacuumEveryWrites: options.vacuumEveryWrites ?? 20_000,
      vacuumEveryMs: options.vacuumEveryMs ?? 60_000,
    },
    onEvent,
  );

  const database = createPooledDatabase({
    kind: () => 'pglite',
    pool,
    names: createStatementNames(),
    guard: createReentryGuard(),
    hooks: options,
    onResult: upkeep.noteWrites,
    // The worker is in this process: there is no network to lose an answer on.
    queryTimeoutMs: 0,
    connectFailed: (error) =>
      new CronwrightError('unavailable', `cannot open the embedded database in ${dataDir}: ${errorMessage(error)}`, {
        cause: error,
      }),
    dedicated: async () => ({
      query: (statement, params) => database.query(statement, params),
      close: async () => {},
    }),
    beforeClose: upkeep.stop,
    closeRest: async () => {
      // The pool does not wait for it, and the next process must not open what this one still writes.
      await lastWorkerEnded;
      lock?.release();
    },
  });

  try {
    await database.query({ name: 'ping', text: 'select 1' });
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}

async function lockAndInitialise(dataDir: string, onEvent: (event: DatabaseEvent) => void): Promise<DirectoryLock> {
  const path = `${dataDir}.lock`;
  const lock = await lockDirectory(path, (formerPid) => onEvent({ type: 'lock_taken_over', path, formerPid }));
  try {
    if (!existsSync(join(dataDir, 'PG_VERSION'))) await initialise(dataDir, onEvent);
  } catch (error) {
    lock.release();
    throw error;
  }
  return lock;
}

/** Makes the directory under another name first, so that one which was cut off is never taken for whole. */
async function initialise(dataDir: string, onEvent: (event: DatabaseEvent) => void): Promise<void> {
  const startedAt = performance.now();
  if (existsSync(dataDir) && readdirSync(dataDir).length > 0) {
    throw new CronwrightError(
      'unavailable',
      `${dataDir} is not empty and no database, expected an empty directory or none`,
    );
  }
  const unfinished = `${dataDir}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(dirname(dataDir), { recursive: true });
  await runInit(unfinished);
  if (existsSync(dataDir)) rmdirSync(dataDir);
  renameSync(unfinished, dataDir);
  onEvent({ type: 'initialised', dataDir, seconds: (performance.now() - startedAt) / 1_000 });
}

function runInit(directory: string): Promise<void> {
  const child = startProcess(siblingOf(import.meta.url, 'pglite-init'), [directory]);
  return new Promise((resolvePromise, reject) => {
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0) return resolvePromise();
      const how = signal ?? `exit code ${code}`;
      reject(
        new CronwrightError(
          'unavailable',
          `making the embedded database in ${directory} ended with ${how}: ${stderr.trim()}`,
        ),
      );
    });
  });
}

function readyWorker(dataDir: string): Promise<Worker> {
  const worker = startWorker(siblingOf(import.meta.url, 'pglite-worker'), { dataDir });
  return new Promise((resolvePromise, reject) => {
    const settle = (error?: Error) => {
      worker.off('error', settle).off('exit', onExit).off('message', onMessage);
      if (!error) return resolvePromise(worker);
      worker.on('error', () => {});
      worker.terminate().finally(() => reject(error));
    };
    const onExit = (code: number) => settle(new Error(`its worker ended with exit code ${code}`));
    const onMessage = (message: WorkerMessage) => {
      if (message instanceof Uint8Array) settle(new Error('its worker answered before it was asked'));
      else settle(message.type === 'ready' ? undefined : new Error(message.reason));
    };
    worker.on('error', settle).on('exit', onExit).on('message', onMessage);
  });
}
