// `cronwright retry`: makes a new run that goes on where an ended one failed.
import type { RetryAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { printJson, printLine } from './print.ts';

export async function retry(context: CliContext, text: string, options: DaemonOptions): Promise<ExitCode> {
  const daemon = connect(context, options);
  const id = await findRunId(daemon, text);
  const answer = await daemon.post<RetryAnswer>(`/runs/${segment(id)}/retry`);
  if (options.json) printJson(context, answer);
  else {
    const kept = answer.kept_steps.length === 0 ? 'from its start' : `keeping ${answer.kept_steps.join(', ')}`;
    printLine(context, `${answer.id}: retries ${id}, ${kept}.`);
  }
  return exitCodes.done;
}
