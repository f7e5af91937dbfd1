// One field of a cron expression, item by item: the dialect's grammar in one place.
import { CronError } from './cron-error.ts';
import { RecentCache } from './recent-cache.ts';
import { stableHash } from './stable-hash.ts';

export type FieldName = 'second' | 'minute' | 'hour' | 'day of month' | 'month' | 'weekday';

interface FieldSpec {
  readonly min: number;
  readonly max: number;
  /** The highest number that may be written: weekday 7 is Sunday again. */
  readonly written: number;
  /** The highest value `H` may choose. */
  readonly hashed: number;
  readonly names: readonly string[];
}

const MONTHS = ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'];
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

const FIELDS: Readonly<Record<FieldName, FieldSpec>> = {
  second: { min: 0, max: 59, written: 59, hashed: 59, names: [] },
  minute: { min: 0, max: 59, written: 59, hashed: 59, names: [] },
  hour: { min: 0, max: 23, written: 23, hashed: 23, names: [] },
  'day of month': { min: 1, max: 31, written: 31, hashed: 28, names: [] },
  month: { min: 1, max: 12, written: 12, hashed: 12, names: MONTHS },
  weekday: { min: 0, max: 6, written: 7, hashed: 6, names: WEEKDAYS },
};

export interface ParsedField {
  /** Plain values, ascending; weekdays 0–6. */
  readonly values: readonly number[];
  /** What plain values cannot say: `L`, `LW`, `15W` in day of month, `5#3`, `5#L` in weekday; sorted. */
  readonly extras: readonly string[];
  /** Written with a leading `*` or `?`: then both day fields must match. */
  readonly startsWithStar: boolean;
  /** Every value of the field is allowed. */
  readonly full: boolean;
  /** Values and extras as a list of plain items: the same for every way to write them. */
  readonly normalized: string;
}

/** Where a piece of text stands in the expression, and what it is part of. */
interface Place {
  readonly expression: string;
  readonly column: number;
  readonly field: FieldName;
  readonly id: string | undefined;
}

/** Fields that were read without error: most schedules are made of the same few. */
const known = new RecentCache<string, ParsedField>(1_000);

/** Parses one field; `column` is where it starts in `expression`. Throws CronError. */
export function parseField(
  expression: string,
  text: string,
  column: number,
  field: FieldName,
  id?: string,
): ParsedField {
  const parse = (): ParsedField => parseItems(expression, text, column, field, id);
  return /h/i.test(text) ? parse() : known.getOrMake(`${field} ${text}`, parse);
}

function parseItems(
  expression: string,
  text: string,
  column: number,
  field: FieldName,
  id: string | undefined,
): ParsedField {
  const spec = FIELDS[field];
  const values = new Set<number>();
  const extras = new Set<string>();
  let itemColumn = column;
  for (const item of text.split(',')) {
    const place: Place = { expression, column: itemColumn, field, id };
    const upper = item.toUpperCase();
    if (item === '?' && item !== text) {
      throw refusal(place, 0, '"?" stands alone in its field');
    }
    const extra = parseExtra(upper, place);
    if (extra !== undefined) {
      extras.add(extra);
    } else {
      for (const value of parseValues(upper, spec, place)) {
        values.add(value);
      }
    }
    itemColumn += item.length + 1;
  }
  const sortedValues = [...values].sort((a, b) => a - b);
  const sortedExtras = [...extras].sort();
  return {
    values: sortedValues,
    extras: sortedExtras,
    startsWithStar: text.startsWith('*') || text === '?',
    full: values.size === spec.max - spec.min + 1,
    normalized: [...sortedValues, ...sortedExtras].join(','),
  };
}

function parseExtra(item: string, place: Place): string | undefined {
  if (place.field === 'day of month') {
    return parseDayOfMonthExtra(item, place);
  }
  return place.field === 'weekday' ? parseWeekdayExtra(item, place) : undefined;
}

function parseDayOfMonthExtra(item: string, place: Place): string | undefined {
  if (item === 'L' || item === 'LW') {
    return item;
  }
  const nearest = /^(\d+)W$/.exec(item)?.[1];
  return nearest === undefined ? undefined : `${numberIn(nearest, FIELDS['day of month'], place, 0)}W`;
}

function parseWeekdayExtra(item: string, place: Place): string | undefined {
  const parts = /^(\d+|[A-Z]{3})(?:#(\d+)|L)$/.exec(item);
  const day = parts?.[1];
  if (day === undefined) {
    return undefined;
  }
  const weekday = numberIn(day, FIELDS.weekday, place, 0) % 7;
  const nth = parts?.[2];
  if (nth === undefined) {
    return `${weekday}#L`;
  }
  // One digit: a month holds at most five of a weekday, and "05" is more likely a slip than a number.
  if (!/^[1-5]$/.test(nth)) {
    throw refusal(place, day.length + 1, `expected 1 to 5 after "#", got "${nth}"`);
  }
  return `${weekday}#${nth}`;
}

const PLAIN_ITEM = /^(\*|\?|H|\d+|[A-Z]{3})(?:-(\d+|[A-Z]{3}))?(?:\/(\d+))?$/;

function parseValues(item: string, spec: FieldSpec, place: Place): number[] {
  const parts = PLAIN_ITEM.exec(item);
  const first = parts?.[1];
  if (first === undefined) {
    throw refusal(place, 0, describeBadItem(item, place.field));
  }
  const last = parts?.[2];
  const stepText = parts?.[3];
  const step = stepText === undefined ? undefined : stepIn(stepText, place, item.length - stepText.length);
  if (first === '*' || first === '?' || first === 'H') {
    if (last !== undefined || (first === '?' && step !== undefined)) {
      throw refusal(place, 0, describeBadItem(item, place.field));
    }
    return first === 'H' ? hashedValues(spec, step, place) : steppedValues(spec.min, spec.max, step ?? 1);
  }
  const start = numberIn(first, spec, place, 0);
  if (last !== undefined) {
    return rangeValues(start, numberIn(last, spec, place, first.length + 1), step ?? 1, spec);
  }
  if (step === undefined) {
    return rangeValues(start, start, 1, spec);
  }
  // `a/n` runs to the end of the field; for weekdays that is Saturday, because 7 is another name of 0.
  return steppedValues(start > spec.max ? spec.min : start, spec.max, step);
}

function rangeValues(start: number, end: number, step: number, spec: FieldSpec): number[] {
  const size = spec.max - spec.min + 1;
  const wrapped = (value: number) => ((value - spec.min) % size) + spec.min;
  if (start <= end) {
    return steppedValues(start, end, step).map(wrapped);
  }
  const from = wrapped(start);
  return steppedValues(from, from <= end ? end : end + size, step).map(wrapped);
}

function hashedValues(spec: FieldSpec, step: number | undefined, place: Place): number[] {
  if (place.id === undefined || place.id === '') {
    throw refusal(place, 0, '"H" is a hash of the schedule\'s id, and there is no id here');
  }
  const hash = stableHash(`${place.id}\n${place.field}`);
  const size = spec.hashed - spec.min + 1;
  if (step === undefined) {
    return [spec.min + (hash % size)];
  }
  return steppedValues(spec.min + (hash % Math.min(step, size)), spec.hashed, step);
}

function steppedValues(from: number, to: number, step: number): number[] {
  const values: number[] = [];
  for (let value = from; value <= to; value += step) {
    values.push(value);
  }
  return values;
}

function stepIn(text: string, place: Place, offset: number): number {
  const step = Number(text);
  if (step === 0) {
    throw refusal(place, offset, 'a step is at least 1');
  }
  return step;
}

function numberIn(text: string, spec: FieldSpec, place: Place, offset: number): number {
  if (/^\d/.test(text)) {
    const value = Number(text);
    if (value < spec.min || value > spec.written) {
      throw refusal(place, offset, `${place.field} is ${spec.min} to ${spec.written}, got ${text}`);
    }
    return value;
  }
  const index = spec.names.indexOf(text);
  if (index >= 0) {
    return index + spec.min;
  }
  const expected = spec.names.length > 0 ? `a number or one of ${spec.names.join(', ')}` : 'a number';
  throw refusal(place, offset, `expected ${expected} in ${place.field}, got "${text}"`);
}

/** People come from other dialects: say what is not supported here rather than that something is wrong. */
function describeBadItem(item: string, field: FieldName): string {
  if (item === '') {
    return `an empty item in ${field}`;
  }
  if (item.startsWith('?')) {
    return '"?" stands alone in its field';
  }
  if (item.startsWith('H')) {
    return '"H" stands alone or with a step ("H/15"); ranges of "H" are not supported';
  }
  if (item === 'L' && field === 'weekday') {
    return '"L" alone has no meaning in weekday; write the day before it ("5L" is the last Friday)';
  }
  if (/^L[-+/]/.test(item)) {
    return 'an offset from the last day of the month is not supported';
  }
  if (item.startsWith('/')) {
    return 'a step needs a start ("*/5" or "3/5")';
  }
  if (/^-\d/.test(item)) {
    return `${field} is not negative`;
  }
  return `cannot read "${item}" in ${field}`;
}

function refusal(place: Place, offset: number, reason: string): CronError {
  return new CronError(place.expression, place.column + offset, reason);
}
