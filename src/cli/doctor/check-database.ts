// Looks at the database: reachable, which one, migrated, how far away, and whether its clock agrees with ours.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.ts';
import type { Settings } from '../../config/load-settings.ts';
import { type Database, statement } from '../../db/database.ts';
import { pendingMigrations } from '../../db/migrate.ts';
import { CronwrightError, errorMessage } from '../../domain/errors.ts';
import { openOwnDatabase } from '../load-config.ts';
import { showDuration } from '../show-time.ts';
import type { Finding } from './finding.ts';

/** Nothing is made and nothing is written: an embedded database that is not there yet stays away. */
export async function checkDatabase(settings: Settings, clock: Clock): Promise<Finding[]> {
  const { databaseUrl, dataDir } = settings;
  if (databaseUrl === undefined && !existsSync(join(dataDir, 'db'))) {
    const detail = 'embedded PGlite; will be made at the first start';
    return [{ check: 'database', status: 'ok', detail, hint: 'set DATABASE_URL for PostgreSQL' }];
  }
  let db: Database | undefined;
  try {
    db = await openOwnDatabase(settings);
    return [await versionOf(db), await migrationsOf(db), ...(await clockOf(db, clock))];
  } catch (error) {
    return [unreachable(error)];
  } finally {
    await db?.close();
  }
}

function unreachable(error: unknown): Finding {
  if (error instanceof CronwrightError && typeof error.details.pid === 'number') {
    const detail = `embedded PGlite, in use by process ${error.details.pid}`;
    return { check: 'database', status: 'ok', detail, hint: 'stop that daemon to have its database looked at' };
  }
  const hint = 'is it running, and is DATABASE_URL right?';
  return { check: 'database', status: 'fail', detail: errorMessage(error), hint };
}

const version = statement('doctor_version', 'select version() as version', { prepare: false });

async function versionOf(db: Database): Promise<Finding> {
  const { rows } = await db.query<{ version: string }>(version);
  const text = rows[0]?.version ?? 'unknown';
  const detail = `${db.kind}: ${text.split(/ on |, compiled| \(/)[0]}`;
  const major = Number(/PostgreSQL (\d+)/.exec(text)?.[1]);
  if (Number.isNaN(major) || major >= 14) return { check: 'database', status: 'ok', detail };
  return { check: 'database', status: 'fail', detail, hint: 'PostgreSQL 14 or later is needed' };
}

async function migrationsOf(db: Database): Promise<Finding> {
  const pending = await pendingMigrations(db);
  if (pending.length === 0) return { check: 'migrations', status: 'ok', detail: 'none pending' };
  const hint = '`cronwright migrate`, or the next `cronwright start`, applies them';
  return { check: 'migrations', status: 'warn', detail: `pending: ${pending.join(', ')}`, hint };
}

const databaseTime = statement('doctor_clock', 'select clock_timestamp() as now', { prepare: false });
const tries = 5;

/** The quickest of a few questions: its answer's time is wrong by at most half of what it took. */
async function clockOf(db: Database, clock: Clock): Promise<Finding[]> {
  let best = { tookMs: Number.POSITIVE_INFINITY, skewMs: 0 };
  for (let i = 0; i < tries; i++) {
    const begin = clock.monotonic();
    const sentAt = clock.now();
    const { rows } = await db.query<{ now: Date }>(databaseTime);
    const tookMs = clock.monotonic() - begin;
    if (tookMs < best.tookMs) best = { tookMs, skewMs: (rows[0]?.now.getTime() ?? sentAt) - (sentAt + tookMs / 2) };
  }
  const away = best.tookMs;
  const distance: Finding = { check: 'round trip', status: 'ok', detail: `${away.toFixed(1)} ms to the database` };
  if (away > 20) Object.assign(distance, { status: 'warn', hint: 'a daemon works best near its database' });
  return db.kind === 'pglite' ? [] : [distance, skewFinding(best.skewMs)];
}

/** From 5 s a daemon logs it, from 5 min it alerts (the database's clock decides what is due). */
export function skewFinding(skewMs: number): Finding {
  const skew = Math.abs(skewMs);
  const direction = skewMs > 0 ? 'ahead of' : 'behind';
  const detail = skew < 1_000 ? 'agree' : `the database's clock is ${showDuration(skew)} ${direction} this machine's`;
  if (skew < 5_000) return { check: 'clocks', status: 'ok', detail };
  const hint = "set both by NTP; the database's clock decides what is due";
  return { check: 'clocks', status: skew > 300_000 ? 'fail' : 'warn', detail, hint };
}
