// Declares the commands that talk to a daemon; each command's code is loaded only when it is the one that runs.
import type { Command } from 'commander';
import type { CliContext } from './cli-context.ts';
import type { Finish } from './command-line.ts';
import { collect, wholeNumber } from './option-values.ts';

export function declareDaemonCommands(program: Command, context: CliContext, finish: Finish): void {
  declareTrigger(program, context, finish);
  declareRuns(program, context, finish);
  declareShow(program, context, finish);
  declareLogs(program, context, finish);
  declareCancelAndRetry(program, context, finish);
  declareRollback(program, context, finish);
  declareFork(program, context, finish);
  declareImport(program, context, finish);
  declareQueueNodesAndConfig(program, context, finish);
  declareOccurrences(program, context, finish);
  declareSensors(program, context, finish);
  declarePauseAndResume(program, context, finish);
  declarePriority(program, context, finish);
  declareSignal(program, context, finish);
  declareCosts(program, context, finish);
}

function declareTrigger(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('trigger'))
    .description('start a run now, of a schedule (pipeline.schedule) or of a pipeline')
    .argument('<id>', 'schedule or pipeline')
    .option('-i, --input <name=value>', 'an input; name:=JSON for other than text (repeatable)', collect)
    .option('--priority <n>', '1 (first) to 10 (pipelines only)', wholeNumber('--priority', 1, 10))
    .option('--at <when>', 'not now but then: an instant, or in how long (2h; pipelines only)')
    .option('--dry-run', 'change nothing outside; steps say what they would do (pipelines only)')
    .option('--estimate', 'estimate it first, and show that beside what it does cost (pipelines only)')
    .option('--force', "also while a run of the same schedule is live, against the schedule's overlap policy")
    .option('-f, --follow', 'show the log until the run has ended; exit 1 if it failed')
    .option('--wait', 'until the run (with --batch: all of them) has ended; exit 1 if one did not complete')
    .option(
      '--batch <file>',
      'a run for each line, which is JSON such as {"inputs": {…}}; all or none (pipelines only)',
    )
    .action(async (id, options) => finish(await (await import('./trigger.ts')).trigger(context, id, options)));
}

function declareRuns(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('runs'))
    .description('list runs, newest first; with --wait: wait until runs have ended')
    .argument('[run...]', 'with --wait: these runs; else all live ones of --pipeline, --schedule and --origin')
    .option('--wait', 'until they have ended; exit 1 if one did not complete')
    .option('--state <list>', 'only these states, with commas: running,failed')
    .option('--pipeline <id>', 'only of this pipeline')
    .option('--schedule <id>', 'only of this schedule')
    .option('--origin <list>', 'only these origins, with commas: schedule,api')
    .option('--from <when>', 'only made since: an instant, or how long ago (2h, 7d)')
    .option('--to <when>', 'only made before: an instant, or how long ago')
    .option('-n, --limit <n>', 'how many, up to 500 (20)', wholeNumber('--limit', 1, 500))
    .option('--cursor <text>', 'go on where a list ended (next_cursor)')
    .action(async (ids, options) => finish(await (await import('./runs.ts')).runs(context, ids, options)));
}

function declareShow(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('show'))
    .description('show one run: steps, progress, error, timeline')
    .argument('<run>', runArgument)
    .option('--diff [run]', 'only what differs from another run (its parent)')
    .action(async (run, options) => finish(await (await import('./show.ts')).show(context, run, options)));
  withDaemon(program.command('explain'))
    .description('tell why a run does not run: what it waits for, who holds it, when it is likely to start')
    .argument('<run>', runArgument)
    .action(async (run, options) => finish(await (await import('./explain.ts')).explain(context, run, options)));
}

function declareLogs(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('logs'))
    .description('print the log of a run')
    .argument('<run>', runArgument)
    .option('-f, --follow', 'go on until the run has ended (with --json: a line of JSON each)')
    .option('--step <id>', 'only of this step')
    .action(async (run, options) => finish(await (await import('./logs.ts')).logs(context, run, options)));
}

function declareCancelAndRetry(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('cancel'))
    .description('cancel a run; one that is running ends at its next heartbeat')
    .argument('[run]', runArgument)
    .option('--where <filter>', whereOption)
    .option('--yes', yesOption)
    .option('--reason <text>', 'kept in its history')
    .option('--rollback', 'undo what it did first')
    .action(async (run, options) => finish(await (await import('./cancel.ts')).cancel(context, run, options)));
  withDaemon(program.command('retry'))
    .description('retry an ended run from the step that failed, as a new run')
    .argument('[run]', runArgument)
    .option('--where <filter>', whereOption)
    .option('--yes', yesOption)
    .option('--force', 'also a run that was retried already')
    .action(async (run, options) => finish(await (await import('./retry.ts')).retry(context, run, options)));
}

function declareFork(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('fork'))
    .description('make a new run that keeps completed steps of another, with edited inputs or outputs')
    .argument('<run>', runArgument)
    .option('--from <step>', 'begin at this step (the first that did not complete)')
    .option('-i, --input <name=value>', 'another input; name:=JSON for other than text (repeatable)', collect)
    .option('-o, --output <step=@file>', 'JSON in place of what a kept step said, from a file (repeatable)', collect)
    .option('--priority <n>', '1 (first) to 10', wholeNumber('--priority', 1, 10))
    .option('--dry-run', 'change nothing outside; steps say what they would do')
    .option('--current', "by the pipeline's version in force, not by the run's")
    .option('--conversation', 'its steps find all that was said, also by steps that run again')
    .action(async (run, options) => finish(await (await import('./fork.ts')).fork(context, run, options)));
}

function declareImport(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('import'))
    .description('take over the jobs of an older worksheet service from its JSON files, each where it stood')
    .argument('<folder>', 'where the files are, such as ./storage/pipeline')
    .option('--pipeline <id>', 'the pipeline whose runs they become (worksheet)')
    .option('--completed', 'completed jobs too: their LaTeX is compiled again')
    .option('--dry-run', 'only say what would be done; needs no daemon')
    .action(async (folder, options) =>
      finish(await (await import('./import.ts')).importJobs(context, folder, options)),
    );
}

function declareRollback(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('rollback'))
    .description('undo what a run did; of an ended run by a new run')
    .argument('[run]', runArgument)
    .option('--where <filter>', whereOption)
    .option('--yes', yesOption)
    .option('--to <step>', 'of a live run: keep this completed step and all it needs, and pause there')
    .option('--reason <text>', 'kept in its history')
    .action(async (run, options) => finish(await (await import('./rollback.ts')).rollback(context, run, options)));
}

function declarePriority(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('priority'))
    .description('change the priority of a run that has not ended: 1 (first) to 10')
    .argument('<run>', `${runArgument}; with --where leave it out`)
    .argument('[n]', '1 to 10')
    .option('--where <filter>', whereOption)
    .option('--yes', yesOption)
    .option('--reason <text>', 'kept in its history')
    .action(async (run, n, options) =>
      finish(await (await import('./priority.ts')).priority(context, run, n, options)),
    );
}

function declareQueueNodesAndConfig(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('queue'))
    .description('show what waits and for how long')
    .action(async (options) => finish(await (await import('./queue.ts')).queue(context, options)));
  withDaemon(program.command('tenants'))
    .description('show how tenants are doing, or one of them by pipeline')
    .argument('[tenant]', 'default: all')
    .option('--hours <n>', 'how far back runs are counted (default: a week)', wholeNumber('--hours', 1, 2_160))
    .action(async (tenant, options) => finish(await (await import('./tenants.ts')).tenants(context, tenant, options)));
  withDaemon(program.command('nodes'))
    .description('show the daemons that share the database')
    .action(async (options) => finish(await (await import('./nodes.ts')).nodes(context, options)));
  withDaemon(program.command('config'))
    .description('show the settings in force and where each comes from; secrets are masked')
    .option('--set', 'only what flag, environment or file set')
    .action(async (options) => finish(await (await import('./config.ts')).config(context, options)));
}

function declareSensors(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('sensors'))
    .description('list sensors, or show one; pause, resume or check (look now) one')
    .argument('[id-or-verb]', 'a sensor (pipeline.sensor), or pause, resume, check')
    .argument('[id]', 'after a verb: the sensor')
    .option('--pipeline <id>', 'only of this pipeline')
    .option('--reason <text>', 'of a pause')
    .option('--until <when>', 'of a pause: an instant, or in how long (2h)')
    .action(async (first, second, options) =>
      finish(await (await import('./sensors.ts')).sensors(context, first, second, options)),
    );
}

function declareOccurrences(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('occurrences'))
    .description('show what became of every fire time of a schedule')
    .argument('<schedule>', 'pipeline.schedule')
    .option('--from <when>', 'since: an instant, or how long ago (24h)')
    .option('--to <when>', 'until: an instant, or how long ago (now)')
    .action(async (id, options) => finish(await (await import('./occurrences.ts')).occurrences(context, id, options)));
}

function declarePauseAndResume(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('pause'))
    .description('pause a run, a schedule, a pipeline or everything; paused time is never owed')
    .argument('[what]', pausable)
    .option('--pipeline <id>', 'a whole pipeline: nothing of it starts')
    .option('--all', 'everything of the tenant')
    .option('--where <filter>', whereOption)
    .option('--yes', yesOption)
    .option('--reason <text>', 'why, for those who wonder')
    .option('--until <when>', 'resume by itself (not runs): an instant, or in how long (2h)')
    .action(async (id, options) => finish(await (await import('./pause.ts')).pause(context, id, options)));
  withDaemon(program.command('resume'))
    .description('resume what is paused')
    .argument('[what]', pausable)
    .option('--pipeline <id>', 'a whole pipeline')
    .option('--all', 'everything of the tenant')
    .option('--where <filter>', whereOption)
    .option('--yes', yesOption)
    .action(async (id, options) => finish(await (await import('./resume.ts')).resume(context, id, options)));
}

function declareSignal(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('signal'))
    .description('answer what a run asks; without an answer, show what it asks')
    .argument('<run>', runArgument)
    .option('--approve', 'the decision approve')
    .option('--reject', 'the decision reject')
    .option('--choose <decision>', 'another decision, of those the question has')
    .option('--data <json>', 'what goes with it, as JSON')
    .option('--step <id>', 'the step that asks, where several do')
    .option('--item <n>', 'its item', wholeNumber('--item', 0, 2_147_483_647))
    .option('--key <key>', 'the name of the question')
    .option('--as <actor>', 'who answers, by name (cli)')
    .action(async (run, options) => finish(await (await import('./signal.ts')).signal(context, run, options)));
}

function declareCosts(program: Command, context: CliContext, finish: Finish): void {
  withDaemon(program.command('costs'))
    .description('show what runs have spent: sums, or row by row of one run')
    .argument('[run]', runArgument)
    .option('--by <group>', 'tenant, month, pipeline, run, step, attempt or what (pipeline)')
    .option('--pipeline <id>', 'only of this pipeline')
    .option('--from <when>', 'spent since: an instant, or how long ago (7d); default: since the month began, in UTC')
    .option('--to <when>', 'spent before: an instant, or how long ago')
    .option('-n, --limit <n>', 'how many rows, up to 500 (100)', wholeNumber('--limit', 1, 500))
    .action(async (run, options) => finish(await (await import('./costs.ts')).costs(context, run, options)));
  withDaemon(program.command('estimate'))
    .description('estimate what a run will cost and take; nothing is started')
    .argument('<pipeline>', 'id of the pipeline')
    .option('-i, --input <name=value>', 'an input; name:=JSON for other than text (repeatable)', collect)
    .action(async (id, options) => finish(await (await import('./estimate.ts')).estimate(context, id, options)));
}

const whereOption = 'all runs of: state=failed,pipeline=x (state, pipeline, schedule, origin, from, to, id)';
const yesOption = 'without asking';
const pausable = 'pipeline.schedule, or a run: its id, the end of it, or `last`';

const runArgument = 'id of the run; its last 4 or more characters, or `last`, find it among the newest 500';

/** Which daemon, as whom, and in which form. */
function withDaemon(command: Command): Command {
  return command
    .option('--url <url>', 'address of the daemon (CRONWRIGHT_URL, http://127.0.0.1:8080)')
    .option('--token <token>', 'its bearer token (CRONWRIGHT_TOKEN)')
    .option('--tenant <id>', 'as this tenant (default)')
    .option('--json', 'one JSON document');
}
