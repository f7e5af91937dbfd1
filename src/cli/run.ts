// `cronwright run`: one run of one pipeline without a daemon, shown as it goes.
import { runOnce } from '../app/run-once.ts';
import type { Settings } from '../config/load-settings.ts';
import { errorMessage } from '../domain/errors.ts';
import { claimStray } from '../steps/stray-errors.ts';
import type { CliContext } from './cli-context.ts';
import { actorOf } from './connect.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { loadConfig, readSettings, type SettingsOptions } from './load-config.ts';
import { parseInputs } from './parse-inputs.ts';
import { printJson, printNote } from './print.ts';
import { createRunDisplay } from './run-display.ts';

export interface RunOptions extends SettingsOptions {
  input?: string[];
  dryRun?: boolean;
  /** False: `--no-cache`. */
  cache?: boolean;
  tenant?: string;
}

export async function run(context: CliContext, pipeline: string, options: RunOptions): Promise<ExitCode> {
  const settings = await readSettings(context, options);
  const inputs = await readInputs(settings, pipeline, options);
  const display = options.json ? undefined : createRunDisplay(context);
  const cancelling = new AbortController();
  const undo = cancelOnSignal(context, cancelling);
  const forgetStrays = context.onUncaught((error) => {
    if (!claimStray(error)) printNote(context, `uncaught: ${errorMessage(error)}`);
  });
  try {
    const result = await runOnce({
      settings,
      env: context.env,
      pipeline,
      inputs,
      dryRun: options.dryRun ?? false,
      noCache: options.cache === false,
      actor: actorOf(context),
      signal: cancelling.signal,
      onNote: (text) => printNote(context, text),
      ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
      ...(display === undefined ? {} : { onUpdate: display.update }),
    });
    if (options.json) printJson(context, result);
    else display?.end(result.run);
    return result.run.state === 'completed' ? exitCodes.done : exitCodes.failed;
  } finally {
    undo();
    forgetStrays();
    display?.clear();
  }
}

/** The declared types are needed only where there is something to read. */
async function readInputs(settings: Settings, pipeline: string, options: RunOptions): Promise<Record<string, unknown>> {
  if (options.input === undefined) return {};
  const { pipelines } = await loadConfig(settings);
  const tenant = options.tenant ?? 'default';
  const definition = pipelines.find((one) => one.id === pipeline && one.tenant === tenant);
  return parseInputs(options.input, definition?.inputs ?? {});
}

/** The first signal cancels the run; after it a second one ends the process, as it would have without us. */
function cancelOnSignal(context: CliContext, cancelling: AbortController): () => void {
  const cancel = (): void => {
    undo();
    printNote(context, 'cancelling the run …');
    cancelling.abort();
  };
  const ends = [context.onSignal('SIGINT', cancel), context.onSignal('SIGTERM', cancel)];
  const undo = (): void => {
    for (const end of ends) end();
  };
  return undo;
}
