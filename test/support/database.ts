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
import { seededRandom, seedOfThisRun } from './seeded-random.ts';
import { randomFaults, startWireProxy, type WireQuery } from './wire-proxy.ts';

export interface TestDatabaseOptions extends DatabaseHooks {
  isolation?: Isolation;
  /** Seed of the faults between it and its server; absent: none. */
  faults?: number;
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
  kind: DatabaseKind;
  isolation?: Isolation;
  faults?: number;
}

type DatabaseKind = 'pglite' | 'postgres' | 'cockroachdb';

/** A server of CockroachDB, where one is at hand: all suites of databases run on it too. */
export const cockroachUrl = process.env.COCKROACH_URL;

/** What every database suite runs on: `describe.each(databaseVariants)('… on $name', …)`. */
export const databaseVariants: readonly DatabaseVariant[] = [
  { name: 'PGlite', kind: 'pglite' },
  { name: 'PostgreSQL at read committed', kind: 'postgres', isolation: 'read committed' },
  { name: 'PostgreSQL at serializable', kind: 'postgres', isolation: 'serializable' },
  ...(cockroachUrl ? [{ name: 'CockroachDB', kind: 'cockroachdb' as const }] : []),
];

/** What whole engines run on: what they do at `serializable` is the business of the suites of single operations. */
export const engineVariants = databaseVariants.filter((variant) => variant.isolation !== 'serializable');

const seed = seedOfThisRun();

/** PostgreSQL behind a connection that fails now and then; `CHAOS_SEED` has the same faults again. */
export const faultyVariants: readonly DatabaseVariant[] = [
  { name: 'a bad line at read committed', isolation: 'read committed' as const },
  { name: 'a bad line at serializable', isolation: 'serializable' as const },
].map((variant) => ({ ...variant, kind: 'postgres', faults: seed }));

export function optionsOf({ isolation, faults }: DatabaseVariant): TestDatabaseOptions {
  return given({ isolation, faults });
}

export function createTestDatabase(kind: DatabaseKind, options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  if (kind === 'pglite') return createOnPglite(options);
  return kind === 'cockroachdb' ? createOnCockroach(options) : createOnPostgres(options);
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
  const { migrate: migrated = true, faults, ...rest } = options;
  const server = postgresServer();
  const name = `${server.prefix}${randomBytes(6).toString('hex')}`;
  const template = migrated ? await postgresTemplate() : 'template1';
  await onServer(`create database "${name}" template "${template}"`);
  const url = urlOf(name);
  if (faults !== undefined) console.info(`faults on the way to ${name}: CHAOS_SEED=${faults}`);
  const proxy = faults === undefined ? undefined : await startWireProxy(url, { fault: unseenFaults(faults) });
  const db = createPostgres({ url: proxy?.url ?? url, reentryGuard: true, ...rest });
  return {
    db,
    url,
    close: async () => {
      await db.close();
      await proxy?.close();
      await onServer(`drop database if exists "${name}" with (force)`);
    },
  };
}

/** What a second time answers as the first did. */
const repeatAlike = new Set(['write_checkpoints', 'make_slots', 'retire_slots', 'upsert_schedules', 'register_node']);

/** Faults that a caller need not know of: all conflicts, and lost connections where the driver may send again. */
function unseenFaults(seed: number) {
  const draw = randomFaults(seededRandom(seed), { conflict: 0.05, cutBefore: 0.02, cutAfter: 0.02 });
  const isTold = ({ name, within }: WireQuery) => name === 'claim_runs' || within.includes('rescue_runs');
  return (query: WireQuery) => {
    const fault = draw(query);
    if (fault === 'cut_before' && isTold(query)) return undefined;
    return fault === 'cut_after' && !repeatAlike.has(query.name) ? undefined : fault;
  };
}

/** The databases of CockroachDB are migrated each by itself: it has no templates. */
async function createOnCockroach(options: TestDatabaseOptions): Promise<TestDatabase> {
  if (!cockroachUrl) throw new Error('this test needs CockroachDB, expected its URL in COCKROACH_URL');
  const { migrate: migrated = true, faults: _, ...rest } = options;
  const name = `cronwright_test_${randomBytes(6).toString('hex')}`;
  await onServer(`create database "${name}"`, cockroachUrl);
  const url = new URL(cockroachUrl);
  url.pathname = `/${name}`;
  const db = createPostgres({ url: url.href, reentryGuard: true, ...rest });
  if (migrated) await migrate(db);
  return {
    db,
    url: url.href,
    close: async () => {
      await db.close();
      await onServer(`drop database if exists "${name}" cascade`, cockroachUrl);
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

async function onServer(sql: string, url = postgresServer().url): Promise<void> {
  const client = new pg.Client({ connectionString: url });
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
