// `cronwright trigger --batch`: starts one run for each line of a file, all of them or none.
import { readFile } from 'node:fs/promises';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import type { CliContext } from './cli-context.ts';
import type { DaemonClient } from './daemon-client.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { printJson, printLine } from './print.ts';
import { waitForRuns } from './wait-for-runs.ts';

/** Each line is what the body of a start is: `{"inputs": {…}, "priority": 3}`. Empty lines are passed over. */
export async function triggerBatch(
  context: CliContext,
  daemon: DaemonClient,
  pipeline: string,
  options: { batch: string; wait?: boolean | undefined; json?: boolean | undefined },
): Promise<ExitCode> {
  const runs = parseLines(options.batch, await readLines(options.batch));
  const answer = await daemon.post<{ count: number; ids: string[] }>(`/pipelines/${segment(pipeline)}/runs/batch`, {
    runs,
  });
  if (options.wait) return waitForRuns(context, daemon, { ids: answer.ids }, options);
  if (options.json) printJson(context, answer);
  else printLine(context, `${answer.count} runs of ${pipeline} started.`);
  return exitCodes.done;
}

async function readLines(file: string): Promise<string[]> {
  try {
    return (await readFile(file, 'utf8')).split('\n');
  } catch (error) {
    throw new CronwrightError('invalid_input', `--batch: ${file} cannot be read: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

function parseLines(file: string, lines: readonly string[]): unknown[] {
  const runs: unknown[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (error) {
      throw wrongLine(file, index, errorMessage(error));
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw wrongLine(file, index, 'expected an object such as {"inputs": {}}');
    }
    runs.push(value);
  }
  if (runs.length > 0) return runs;
  throw new CronwrightError('invalid_input', `--batch: ${file} has no line with a run`);
}

function wrongLine(file: string, index: number, why: string): CronwrightError {
  return new CronwrightError('invalid_input', `--batch: ${file}:${index + 1}: not a run: ${why}`);
}
