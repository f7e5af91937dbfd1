// `cronwright resume`: lets a paused schedule fire again, from its next time on.
import type { ScheduleAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { printJson, printLine } from './print.ts';
import { showRelative, showUtc } from './show-time.ts';

export async function resume(context: CliContext, schedule: string, options: DaemonOptions): Promise<ExitCode> {
  const answer = await connect(context, options).post<Partial<ScheduleAnswer>>(
    `/schedules/${segment(schedule)}/resume`,
  );
  if (options.json) printJson(context, answer);
  else {
    const next = answer.next_at ? Date.parse(answer.next_at) : undefined;
    const when =
      next === undefined ? '' : `; fires next at ${showUtc(next)} (${showRelative(next, context.clock.now())})`;
    printLine(context, `${schedule}: resumed${when}.`);
  }
  return exitCodes.done;
}
