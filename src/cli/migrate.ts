// `cronwright migrate`: brings the database's tables up to date, or says what is pending.
import { migrate, pendingMigrations } from '../db/migrate.ts';
import type { CliContext } from './cli-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { openOwnDatabase, readSettings, type SettingsOptions } from './load-config.ts';
import { printJson, printLine } from './print.ts';

export async function migrateDatabase(
  context: CliContext,
  options: SettingsOptions & { check?: boolean },
): Promise<ExitCode> {
  const db = await openOwnDatabase(await readSettings(context, options));
  try {
    if (options.check) {
      const pending = await pendingMigrations(db);
      if (options.json) printJson(context, { pending });
      else printLine(context, pending.length === 0 ? 'Up to date.' : `Pending: ${pending.join(', ')}`);
      return pending.length === 0 ? exitCodes.done : exitCodes.failed;
    }
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
