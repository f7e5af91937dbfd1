// `cronwright priority`: changes the place of runs in the queue.
import type { PriorityAnswer } from './answers.ts';
import { type BulkOptions, bulk } from './bulk.ts';
import type { CliContext } from './cli-context.ts';
import { connect } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { wholeNumber, wrongOption } from './option-values.ts';
import { printJson, printLine } from './print.ts';

export interface PriorityOptions extends BulkOptions {
  reason?: string;
}

/** `priority <run> <n>`, or `priority <n> --where …`. */
export async function priority(
  context: CliContext,
  first: string,
  second: string | undefined,
  options: PriorityOptions,
): Promise<ExitCode> {
  const { where } = options;
  const [target, text] = second === undefined ? [undefined, first] : [first, second];
  const value = wholeNumber('priority', 1, 10)(text);
  const body = { priority: value, ...(options.reason === undefined ? {} : { reason: options.reason }) };
  if (where !== undefined && target === undefined) {
    return bulk(context, where, { action: 'priority', with: body }, options);
  }
  if (target === undefined || where !== undefined) {
    throw wrongOption(
      'priority',
      where === undefined ? first : `${target} --where`,
      '<run> <n>, or <n> --where <filter>',
    );
  }
  const daemon = connect(context, options);
  const id = await findRunId(daemon, target);
  const answer = await daemon.post<PriorityAnswer>(`/runs/${segment(id)}/priority`, body);
  if (options.json) printJson(context, answer);
  else {
    const when = answer.state === 'running' ? '; it counts from its next claim on' : '';
    printLine(context, `${id}: priority ${answer.priority}${when}.`);
  }
  return exitCodes.done;
}
