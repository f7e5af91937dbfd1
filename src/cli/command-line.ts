// argv → command → exit code: parses, runs the command it names, and reports what goes wrong.
import { Command, CommanderError } from 'commander';
import { packageVersion } from '../app/package-version.ts';
import type { CliContext } from './cli-context.ts';
import { declareDaemonCommands } from './declare-daemon-commands.ts';
import { declareLocalCommands } from './declare-local-commands.ts';
import { type ExitCode, exitCodes, exitCodesHelp } from './exit-code.ts';
import { reportError } from './report-error.ts';

/** Takes down the exit code of the command that ran. */
export type Finish = (code: ExitCode) => void;

/** Runs the command that `args` (argv without node and script) name; never throws. */
export async function runCommandLine(context: CliContext, args: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = exitCodes.done;
  const json = args.includes('--json');
  const program = createProgram(context, json, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(context, error, json);
    // Help and version are answers; so is the help of a bare `cronwright`, but it was not what anybody asked for.
    if (error.exitCode === 0) return exitCodes.done;
    if (json) reportUsage(context, error);
    return exitCodes.wrongUsage;
  }
}

function createProgram(context: CliContext, json: boolean, finish: Finish): Command {
  const program = new Command('cronwright')
    .description('Runs pipelines on time: schedules from YAML, a queue in SQL, steps from plugins.')
    .version(packageVersion(), '-V, --version', 'the version')
    .helpOption('-h, --help', 'help of the command')
    .helpCommand('help [command]', 'help of a command')
    .addHelpText('after', `\n${exitCodesHelp}`)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => {
        if (!json) context.stderr.write(text);
      },
      getOutHelpWidth: () => context.stdout.columns,
      getErrHelpWidth: () => context.stderr.columns,
      getOutHasColors: () => context.stdout.colors.isColorSupported,
      getErrHasColors: () => context.stderr.colors.isColorSupported,
    });
  declareLocalCommands(program, context, finish);
  declareDaemonCommands(program, context, finish);
  return program;
}

function reportUsage(context: CliContext, error: CommanderError): void {
  const message = error.message.replace(/^error: /, '');
  context.stderr.write(`${JSON.stringify({ error: { code: 'invalid_input', message, problems: [] } })}\n`);
}
