// `cronwright pause`: stops a schedule from firing until it is resumed.
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { instantOrDistance } from './option-values.ts';
import { printJson, printLine } from './print.ts';
import { showRelative, showUtc } from './show-time.ts';

export async function pause(
  context: CliContext,
  schedule: string,
  options: DaemonOptions & { reason?: string; until?: string },
): Promise<ExitCode> {
  const now = context.clock.now();
  const until = options.until === undefined ? undefined : instantOrDistance('--until', options.until, now, 1);
  const answer = await connect(context, options).post(`/schedules/${segment(schedule)}/pause`, {
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...(until === undefined ? {} : { until: new Date(until).toISOString() }),
  });
  const end = until === undefined ? 'until it is resumed' : `until ${showUtc(until)} (${showRelative(until, now)})`;
  if (options.json) printJson(context, answer);
  else printLine(context, `${schedule}: paused ${end}.`);
  return exitCodes.done;
}
