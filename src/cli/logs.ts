// `cronwright logs`: the log of a run; with --follow until the run has ended.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LogLineAnswer, LogPageAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { type DaemonClient, segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { plainText } from './plain-text.ts';
import { printJson, printJsonLine, printLine } from './print.ts';

export interface LogsOptions extends DaemonOptions {
  follow?: boolean;
  step?: string;
}

export async function logs(context: CliContext, text: string, options: LogsOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  const id = await findRunId(daemon, text);
  if (options.follow) {
    await followLog(context, daemon, id, options);
    return exitCodes.done;
  }
  const lines: LogLineAnswer[] = [];
  for await (const page of pages(daemon, id, { step: options.step })) {
    if (options.json) lines.push(...page.items);
    else for (const line of page.items) printLine(context, showLogLine(context, line));
  }
  if (options.json) printJson(context, { items: lines });
  return exitCodes.done;
}

/** How often a live log is asked for more, in milliseconds. */
const pollMs = 500;

/** Prints lines as they come until the run has ended and all of them are there; returns its last state. */
export async function followLog(
  context: CliContext,
  daemon: DaemonClient,
  id: string,
  options: { json?: boolean; step?: string },
): Promise<string> {
  let state = '';
  for await (const page of pages(daemon, id, { step: options.step, follow: 'true' })) {
    for (const line of page.items) {
      if (options.json) printJsonLine(context, line);
      else printLine(context, showLogLine(context, line));
    }
    state = page.run_state;
    if (page.items.length === 0 && page.next_cursor !== null) await sleep(pollMs);
  }
  return state;
}

async function* pages(
  daemon: DaemonClient,
  id: string,
  query: { step: string | undefined; follow?: string },
): AsyncGenerator<LogPageAnswer> {
  let cursor: string | undefined;
  do {
    const page: LogPageAnswer = await daemon.get(`/runs/${segment(id)}/logs`, { ...query, cursor, limit: 500 });
    yield page;
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
}

/** `03:12:44.123 fetch  text`: the time in UTC. */
export function showLogLine(context: CliContext, line: LogLineAnswer): string {
  const { dim, red, yellow, cyan } = context.stdout.colors;
  const at = line.at === null ? ' '.repeat(12) : new Date(line.at).toISOString().slice(11, 23);
  const step =
    line.step === null ? 'run' : `${line.step}${line.item === null || line.item < 0 ? '' : `[${line.item}]`}`;
  const text = plainText(line.text).trimEnd();
  const painted = { error: red(`error: ${text}`), warn: yellow(`warn: ${text}`), debug: dim(text) }[line.level] ?? text;
  return `${dim(at)} ${cyan(step)}  ${painted}`;
}
