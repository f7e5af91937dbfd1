// What every session is set to before its first statement, so that plans, times and isolation are the same everywhere.
import type { ClientBase } from 'pg';
import type { Isolation } from './database.ts';
import { sqlState } from './retries.ts';

export interface SessionOptions {
  isolation?: Isolation;
  cockroachdb: boolean;
}

/** Sets up one new session. Settings the server does not know are left out. */
export async function applySessionSettings(client: ClientBase, options: SessionOptions): Promise<void> {
  const settings = sessionSettings(options);
  try {
    await client.query(settings.join('; '));
  } catch (error) {
    if (!isUnknownSetting(error)) throw error;
    for (const setting of settings) await applyWhereKnown(client, setting);
  }
}

function sessionSettings({ isolation, cockroachdb }: SessionOptions): string[] {
  const settings = [
    // Instants are read in UTC, and dates cut from them are the same on every server.
    "set timezone = 'UTC'",
    // A node that is stopped in mid-transaction must not hold its rows for ever.
    "set idle_in_transaction_session_timeout = '60s'",
  ];
  if (!cockroachdb) {
    // Generic plans made on an empty table turn batches into nested loops.
    settings.push('set plan_cache_mode = force_custom_plan', 'set random_page_cost = 1.1');
    // Statements that take the first few in an index's order must not read and sort all that there are.
    settings.push('set enable_bitmapscan = off');
  }
  // CockroachDB keeps its own default (serializable) unless told otherwise.
  const level = isolation ?? (cockroachdb ? undefined : 'read committed');
  if (level !== undefined) settings.push(`set default_transaction_isolation = '${level}'`);
  return settings;
}

async function applyWhereKnown(client: ClientBase, setting: string): Promise<void> {
  try {
    await client.query(setting);
  } catch (error) {
    if (!isUnknownSetting(error)) throw error;
  }
}

function isUnknownSetting(error: unknown): boolean {
  const state = sqlState(error);
  return state === '42704' || state === '22023' || state === '0A000';
}
