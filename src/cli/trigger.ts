// `cronwright trigger`: starts a run now, of a schedule or of a pipeline.
import type { InputDefinition } from '../domain/pipeline.ts';
import type { RunDetail } from '../reads/get-run.ts';
import type { StartAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type DaemonClient, segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { instantOrDistance, wrongOption } from './option-values.ts';
import { parseInputs } from './parse-inputs.ts';
import { plainText } from './plain-text.ts';
import { printJson, printJsonLine, printLine } from './print.ts';
import { paintState } from './show-state.ts';

export interface TriggerOptions extends DaemonOptions {
  input?: string[];
  priority?: number;
  at?: string;
  dryRun?: boolean;
  estimate?: boolean;
  force?: boolean;
  follow?: boolean;
  wait?: boolean;
  batch?: string;
}

export async function trigger(context: CliContext, id: string, options: TriggerOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  const [pipeline = '', schedule] = id.split('.');
  if (options.batch !== undefined) {
    refuseBesideBatch(id, schedule, options);
    const { triggerBatch } = await import('./trigger-batch.ts');
    return triggerBatch(context, daemon, pipeline, { ...options, batch: options.batch });
  }
  const inputs = await readInputs(daemon, pipeline, options.input ?? []);
  const answer =
    schedule === undefined
      ? await startPipeline(daemon, id, inputs, options, context.clock.now())
      : await triggerSchedule(daemon, id, inputs, options);
  const runId = answer.id;
  if (options.wait && !options.follow) {
    const { waitForRuns } = await import('./wait-for-runs.ts');
    if (!options.json) printLine(context, runId);
    return waitForRuns(context, daemon, { ids: [runId] }, options);
  }
  if (!options.follow) {
    if (options.json) printJson(context, answer);
    else
      printLine(
        context,
        `${runId}: ${answer.run_at === null ? 'started' : `starts at ${answer.run_at}`}; see \`cronwright show ${runId}\`.`,
      );
    return exitCodes.done;
  }
  const { followLog } = await import('./logs.ts');
  if (!options.json) printLine(context, runId);
  const state = await followLog(context, daemon, runId, options.json ? { json: true } : {});
  if (options.json) printJsonLine(context, { run_id: runId, state });
  else {
    const { error } = await daemon.get<Pick<RunDetail, 'error'>>(`/runs/${segment(runId)}`);
    const why = error === null ? '' : `  ${plainText(`${error.name}: ${error.message}`)}`;
    printLine(context, `${paintState(context.stdout.colors, state)}${why}`);
  }
  return state === 'completed' ? exitCodes.done : exitCodes.failed;
}

/** A line of the file says these of its run. */
function refuseBesideBatch(id: string, schedule: string | undefined, options: TriggerOptions): void {
  if (schedule !== undefined) throw wrongOption('--batch', id, 'a pipeline');
  for (const [option, value] of [
    ['--input', options.input],
    ['--priority', options.priority],
    ['--at', options.at],
    ['--dry-run', options.dryRun],
    ['--estimate', options.estimate],
    ['--follow', options.follow],
  ] as const) {
    if (value !== undefined) throw wrongOption(option, '--batch', 'lines of the file that say it, one run each');
  }
}

/** Undefined where none are given. */
export async function readInputs(
  daemon: DaemonClient,
  pipeline: string,
  pairs: readonly string[],
): Promise<Record<string, unknown> | undefined> {
  if (pairs.length === 0) return undefined;
  const answer = await daemon.get<{ inputs?: Record<string, Pick<InputDefinition, 'type'>> }>(
    `/pipelines/${segment(pipeline)}`,
  );
  return parseInputs(pairs, answer.inputs ?? {});
}

function startPipeline(
  daemon: DaemonClient,
  id: string,
  inputs: Record<string, unknown> | undefined,
  options: TriggerOptions,
  nowMs: number,
): Promise<StartAnswer> {
  if (options.force)
    throw wrongOption('--force', id, 'a schedule (pipeline.schedule); a pipeline has no overlap policy');
  return daemon.post<StartAnswer>(`/pipelines/${segment(id)}/runs`, {
    ...(inputs === undefined ? {} : { inputs }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
    ...(options.at === undefined
      ? {}
      : { run_at: new Date(instantOrDistance('--at', options.at, nowMs, 1)).toISOString() }),
    ...(options.dryRun ? { dry_run: true } : {}),
    ...(options.estimate ? { estimate: true } : {}),
  });
}

function triggerSchedule(
  daemon: DaemonClient,
  id: string,
  inputs: Record<string, unknown> | undefined,
  options: TriggerOptions,
): Promise<StartAnswer> {
  if (options.priority !== undefined)
    throw wrongOption('--priority', id, 'a pipeline; a schedule has its own priority');
  if (options.at !== undefined) throw wrongOption('--at', id, 'a pipeline; a schedule has its own times');
  if (options.dryRun) throw wrongOption('--dry-run', id, 'a pipeline');
  if (options.estimate) throw wrongOption('--estimate', id, 'a pipeline');
  return daemon.post<StartAnswer>(`/schedules/${segment(id)}/trigger`, {
    ...(inputs === undefined ? {} : { inputs }),
    ...(options.force ? { force: true } : {}),
  });
}
