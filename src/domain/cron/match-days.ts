// Which days of a month a pattern allows: the only file that asks croner, in UTC, about bare dates.
import { Cron } from 'croner';
import { type BitSet, countBits, hasBit } from './bit-set.ts';
import { daysOfMonthMask, isLeapYear, weekdayOf } from './calendar-days.ts';
import type { DayRule } from './parse-cron.ts';
import { RecentCache } from './recent-cache.ts';

const MONTHS_OF_A_YEAR = 12;

/** A year's days fall on weekdays in one of 14 ways: seven first weekdays, leap or not. Any 28 years show them all. */
const YEAR_OF_TYPE: ReadonlyMap<number, number> = new Map(
  Array.from({ length: 28 }, (_, index) => 2000 + index).map((year) => [yearType(year), year]),
);

/**
 * The allowed days of every month there can be, as bits 1–31, found out when first asked for. What croner says
 * about a date depends on nothing but the date, so 14 × 12 months answer for all years, and no croner object (83 kB
 * each) is kept.
 */
export class DayTable {
  readonly #rule: DayRule;
  readonly #everyDay: boolean;
  readonly #masks = new Int32Array(YEAR_OF_TYPE.size * MONTHS_OF_A_YEAR);

  constructor(rule: DayRule) {
    const { daysOfMonth, weekdays, both } = rule;
    this.#rule = rule;
    this.#everyDay = both ? daysOfMonth.full && weekdays.full : daysOfMonth.full || weekdays.full;
  }

  get everyDay(): boolean {
    return this.#everyDay;
  }

  /** Bits 1–31 of the days that match in `month` (1–12) of `year`. */
  daysOf(year: number, month: number): number {
    if (this.#everyDay) {
      return daysOfMonthMask(year, month);
    }
    const type = yearType(year);
    const index = type * MONTHS_OF_A_YEAR + month - 1;
    // Bit 0 is no day: it says that the month has been looked at.
    const known = this.#masks[index] ?? 0;
    if (known !== 0) {
      return known & ~1;
    }
    const days = askCroner(this.#rule, YEAR_OF_TYPE.get(type) ?? year, month);
    this.#masks[index] = days | 1;
    return days;
  }

  /** Whether any day of these months ever matches: asked of 14 year types, never of an endless search. */
  everMatches(months: BitSet): boolean {
    if (this.#everyDay) {
      return true;
    }
    for (let month = 1; month <= MONTHS_OF_A_YEAR; month++) {
      if (hasBit(months, month) && [...YEAR_OF_TYPE.values()].some((year) => this.daysOf(year, month) !== 0)) {
        return true;
      }
    }
    return false;
  }
}

const tables = new RecentCache<string, DayTable>(500);

/** The table of a rule, shared by all schedules with the same day fields. */
export function dayTableOf(rule: DayRule): DayTable {
  return tables.getOrMake(
    `${rule.daysOfMonth.normalized} ${rule.weekdays.normalized} ${rule.both}`,
    () => new DayTable(rule),
  );
}

/**
 * Values are written out, never `*`: the star's meaning is already in `both`, which croner is told separately.
 * croner refuses `LW` in a list; either-or over the whole makes two questions of it.
 */
function patternsOf({ daysOfMonth, weekdays }: DayRule): string[] {
  const list = daysOfMonth.normalized;
  const lists = list.includes(',LW') ? [list.replace(',LW', ''), 'LW'] : [list];
  return lists.map((days) => `0 0 0 ${days} * ${weekdays.normalized}`);
}

function askCroner(rule: DayRule, year: number, month: number): number {
  const crons = patternsOf(rule).map(
    (pattern) => new Cron(pattern, { paused: true, timezone: 'UTC', mode: '6-part', domAndDow: rule.both }),
  );
  let days = 0;
  for (let day = 1; day <= countBits(daysOfMonthMask(year, month)); day++) {
    const date = new Date(Date.UTC(year, month - 1, day));
    if (isCandidate(rule, year, month, day) && crons.some((cron) => cron.match(date))) {
      days |= 1 << day;
    }
  }
  return days;
}

/** Spares croner the days that a field of plain values rules out: a pattern that never fires is found at once. */
function isCandidate({ daysOfMonth, weekdays, both }: DayRule, year: number, month: number, day: number): boolean {
  const inMonth = daysOfMonth.extras.length > 0 || daysOfMonth.values.includes(day);
  const inWeek = weekdays.extras.length > 0 || weekdays.values.includes(weekdayOf(year, month, day));
  return both ? inMonth && inWeek : inMonth || inWeek;
}

function yearType(year: number): number {
  return weekdayOf(year, 1, 1) + (isLeapYear(year) ? 7 : 0);
}
