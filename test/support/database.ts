// Fresh databases for tests: one per call, on PGlite and on PostgreSQL, migrated unless asked otherwise.
import { createHash, randomBytes } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import type { Database, Isolation } from '../../src/db/database.ts';
import type { DatabaseHooks } from '../../src/db/database-event.ts';
import { migrate } from '../../src/db/migrate.ts';
import { readMigrations } from '../../src/db/migration-files.ts';
import { createPglite } from '../../src/db/pglite.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import './postgres-server.ts';

export interface TestDatabaseOptions extends DatabaseHooks {
  isolation?: Isolation;
  /** False: without schema. Default true. */
  migrate?: boolean;
  maxConnections?: number;
}

export interface TestDatabase {
  db: Database;
  /** How a second Database can reach it; not on PGlite. */
  url?: string;
  /** Where PGlite keeps it. */
  dataDir?: string;
  /** Ends the connections and deletes the database. Safe twice. */
  close(): Promise<void>;
}

export interface DatabaseVariant {
  name: string;
  kind: 'pglite' | 'postgres';
  isolation?: Isolation;
}

/** What every database suite runs on: `describe.each(databaseVariants)('… on $name', …)`. */
export const databaseVariants: readonly DatabaseVariant[] = [
  { name: 'PGlite', kind: 'pglite' },
  { name: 'PostgreSQL at read committed', kind: 'postgres', isolation: 'read committed' },
  { name: 'PostgreSQL at serializable', kind: 'postgres', isolation: 'serializable' },
];

export function createTestDatabase(
  kind: 'pglite' | 'postgres',
  options: TestDatabaseOptions = {},
): Promise<TestDatabase> {
  return kind === 'pglite' ? createOnPglite(options) : createOnPostgres(options);
}

async function createOnPglite({
  migrate: migrated = true,
  onEvent,
  onQuery,
}: TestDatabaseOptions): Promise<TestDatabase> {
  const directory = await mkdtemp(join(tmpdir(), 'cronwright-test-'));
  const dataDir = join(directory, 'db');
  await cp(await pgliteTemplate(migrated), dataDir, { recursive: true });
  const db = await createPglite({ dataDir, ...given({ onEvent, onQuery }) });
  return {
    db,
    dataDir,
    close: async () => {
      await db.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const pgliteTemplates = new Map<boolean, Promise<string>>();

/** A directory made once per set of migrations and kept between runs: initdb takes seconds, a copy a fraction. */
function pgliteTemplate(migrated: boolean): Promise<string> {
  const known = pgliteTemplates.get(migrated);
  if (known) return known;
  const made = makePgliteTemplate(migrated);
  pgliteTemplates.set(migrated, made);
  return made;
}

async function makePgliteTemplate(migrated: boolean): Promise<string> {
  const migrations = migrated ? await readMigrations() : [];
  const hash = createHash('sha256')
    .update(JSON.stringify([await pgliteVersion(), migrations]))
    .digest('hex')
    .slice(0, 16);
  const directory = join(tmpdir(), `cronwright-pglite-templates-${process.getuid?.() ?? 0}`);
  const template = join(directory, hash);
  await mkdir(directory, { recursive: true });
  if ((await readdir(directory)).includes(hash)) return template;
  const unfinished = await mkdtemp(join(directory, 'making-'));
  try {
    const dataDir = join(unfinished, 'db');
    if (migrated) await cp(await pgliteTemplate(false), dataDir, { recursive: true });
    const db = await createPglite({ dataDir });
    if (migrated) await migrate(db);
    await db.close();
    // Another process may have been faster: its template is as good.
    await rename(dataDir, template).catch(() => {});
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return template;
}

async function pgliteVersion(): Promise<unknown> {
  const entry = createRequire(import.meta.url).resolve('@electric-sql/pglite');
  return (JSON.parse(await readFile(join(dirname(entry), '..', 'package.json'), 'utf8')) as { version: unknown })
    .version;
}

async function createOnPostgres(options: TestDatabaseOptions): Promise<TestDatabase> {
  const { migrate: migrated = true, ...rest } = options;
  const server = postgresServer();
  const name = `${server.prefix}${randomBytes(6).toString('hex')}`;
  const template = migrated ? await postgresTemplate() : 'template1';
  await onServer(`create database "${name}" template "${template}"`);
  const url = urlOf(name);
  const db = createPostgres({ url, reentryGuard: true, ...rest });
  return {
    db,
    url,
    close: async () => {
      await db.close();
      await onServer(`drop database if exists "${name}" with (force)`);
    },
  };
}

let template: Promise<string> | undefined;

function postgresTemplate(): Promise<string> {
  template ??= makePostgresTemplate();
  return template;
}

async function makePostgresTemplate(): Promise<string> {
  const name = `${postgresServer().prefix}template_${randomBytes(6).toString('hex')}`;
  await onServer(`create database "${name}"`);
  const db = createPostgres({ url: urlOf(name) });
  await migrate(db);
  await db.close();
  // The server lets go of a closed connection a moment later, and copies only what nobody is connected to.
  await onServer(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '${name}'`);
  return name;
}

function postgresServer(): { url: string; prefix: string } {
  const server = inject('postgres');
  if (server === undefined)
    throw new Error('this test needs PostgreSQL, expected its project to have postgres-server.ts as globalSetup');
  if ('unavailable' in server) throw new Error(`this test needs PostgreSQL, and there is none: ${server.unavailable}`);
  return server;
}

function urlOf(database: string): string {
  const url = new URL(postgresServer().url);
  url.pathname = `/${database}`;
  return url.href;
}

async function onServer(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: postgresServer().url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

/** Leaves out what is undefined, which exact optional properties do not take. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
