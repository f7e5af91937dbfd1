// `cronwright start`: runs the daemon until a signal ends it.
import { createApp } from '../app/app.ts';
import type { Settings } from '../config/load-settings.ts';
import { createLog, type Logger } from '../observe/log.ts';
import type { CliContext } from './cli-context.ts';
import type { ExitCode } from './exit-code.ts';
import { readSettings, type SettingsOptions } from './load-config.ts';
import { serve } from './serve.ts';

export async function start(context: CliContext, options: SettingsOptions): Promise<ExitCode> {
  const settings = await readSettings(context, options);
  const log = createDaemonLog(context, settings);
  return serve(context, createApp({ settings, env: context.env, log }), log);
}

/** JSON lines for machines; a readable form for who sits at a terminal. */
function createDaemonLog(context: CliContext, settings: Settings): Logger {
  const { isTTY, colors } = context.stdout;
  return createLog({ level: settings.log.level, pretty: isTTY, colour: colors.isColorSupported });
}
