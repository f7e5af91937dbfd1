// A cron expression as text → what it allows: the front door of the dialect.
import { type BitSet, bitSetOf } from './bit-set.ts';
import { CronError } from './cron-error.ts';
import { type FieldName, type ParsedField, parseField } from './parse-field.ts';

/** Which days a pattern allows, months apart. */
export interface DayRule {
  readonly daysOfMonth: ParsedField;
  readonly weekdays: ParsedField;
  /** A day must match both fields (one of them starts with `*` or `?`), else either is enough. */
  readonly both: boolean;
}

export interface FieldPattern {
  readonly kind: 'fields';
  readonly seconds: BitSet;
  readonly minutes: BitSet;
  readonly hours: BitSet;
  /** Bits 1–12. */
  readonly months: BitSet;
  readonly days: DayRule;
  /** No `*`, `?` or step in second, minute and hour, decided on the text as written. */
  readonly fixedTime: boolean;
}

/** `@every`: whole seconds, counted from the Unix epoch. */
export interface EveryPattern {
  readonly kind: 'every';
  readonly periodSeconds: number;
}

export type CronPattern = FieldPattern | EveryPattern;

/** The longest expression that is read at all. */
const MAX_EXPRESSION_LENGTH = 256;

const NICKNAMES: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
};

const FIELD_ORDER: readonly FieldName[] = ['second', 'minute', 'hour', 'day of month', 'month', 'weekday'];

/** A century: beyond it a period is a slip of the finger. */
const MAX_PERIOD_SECONDS = 36_525 * 86_400;

interface Word {
  readonly text: string;
  readonly column: number;
}

/**
 * Parses an expression of the dialect: Vixie's five fields or six with leading seconds, nicknames, `@every`.
 * Fields are parted by spaces or tabs; around the whole, line ends are allowed too (a YAML block ends with one).
 * `id` is what `H` is hashed from; without it `H` is refused.
 * @throws CronError with the 0-based column and the reason.
 */
export function parseCron(expression: string, id?: string): CronPattern {
  const words = splitWords(expression);
  const first = words[0];
  if (first === undefined) {
    throw new CronError(expression, 0, 'the expression is empty');
  }
  if (first.text.startsWith('@')) {
    return parseNickname(expression, first, words.slice(1));
  }
  return parseFields(expression, words, id);
}

function splitWords(expression: string): Word[] {
  if (expression.length > MAX_EXPRESSION_LENGTH) {
    const got = `longer than ${MAX_EXPRESSION_LENGTH} characters (${expression.length})`;
    throw new CronError(expression, MAX_EXPRESSION_LENGTH, got);
  }
  // Before anything is upper-cased: some letters outside ASCII become ASCII ones by that.
  const core = expression.replace(/[ \t\r\n]+$/, '');
  const start = /^[ \t\r\n]*/.exec(core)?.[0].length ?? 0;
  const odd = /[^\x21-\x7e \t]/.exec(core.slice(start));
  if (odd !== null) {
    const code = odd[0].charCodeAt(0).toString(16).padStart(4, '0');
    throw new CronError(expression, start + odd.index, `character U+${code.toUpperCase()} has no meaning here`);
  }
  return [...core.slice(start).matchAll(/[^ \t]+/g)].map((match) => ({
    text: match[0],
    column: start + match.index,
  }));
}

function parseFields(expression: string, words: readonly Word[], id: string | undefined): FieldPattern {
  if (words.length !== 5 && words.length !== 6) {
    const column = words[6]?.column ?? expression.length;
    throw new CronError(expression, column, `expected 5 fields, or 6 with leading seconds; got ${words.length}`);
  }
  // With five fields the first word is the minute, and the second is a 0 that nobody wrote.
  const shift = words.length - FIELD_ORDER.length;
  const wordOf = (name: FieldName): Word => words[FIELD_ORDER.indexOf(name) + shift] ?? { text: '0', column: 0 };
  const parse = (name: FieldName): ParsedField => {
    const word = wordOf(name);
    return parseField(expression, word.text, word.column, name, id);
  };
  const [seconds, minutes, hours] = [parse('second'), parse('minute'), parse('hour')];
  const [daysOfMonth, months, weekdays] = [parse('day of month'), parse('month'), parse('weekday')];
  return {
    kind: 'fields',
    seconds: bitSetOf(seconds.values),
    minutes: bitSetOf(minutes.values),
    hours: bitSetOf(hours.values),
    months: bitSetOf(months.values),
    days: { daysOfMonth, weekdays, both: daysOfMonth.startsWithStar || weekdays.startsWithStar },
    fixedTime: ![wordOf('second'), wordOf('minute'), wordOf('hour')].some((word) => /[*?/]/.test(word.text)),
  };
}

function parseNickname(expression: string, first: Word, rest: readonly Word[]): CronPattern {
  const name = first.text.toLowerCase();
  if (name === '@every') {
    return parseEvery(expression, first, rest);
  }
  // Own keys only: "@constructor" and the like are not nicknames.
  const expanded = Object.hasOwn(NICKNAMES, name) ? NICKNAMES[name] : undefined;
  if (expanded === undefined) {
    const known = [...Object.keys(NICKNAMES), '@every'].join(', ');
    throw new CronError(expression, first.column, `unknown nickname "${first.text}"; known are ${known}`);
  }
  const extra = rest[0];
  if (extra !== undefined) {
    throw new CronError(expression, extra.column, `nothing follows ${name}`);
  }
  return parseFields(expanded, splitWords(expanded), undefined);
}

function parseEvery(expression: string, first: Word, rest: readonly Word[]): EveryPattern {
  const period = rest[0];
  const column = period?.column ?? first.column + first.text.length;
  const parts = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(period?.text.toLowerCase() ?? '');
  if (period === undefined || parts === null) {
    const got = period === undefined ? 'nothing' : `"${period.text}"`;
    throw new CronError(expression, column, `expected a period such as 90s, 15m or 1h30m after @every, got ${got}`);
  }
  const extra = rest[1];
  if (extra !== undefined) {
    throw new CronError(expression, extra.column, 'nothing follows the period of @every');
  }
  const periodSeconds = Number(parts[1] ?? 0) * 3600 + Number(parts[2] ?? 0) * 60 + Number(parts[3] ?? 0);
  if (periodSeconds < 1 || periodSeconds > MAX_PERIOD_SECONDS) {
    throw new CronError(expression, column, `a period is 1s to 36525 days, got "${period.text}"`);
  }
  return { kind: 'every', periodSeconds };
}
