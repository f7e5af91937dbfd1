// `cronwright retry`: makes a new run that goes on where an ended one failed.
import type { RetryAnswer } from './answers.ts';
import { type BulkOptions, bulk } from './bulk.ts';
import type { CliContext } from './cli-context.ts';
import { connect } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { printJson, printLine } from './print.ts';
import { requireTarget } from './require-target.ts';

export interface RetryOptions extends BulkOptions {
  /** Also what was retried already. */
  force?: boolean;
}

export async function retry(context: CliContext, text: string | undefined, options: RetryOptions): Promise<ExitCode> {
  const target = requireTarget(text, options.where);
  const body = options.force ? { force: true } : {};
  if ('where' in target) return bulk(context, target.where, { action: 'retry', with: body }, options);
  const daemon = connect(context, options);
  const id = await findRunId(daemon, target.run);
  const answer = await daemon.post<RetryAnswer>(`/runs/${segment(id)}/retry`, body);
  if (options.json) printJson(context, answer);
  else {
    const kept = answer.kept_steps.length === 0 ? 'from its start' : `keeping ${answer.kept_steps.join(', ')}`;
    printLine(context, `${answer.id}: retries ${id}, ${kept}.`);
  }
  return exitCodes.done;
}
