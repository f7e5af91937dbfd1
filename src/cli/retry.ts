// `cronwright retry`: makes a new run that goes on where an ended one failed.
import type { VerbAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { findRunId } from './find-run.ts';
import { printJson, printLine } from './print.ts';

export async function retry(
  context: CliContext,
  text: string,
  options: DaemonOptions & { reason?: string },
): Promise<ExitCode> {
  const daemon = connect(context, options);
  const id = await findRunId(daemon, text);
  const body = options.reason === undefined ? {} : { reason: options.reason };
  const answer = await daemon.post<VerbAnswer>(`/runs/${segment(id)}/retry`, body);
  if (options.json) printJson(context, answer);
  else printLine(context, `${answer.id ?? answer.run_id}: retries ${id} from the step that failed.`);
  return exitCodes.done;
}
