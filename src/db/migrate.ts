// Brings a database's schema up to this version, one idempotent statement at a time, whoever else tries at once.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import { type Database, type Queryable, statement } from './database.ts';
import { type Migration, readMigrations } from './migration-files.ts';
import { withMigrationLease } from './migration-lease.ts';
import { sqlState } from './retries.ts';
import { splitStatements } from './split-statements.ts';

export interface MigrateOptions {
  /** Hears of each file this call has applied. */
  onApplied?: (name: string) => void;
  /** Where the `.sql` files are; default: those of this version. */
  directory?: string;
}

export interface MigrateResult {
  /** The files this call applied, in order. */
  applied: string[];
  /** How many of this version's files others or earlier starts had applied. */
  already: number;
}

/**
 * Applies what is missing. Safe from many nodes at once: each file is applied once, the others wait. Throws
 * invalid_config where a landed file was changed, or where a statement fails (with file and statement).
 */
export async function migrate(db: Database, options: MigrateOptions = {}): Promise<MigrateResult> {
  const migrations = await readMigrations(options.directory);
  if ((await pendingOf(db, migrations)).length === 0) return { applied: [], already: migrations.length };

  for (const text of bookkeeping) await runPatiently(db, text, 'the migration tables');
  const applied: string[] = [];
  await withMigrationLease(db, randomUUID(), async () => {
    // Read again: another node may have done it while this one waited.
    for (const migration of await pendingOf(db, migrations)) {
      if (await apply(db, migration)) {
        applied.push(migration.name);
        options.onApplied?.(migration.name);
      }
    }
  });
  return { applied, already: migrations.length - applied.length };
}

/** The names of this version's files that the database does not have yet. Throws as `migrate` does on a changed file. */
export async function pendingMigrations(db: Queryable, options: { directory?: string } = {}): Promise<string[]> {
  return (await pendingOf(db, await readMigrations(options.directory))).map((migration) => migration.name);
}

async function pendingOf(db: Queryable, migrations: readonly Migration[]): Promise<Migration[]> {
  const landed = new Map((await readLanded(db)).map((row) => [row.number, row]));
  for (const { number, name, checksum } of migrations) {
    const row = landed.get(number);
    if (row && row.checksum !== checksum) {
      throw new CronwrightError(
        'invalid_config',
        `the migration ${name} has changed since it was applied (as ${row.name}): got checksum ${checksum.slice(0, 12)}, ` +
          `expected ${row.checksum.slice(0, 12)}; landed files are never edited, write a new one`,
      );
    }
  }
  return migrations.filter((migration) => !landed.has(migration.number));
}

interface LandedMigration {
  number: number;
  name: string;
  checksum: string;
}

async function readLanded(db: Queryable): Promise<LandedMigration[]> {
  try {
    return (await db.query<LandedMigration>(selectLanded)).rows;
  } catch (error) {
    // An empty database: neither schema nor table.
    if (sqlState(error) === '42P01' || sqlState(error) === '3F000') return [];
    throw error;
  }
}

async function apply(db: Database, migration: Migration): Promise<boolean> {
  for (const text of splitStatements(migration.text)) await runPatiently(db, text, migration.name);
  const { number, name, checksum } = migration;
  return (await db.query(insertLanded, [number, name, checksum])).count === 1;
}

/** IF NOT EXISTS is no lock: two nodes that create one thing at once can fail in these ways, and the loser tries again. */
const raceStates = new Set(['23505', '42P06', '42P07', '42710', '42701', '40001', '40P01', 'XX000']);
const raceAttempts = 10;

async function runPatiently(db: Database, text: string, where: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await db.query(statement('migrate', text, { prepare: false, idempotent: true, timeoutMs: 0 }));
      return;
    } catch (error) {
      if (error instanceof CronwrightError) throw error;
      if (attempt === raceAttempts || !raceStates.has(sqlState(error) ?? '')) {
        throw new CronwrightError('invalid_config', `${where} failed: ${errorMessage(error)}, in: ${text}`, {
          cause: error,
        });
      }
      await sleep(20 * attempt * (0.5 + Math.random()));
    }
  }
}

const bookkeeping = [
  'create schema if not exists cronwright',
  `create table if not exists cronwright.migrations (
     number int4 primary key,
     name text not null,
     checksum text not null,
     applied_at timestamptz not null default now()
   )`,
  `create table if not exists cronwright.migration_lease (
     id int4 primary key check (id = 1),
     holder text not null,
     lease_until timestamptz not null
   )`,
];

const selectLanded = statement('select_migrations', 'select number, name, checksum from cronwright.migrations', {
  // Read before the table exists and after: a kept plan would only be in the way.
  prepare: false,
});

const insertLanded = statement(
  'insert_migration',
  `insert into cronwright.migrations (number, name, checksum) values ($1::int4, $2::text, $3::text)
   on conflict (number) do nothing`,
  { idempotent: true },
);
