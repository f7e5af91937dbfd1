// `cronwright cancel`: asks for the end of a run.
import type { CancelAnswer } from './answers.ts';
import { type BulkOptions, bulk } from './bulk.ts';
import type { CliContext } from './cli-context.ts';
import { connect } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { printJson, printLine } from './print.ts';
import { requireTarget } from './require-target.ts';

export async function cancel(
  context: CliContext,
  text: string | undefined,
  options: BulkOptions & { reason?: string; rollback?: boolean },
): Promise<ExitCode> {
  const target = requireTarget(text, options.where);
  const body = {
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...(options.rollback ? { rollback: true } : {}),
  };
  if ('where' in target) return bulk(context, target.where, { action: 'cancel', with: body }, options);
  const daemon = connect(context, options);
  const id = await findRunId(daemon, target.run);
  const answer = await daemon.post<CancelAnswer>(`/runs/${segment(id)}/cancel`, body);
  if (options.json) printJson(context, answer);
  else if (answer.requested === 'rollback') printLine(context, `${id}: rollback requested; what it did is undone.`);
  else if (answer.requested) printLine(context, `${id}: cancel requested; it ends within seconds.`);
  else printLine(context, `${id}: ${answer.state}.`);
  return exitCodes.done;
}
