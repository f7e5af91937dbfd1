// `cronwright next`: when an expression or a schedule fires, computed here, without a daemon.
import { type CompiledSchedule, compileCron, type Occurrence } from '../domain/cron/next-occurrences.ts';
import type { DstPolicy, ScheduleCalendar } from '../domain/schedule.ts';
import type { CliContext } from './cli-context.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { instant } from './option-values.ts';
import { printJson, printLine } from './print.ts';
import { explainCronError } from './show-cron-error.ts';
import { localTime, showRelative, showUtc } from './show-time.ts';
import { type Column, renderTable } from './table.ts';

export interface NextOptions {
  timezone?: string;
  from?: string;
  count?: number;
  gap?: DstPolicy['gap'];
  overlap?: DstPolicy['overlap'];
  id?: string;
  config?: string;
  tenant?: string;
  json?: boolean;
}

interface Question {
  expression: string;
  timezone: string;
  dst: Partial<DstPolicy>;
  id?: string | undefined;
  calendar?: ScheduleCalendar | undefined;
  /** What a schedule says beyond its expression. */
  notes: string[];
}

const scheduleId = /^[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*$/;

export async function next(context: CliContext, words: readonly string[], options: NextOptions): Promise<ExitCode> {
  const text = words.join(' ');
  const now = context.clock.now();
  const from = options.from === undefined ? now : instant('--from', options.from);
  const question = scheduleId.test(text)
    ? await questionOfSchedule(context, text, options)
    : questionOfExpression(text, options);
  const schedule = compile(question);
  const occurrences = schedule.next(from, options.count ?? 5);
  if (options.json) {
    const { showInstant } = await import('../foresight/next.ts');
    printJson(context, { occurrences: occurrences.map(({ at }) => showInstant(at)) });
    return exitCodes.done;
  }
  await printHeading(context, question, schedule);
  if (schedule.neverFires) printLine(context, context.stdout.colors.yellow('This never fires: no such day exists.'));
  else if (occurrences.length === 0) printLine(context, 'It does not fire any more after that.');
  else printLine(context, renderTable(context.stdout, columnsOf(question.timezone, from, now), occurrences));
  return exitCodes.done;
}

function questionOfExpression(expression: string, options: NextOptions): Question {
  return {
    expression,
    timezone: options.timezone ?? 'UTC',
    dst: dstOf(options),
    id: options.id,
    notes: [],
  };
}

/** What the configuration says; options on the command line say what if. */
async function questionOfSchedule(context: CliContext, id: string, options: NextOptions): Promise<Question> {
  const { findSchedule } = await import('./find-schedule.ts');
  const schedule = await findSchedule(context, id, options);
  return {
    expression: schedule.cron,
    timezone: options.timezone ?? schedule.timezone,
    dst: { ...schedule.dst, ...dstOf(options) },
    id: options.id ?? schedule.id,
    calendar: schedule.calendar,
    notes: [
      ...(schedule.enabled ? [] : ['It is not enabled: it does not fire.']),
      ...(schedule.jitterMs > 0 ? ['Its runs start later than shown by a stable jitter.'] : []),
      ...(schedule.calendar ? ['Its calendar is taken into account.'] : []),
    ],
  };
}

function dstOf(options: NextOptions): Partial<DstPolicy> {
  return {
    ...(options.gap === undefined ? {} : { gap: options.gap }),
    ...(options.overlap === undefined ? {} : { overlap: options.overlap }),
  };
}

function compile(question: Question): CompiledSchedule {
  try {
    const { expression, timezone, dst, id, calendar } = question;
    const schedule = compileCron(expression, timezone, id === undefined ? { dst } : { dst, id });
    return calendar === undefined ? schedule : schedule.onDays(calendar, 'inside');
  } catch (error) {
    throw explainCronError(error);
  }
}

async function printHeading(context: CliContext, question: Question, schedule: CompiledSchedule): Promise<void> {
  const { bold, dim } = context.stdout.colors;
  const { describeCron } = await import('./describe-cron.ts');
  const inWords = describeCron(question.expression);
  const about = [inWords, question.timezone].filter((part) => part !== undefined).join(', ');
  printLine(context, `${bold(question.expression)}  ${about}`);
  if (!schedule.fixedTime && question.timezone !== 'UTC') {
    printLine(context, dim('An interval: it follows the clock through changes of daylight saving time.'));
  }
  for (const note of question.notes) printLine(context, dim(note));
  printLine(context);
}

function columnsOf(timezone: string, from: number, now: number): Column<Occurrence>[] {
  let previousOffset = localTime(from, timezone).offset;
  return [
    { heading: 'local time', cell: ({ at }) => localTime(at.getTime(), timezone).text },
    { heading: 'zone', cell: ({ at }) => localTime(at.getTime(), timezone).abbreviation },
    { heading: 'UTC', cell: ({ at }) => showUtc(at.getTime()) },
    { heading: 'from now', cell: ({ at }) => showRelative(at.getTime(), now) },
    {
      heading: 'note',
      cell: ({ at, nominalCount }) => {
        const { offset } = localTime(at.getTime(), timezone);
        const changed = offset === previousOffset ? '' : `clocks changed: ${previousOffset} → ${offset}`;
        previousOffset = offset;
        return nominalCount > 1 ? [changed, `${nominalCount} times in one`].filter(Boolean).join('; ') : changed;
      },
    },
  ];
}
