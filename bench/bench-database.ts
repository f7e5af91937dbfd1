// A fresh, migrated database for one scenario, on the bench's server or embedded.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type Database, statement } from '../src/db/database.ts';
import type { DatabaseHooks } from '../src/db/database-event.ts';
import { migrate } from '../src/db/migrate.ts';
import { openDatabase } from '../src/db/open-database.ts';
import type { Bench } from './scenario.ts';

export interface BenchDatabase {
  db: Database;
  /** Undefined on PGlite. */
  url: string | undefined;
  dataDir: string;
  /** Ends the connections and deletes the database. */
  close(): Promise<void>;
}

export async function createBenchDatabase(bench: Bench, hooks: DatabaseHooks = {}): Promise<BenchDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'cronwright-bench-data-'));
  const url = bench.pglite ? undefined : await createDatabase(bench.cluster.url);
  const db = await openDatabase({ dataDir, ...(url === undefined ? {} : { databaseUrl: url }), ...hooks });
  await migrate(db);
  return {
    db,
    url,
    dataDir,
    async close() {
      await db.close();
      if (url !== undefined)
        await onServer(bench.cluster.url, `drop database "${new URL(url).pathname.slice(1)}" with (force)`);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Runs SQL that no part of the program has. */
export async function sql<Row = Record<string, unknown>>(
  db: Database,
  text: string,
  params: readonly unknown[] = [],
): Promise<Row[]> {
  return (await db.query<Row>(statement('bench_sql', text, { prepare: false, timeoutMs: 0 }), params)).rows;
}

async function createDatabase(server: string): Promise<string> {
  const name = `cronwright_bench_${randomBytes(6).toString('hex')}`;
  await onServer(server, `create database "${name}"`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function onServer(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
