// Declares the commands that need no daemon; each command's code is loaded only when it is the one that runs.
import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';
import type { Finish } from './command-line.ts';
import { collect, oneOf, wholeNumber } from './option-values.ts';

export function declareLocalCommands(program: Command, context: CliContext, finish: Finish): void {
  declareStart(program, context, finish);
  declareRun(program, context, finish);
  declareCheck(program, context, finish);
  declareNext(program, context, finish);
  declareSchema(program, context, finish);
  declareMigrate(program, context, finish);
  declareDoctor(program, context, finish);
  declarePlugin(program, context, finish);
}

function declareStart(program: Command, context: CliContext, finish: Finish): void {
  withSettings(program.command('start'))
    .description('run the daemon: schedules, workers and the HTTP API')
    .option('--port <n>', 'TCP port; 0 picks a free one (CRONWRIGHT_PORT, 8080)')
    .option('--host <addr>', 'address to listen on (CRONWRIGHT_HOST, 127.0.0.1)')
    .option('--workers <n>', 'heavy runs at once (CRONWRIGHT_WORKERS, 4)')
    .option('--in-flight <n>', 'light runs at once (CRONWRIGHT_IN_FLIGHT, 500)')
    .addHelpText(
      'after',
      '\nSignals: SIGTERM or SIGINT lets running work end (30 s), a second one cancels it; SIGHUP reads the configuration again.',
    )
    .action(async (options) => finish(await (await import('./start.ts')).start(context, options)));
}

function declareRun(program: Command, context: CliContext, finish: Finish): void {
  withSettings(program.command('run'))
    .description('run one pipeline once, without a daemon, and show it live')
    .argument('<pipeline>', 'id of the pipeline')
    .option('-i, --input <name=value>', 'an input; name:=JSON for other than text (repeatable)', collect)
    .option('--dry-run', 'change nothing outside; steps say what they would do')
    .option('--no-cache', 'run every step, whatever an earlier run came to')
    .option('--tenant <id>', 'whose pipeline it is')
    .option('--json', 'one JSON document at the end')
    .action(async (pipeline, options) => finish(await (await import('./run.ts')).run(context, pipeline, options)));
}

function declareCheck(program: Command, context: CliContext, finish: Finish): void {
  program
    .command('check')
    .description('check the configuration; every problem with file, line and column')
    .option('--config <dir>', 'folder of the configuration (CRONWRIGHT_CONFIG, ./config)')
    .option('--json', 'one JSON document')
    .action(async (options) => finish(await (await import('./check.ts')).check(context, options)));
}

function declareNext(program: Command, context: CliContext, finish: Finish): void {
  program
    .command('next')
    .description('show when a cron expression or a schedule fires next')
    .argument('<expression...>', 'cron expression (quote it), or the id of a schedule: pipeline.schedule')
    .option('-z, --timezone <zone>', 'IANA zone of the expression (UTC)')
    .option('--from <instant>', 'ISO instant; times strictly after it are shown (now)')
    .option('-n, --count <n>', 'how many, up to 1000 (5)', wholeNumber('--count', 1, 1_000))
    .option('--gap <way>', 'a time that does not exist: next or skip', oneOf('--gap', ['next', 'skip']))
    .option(
      '--overlap <way>',
      'a time that occurs twice: first, last or both',
      oneOf('--overlap', ['first', 'last', 'both']),
    )
    .option('--id <id>', 'what H in the expression is hashed from')
    .option('--config <dir>', 'folder of the configuration, for the id of a schedule (CRONWRIGHT_CONFIG, ./config)')
    .option('--tenant <id>', 'whose schedule it is')
    .option('--json', 'one JSON document')
    .action(async (words, options) => finish(await (await import('./next.ts')).next(context, words, options)));
}

function declareSchema(program: Command, context: CliContext, finish: Finish): void {
  program
    .command('schema')
    .description('print the JSON Schema of a configuration file, for editors')
    .argument(
      '[kind]',
      'pipeline, template or settings',
      oneOf('kind', ['pipeline', 'template', 'settings']),
      'pipeline',
    )
    .option('--config <dir>', 'folder of the configuration, for its plugins (CRONWRIGHT_CONFIG, ./config)')
    .option('--json', 'the same: it is JSON anyway')
    .action(async (kind, options) => finish(await (await import('./schema.ts')).schema(context, kind, options)));
}

function declareMigrate(program: Command, context: CliContext, finish: Finish): void {
  withSettings(program.command('migrate'))
    .description("bring the database's tables up to date (`start` does so too)")
    .option('--check', 'only say what is pending; exit 1 if anything is')
    .option('--json', 'one JSON document')
    .action(async (options) => finish(await (await import('./migrate.ts')).migrateDatabase(context, options)));
}

function declareDoctor(program: Command, context: CliContext, finish: Finish): void {
  withSettings(program.command('doctor'))
    .description('look at everything a daemon needs here; exit 1 if something is missing')
    .option('--port <n>', 'the port a daemon would take (CRONWRIGHT_PORT, 8080)')
    .option('--host <addr>', 'the address it would listen on (CRONWRIGHT_HOST, 127.0.0.1)')
    .option('--json', 'one JSON document')
    .action(async (options) => finish(await (await import('./doctor.ts')).doctor(context, options)));
}

function declarePlugin(program: Command, context: CliContext, finish: Finish): void {
  const plugin = program.command('plugin').description('write a plugin of your own: `plugin new <name>`');
  plugin
    .command('new')
    .description('write the folder of a plugin that works, with a test and a pipeline that uses it')
    .argument('<name>', 'first half of its step types: small letters, digits, _ and -')
    .option('--dir <dir>', 'folder to write; new or empty (./<name>)')
    .option('--language <language>', 'ts, python or shell', oneOf('--language', ['ts', 'python', 'shell']), 'ts')
    .option('--json', 'one JSON document')
    .action(async (name, options) => finish(await (await import('./plugin-new.ts')).pluginNew(context, name, options)));
}

/** Where the configuration and the database are. */
function withSettings(command: Command): Command {
  return command
    .option('--config <dir>', 'folder of the configuration (CRONWRIGHT_CONFIG, ./config)')
    .option('--data-dir <dir>', 'folder of the data (CRONWRIGHT_DATA_DIR, ./data)')
    .option('--database-url <url>', 'postgres://… (DATABASE_URL; without it an embedded PGlite in the data folder)');
}
