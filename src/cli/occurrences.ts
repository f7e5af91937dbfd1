// `cronwright occurrences`: what became of every fire time of a schedule, and whether the count is right.
import type { OccurrencesAnswer } from './answers.ts';
import type { CliContext } from './cli-context.ts';
import { connect, type DaemonOptions } from './connect.ts';
import { segment } from './daemon-client.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { instantOrDistance } from './option-values.ts';
import { printJson, printLine, printNote } from './print.ts';
import { paintState } from './show-state.ts';
import { localTime, showUtc } from './show-time.ts';
import { type Column, clip, renderTable } from './table.ts';

export interface OccurrencesOptions extends DaemonOptions {
  from?: string;
  to?: string;
}

export async function occurrences(
  context: CliContext,
  schedule: string,
  options: OccurrencesOptions,
): Promise<ExitCode> {
  const now = context.clock.now();
  const when = (option: string, text: string | undefined): string | undefined =>
    text === undefined ? undefined : new Date(instantOrDistance(option, text, now)).toISOString();
  const answer = await connect(context, options).get<OccurrencesAnswer>(`/schedules/${segment(schedule)}/occurrences`, {
    from: when('--from', options.from),
    to: when('--to', options.to),
    limit: 500,
  });
  if (options.json) {
    printJson(context, answer);
    return exitCodes.done;
  }
  if (answer.items.length === 0) printLine(context, 'Nothing in this time.');
  else printLine(context, renderTable(context.stdout, columnsOf(context, answer.timezone), answer.items));
  printSummary(context, answer);
  return exitCodes.done;
}

function columnsOf(context: CliContext, timezone: string): Column<OccurrencesAnswer['items'][number]>[] {
  const { colors } = context.stdout;
  const time = (from: string, to: string, show: (ms: number) => string): string =>
    from === to ? show(Date.parse(from)) : `${show(Date.parse(from))} … ${show(Date.parse(to))}`;
  return [
    { heading: 'due (UTC)', cell: (one) => time(one.first_at, one.last_at, showUtc) },
    {
      heading: timezone,
      cell: (one) => (timezone === 'UTC' ? '' : localTime(Date.parse(one.first_at), timezone).text),
    },
    { heading: 'times', align: 'right', cell: (one) => String(one.count) },
    { heading: 'outcome', cell: (one) => (one.outcome === 'enqueued' ? one.outcome : colors.yellow(one.outcome)) },
    { heading: 'state', cell: (one) => (one.run_state === null ? '' : paintState(colors, one.run_state)) },
    { heading: 'run', cell: (one) => one.run_id ?? '' },
    { heading: '', cell: (one) => (one.late ? 'late' : clip(one.reason ?? '', 60)) },
  ];
}

function printSummary(context: CliContext, { summary, decided_until, next_cursor }: OccurrencesAnswer): void {
  const { total, ...outcomes } = summary;
  const parts = Object.entries(outcomes).flatMap(([outcome, count]) => (count > 0 ? [`${count} ${outcome}`] : []));
  const until = decided_until === null ? 'nothing decided yet' : `decided until ${showUtc(Date.parse(decided_until))}`;
  printLine(context);
  printLine(
    context,
    `${total} fire ${total === 1 ? 'time' : 'times'}${parts.length > 0 ? ` = ${parts.join(' + ')}` : ''}; ${until}`,
  );
  if (next_cursor !== null) {
    printNote(
      context,
      context.stderr.colors.dim('only the newest 500 are listed; narrow --from and --to for the others'),
    );
  }
}
