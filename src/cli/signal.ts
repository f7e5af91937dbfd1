// `cronwright signal`: answers what a run asks, or shows what it asks.
import { CronwrightError } from '../domain/errors.ts';
import { snippetOf } from '../reads/wait-snippet.ts';
import type { RunDetailAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { plainText } from './plain-text.ts';
import { printJson, printLine } from './print.ts';
import { showRelative } from './show-time.ts';

export interface SignalOptions extends DaemonOptions {
  approve?: boolean;
  reject?: boolean;
  choose?: string;
  data?: string;
  step?: string;
  item?: number;
  key?: string;
  as?: string;
}

interface SignalAnswer {
  id: string;
  state: string;
  answered: { step: string; key: string; decision: string };
}

export async function signal(context: CliContext, text: string, options: SignalOptions): Promise<ExitCode> {
  const decision = decisionOf(options);
  const data = options.data === undefined ? undefined : parseData(options.data);
  const daemon = connect(context, options, options.as);
  const id = await findRunId(daemon, text);
  if (decision === undefined && data === undefined) return showQuestions(context, id, options);
  const { step, item, key } = options;
  const body = Object.fromEntries(
    Object.entries({ step, item, key, decision, data }).filter(([, value]) => value !== undefined),
  );
  const answer = await daemon.post<SignalAnswer>(`/runs/${segment(id)}/signal`, body);
  if (options.json) printJson(context, answer);
  else printLine(context, `${id}: ${answer.answered.step} ${answer.answered.key}: ${answer.answered.decision}.`);
  return exitCodes.done;
}

function decisionOf({ approve, reject, choose }: SignalOptions): string | undefined {
  const given = [approve ? 'approve' : undefined, reject ? 'reject' : undefined, choose].filter(
    (one) => one !== undefined,
  );
  if (given.length <= 1) return given[0];
  throw new CronwrightError('invalid_input', 'one decision at a time: --approve, --reject or --choose');
}

function parseData(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CronwrightError('invalid_input', `--data is no JSON: ${(cause as Error).message}`, { cause });
  }
}

async function showQuestions(context: CliContext, id: string, options: SignalOptions): Promise<ExitCode> {
  const run = await connect(context, options).get<RunDetailAnswer>(`/runs/${segment(id)}`);
  const open = (run.waits ?? []).filter(({ state }) => state === 'open');
  if (options.json) {
    printJson(context, { id, state: run.state, waits: open });
    return exitCodes.done;
  }
  if (open.length === 0) printLine(context, `${id} is ${run.state} and asks nothing.`);
  for (const one of open) {
    for (const line of describeWaits([one], context.clock.now())) printLine(context, line);
    for (const line of snippetOf(one.form)?.split('\n') ?? []) printLine(context, `    ${plainText(line)}`);
  }
  return exitCodes.done;
}

type Waits = NonNullable<RunDetailAnswer['waits']>;

/** One line a question: who asks what, since when, until when, and what can be said. */
export function describeWaits(open: Waits, now: number): string[] {
  return open.map(({ step, item, key, kind, message, choices, approvers, asked_at, timeout_at }) => {
    const place = item === null ? step : `${step} item ${item}`;
    const facts = [
      `asked ${showRelative(Date.parse(asked_at), now)}`,
      timeout_at === null ? '' : `until ${showRelative(Date.parse(timeout_at), now)}`,
      choices === null || kind === 'timer' ? '' : choices.join(' | '),
      approvers === null ? '' : `for ${approvers.join(', ')}`,
    ].filter(Boolean);
    return plainText(`${place}  ${key}  ${message ?? kind}  (${facts.join('; ')})`);
  });
}
