// `cronwright rollback`: asks that what a run did is undone.
import type { RollbackAnswer } from './answers.ts';
import { type BulkOptions, bulk } from './bulk.ts';
import type { CliContext } from './cli-context.ts';
import { connect } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { printJson, printLine } from './print.ts';
import { requireTarget } from './require-target.ts';

export async function rollback(
  context: CliContext,
  text: string | undefined,
  options: BulkOptions & { to?: string; reason?: string },
): Promise<ExitCode> {
  const target = requireTarget(text, options.where);
  const body = {
    ...(options.to === undefined ? {} : { to: options.to }),
    ...(options.reason === undefined ? {} : { reason: options.reason }),
  };
  if ('where' in target) return bulk(context, target.where, { action: 'rollback', with: body }, options);
  const daemon = connect(context, options);
  const id = await findRunId(daemon, target.run);
  const answer = await daemon.post<RollbackAnswer>(`/runs/${segment(id)}/rollback`, body);
  if (options.json) printJson(context, answer);
  else printLine(context, told(answer, id, options.to));
  return exitCodes.done;
}

function told(answer: RollbackAnswer, id: string, to: string | undefined): string {
  if (answer.parent_id !== null) return `${answer.id}: undoes ${id}.`;
  if (answer.requested === null) return `${id}: goes on with its rollback.`;
  if (to !== undefined) return `${id}: rollback to ${to} requested; it is paused there.`;
  return `${id}: rollback requested; what it did is undone.`;
}
