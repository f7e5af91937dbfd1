// When an expression fires next, from text alone: what `cronwright next` and POST /api/v1/cron/next answer.
import { DateTime } from 'luxon';
import { CronError } from '../domain/cron/cron-error.ts';
import { type CompiledSchedule, compileCron } from '../domain/cron/next-occurrences.ts';
import { ZoneError } from '../domain/cron/zone-transitions.ts';
import { CronwrightError, type Problem } from '../domain/errors.ts';
import type { DstPolicy } from '../domain/schedule.ts';

/** The most occurrences one question may ask for. */
const MAX_NEXT_COUNT = 1_000;

export interface NextQuestion {
  readonly expression: string;
  /** An IANA zone; default UTC. */
  readonly timezone?: string | undefined;
  /** ISO 8601 with `Z` or an offset (a date alone is its midnight in UTC), or a Date. */
  readonly from: string | Date;
  /** 1 to 1,000. */
  readonly count: number;
  readonly dst?: Partial<DstPolicy> | undefined;
  /** The schedule's id, which `H` is hashed from. */
  readonly id?: string | undefined;
}

export interface NextAnswer {
  /** Instants in UTC strictly after `from`, such as `2016-12-09T22:35:10Z`, in order. Empty: it never fires. */
  readonly occurrences: string[];
}

/**
 * Computes up to `count` occurrences strictly after `from`.
 * @throws CronwrightError `invalid_input` with one problem for each thing that is wrong: its path (`expression`,
 * `timezone`, `from`, `count`, `dst.gap`, `dst.overlap`), for an expression also the column (1-based).
 */
export function nextOccurrences(question: NextQuestion): NextAnswer {
  const problems: Problem[] = [];
  const fromMs = readInstant(question.from, problems);
  checkCount(question.count, problems);
  checkChoice('dst.gap', question.dst?.gap, ['next', 'skip'], problems);
  checkChoice('dst.overlap', question.dst?.overlap, ['first', 'last', 'both'], problems);
  const compiled = compile(question, problems);
  if (compiled === undefined || problems.length > 0) {
    const [first] = problems;
    const summary = first === undefined ? 'the question cannot be read' : `${first.path}: ${first.message}`;
    throw new CronwrightError('invalid_input', summary, { problems });
  }
  return { occurrences: compiled.next(fromMs, question.count).map(({ at }) => showInstant(at)) };
}

/** ISO 8601 in UTC, without the fraction where it is zero. */
export function showInstant(instant: Date): string {
  return instant.toISOString().replace('.000Z', 'Z');
}

function compile(question: NextQuestion, problems: Problem[]): CompiledSchedule | undefined {
  const { expression, timezone = 'UTC', dst, id } = question;
  try {
    return compileCron(expression, timezone, {
      ...(dst === undefined ? {} : { dst }),
      ...(id === undefined ? {} : { id }),
    });
  } catch (error) {
    const problem = problemOf(error, timezone);
    if (problem === undefined) {
      throw error;
    }
    problems.push(problem);
    return undefined;
  }
}

function problemOf(error: unknown, timezone: string): Problem | undefined {
  if (error instanceof CronError) {
    return { path: 'expression', column: error.column + 1, message: error.reason, got: shorten(error.expression) };
  }
  if (error instanceof ZoneError) {
    return { path: 'timezone', message: error.message, got: shorten(timezone), expected: 'an IANA time zone' };
  }
  return undefined;
}

const INSTANT = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2}))?$/;

function readInstant(from: string | Date, problems: Problem[]): number {
  const ms =
    typeof from !== 'string'
      ? from.getTime()
      : INSTANT.test(from)
        ? DateTime.fromISO(from, { zone: 'UTC' }).toMillis()
        : Number.NaN;
  if (Number.isNaN(ms)) {
    problems.push({
      path: 'from',
      message: 'is not an instant',
      got: shorten(String(from)),
      expected: 'ISO 8601 with Z or an offset, such as 2026-03-08T06:30:00Z',
    });
  }
  return ms;
}

function checkCount(count: number, problems: Problem[]): void {
  if (!Number.isInteger(count) || count < 1 || count > MAX_NEXT_COUNT) {
    const expected = `a whole number from 1 to ${MAX_NEXT_COUNT}`;
    problems.push({ path: 'count', message: `is not ${expected}`, got: String(count), expected });
  }
}

function checkChoice(path: string, got: string | undefined, choices: readonly string[], problems: Problem[]): void {
  if (got !== undefined && !choices.includes(got)) {
    const expected = choices.join(', ');
    problems.push({ path, message: `is none of ${expected}`, got: shorten(got), expected });
  }
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}
