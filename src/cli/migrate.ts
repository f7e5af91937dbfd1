// `cronwright migrate`: brings the database's tables up to date, or says what is pending.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Settings } from '../config/load-settings.ts';
import { migrate, pendingMigrations } from '../db/migrate.ts';
import { readMigrations } from '../db/migration-files.ts';
import type { CliContext } from './cli-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { openOwnDatabase, readSettings, type SettingsOptions } from './load-config.ts';
import { printJson, printLine } from './print.ts';

export async function migrateDatabase(
  context: CliContext,
  options: SettingsOptions & { check?: boolean },
): Promise<ExitCode> {
  const settings = await readSettings(context, options);
  if (options.check) return tellPending(context, await findPending(settings), options.json);
  const db = await openOwnDatabase(settings);
  try {
    const onApplied = (name: string): void => {
      if (!options.json) printLine(context, `applied ${name}`);
    };
    const result = await migrate(db, { onApplied });
    if (options.json) printJson(context, result);
    else printLine(context, `${result.applied.length} applied, ${result.already} there already.`);
    return exitCodes.done;
  } finally {
    await db.close();
  }
}

/** Looking must not make an embedded database that is not there yet. */
async function findPending(settings: Settings): Promise<string[]> {
  if (settings.databaseUrl === undefined && !existsSync(join(settings.dataDir, 'db'))) {
    return (await readMigrations()).map(({ name }) => name);
  }
  const db = await openOwnDatabase(settings);
  try {
    return await pendingMigrations(db);
  } finally {
    await db.close();
  }
}

function tellPending(context: CliContext, pending: readonly string[], json: boolean | undefined): ExitCode {
  if (json) printJson(context, { pending });
  else printLine(context, pending.length === 0 ? 'Up to date.' : `Pending: ${pending.join(', ')}`);
  return pending.length === 0 ? exitCodes.done : exitCodes.failed;
}
