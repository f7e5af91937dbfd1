// The times a pattern names on a wall clock: next and count, in seconds of a clock without zone or DST.
import { type BitSet, bitSetOf, countBelow, countBits, hasBit, lowestBit, nextBit } from './bit-set.ts';
import { civilDateOf, dayNumberOf, daysOfMonthMask } from './calendar-days.ts';
import type { DayFilter } from './day-filter.ts';
import { type DayTable, dayTableOf } from './match-days.ts';
import type { FieldPattern } from './parse-cron.ts';

/**
 * Nominal times on a wall clock, as "wall seconds": Unix seconds of the same reading in UTC. `offset` is the zone's
 * offset that holds there; only `@every`, which counts instants, needs it.
 */
export interface WallClock {
  /** The first nominal time at or after `wall`, or Infinity. */
  next(wall: number, offset: number): number;
  /** How many nominal times are in [from, until). */
  count(from: number, until: number, offset: number): number;
}

const DAY = 86_400;
/** No schedule is asked about years that ISO dates cannot write with four digits. */
const END_OF_TIME = dayNumberOf(10_000, 1, 1);
/** The calendar repeats after that: what did not match by then never will. */
const CALENDAR_CYCLE_YEARS = 400;
const ALL_MONTHS = bitSetOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

/** The clock of a pattern's fields, on the days that `filter` lets through. */
export function createFieldClock(pattern: FieldPattern, filter?: DayFilter): WallClock {
  const days = new Days(pattern.months, dayTableOf(pattern.days), filter);
  const perDay = countTimesBelow(pattern, DAY);
  const firstTime = nextTimeOfDay(pattern, 0);
  return {
    next(wall) {
      const day = Math.floor(wall / DAY);
      const time = nextTimeOfDay(pattern, wall - day * DAY);
      const found = days.next(time < 0 ? day + 1 : day);
      return found * DAY + (found === day ? time : firstTime);
    },
    count(from, until) {
      if (until <= from) {
        return 0;
      }
      const firstDay = Math.floor(from / DAY);
      const lastDay = Math.floor(until / DAY);
      const cutAtStart = days.has(firstDay) ? countTimesBelow(pattern, from - firstDay * DAY) : 0;
      const cutAtEnd = days.has(lastDay) ? countTimesBelow(pattern, until - lastDay * DAY) : 0;
      return days.count(firstDay, lastDay) * perDay - cutAtStart + cutAtEnd;
    },
  };
}

/** The clock of `@every`: multiples of the period since the epoch, on the days that `filter` lets through. */
export function createEveryClock(period: number, filter?: DayFilter): WallClock {
  const days = new Days(ALL_MONTHS, undefined, filter);
  const atOrAfter = (second: number): number => Math.ceil(second / period) * period;
  return {
    next(wall, offset) {
      let candidate = atOrAfter(wall - offset) + offset;
      const giveUp = wall + CALENDAR_CYCLE_YEARS * 366 * DAY;
      while (candidate < giveUp) {
        const day = Math.floor(candidate / DAY);
        const allowed = days.next(day);
        if (allowed === day) {
          return candidate;
        }
        candidate = atOrAfter(Math.max(allowed * DAY - offset, candidate - offset + 1)) + offset;
      }
      return Number.POSITIVE_INFINITY;
    },
    count(from, until, offset) {
      const between = (start: number, end: number): number =>
        end <= start ? 0 : Math.ceil((end - offset) / period) - Math.ceil((start - offset) / period);
      if (filter === undefined) {
        return between(from, until);
      }
      let count = 0;
      for (let day = days.next(Math.floor(from / DAY)); day * DAY < until; day = days.next(day + 1)) {
        count += between(Math.max(from, day * DAY), Math.min(until, (day + 1) * DAY));
      }
      return count;
    },
  };
}

/** The days of a pattern, month by month as bit masks. */
class Days {
  readonly #months: BitSet;
  readonly #table: DayTable | undefined;
  readonly #filter: DayFilter | undefined;
  readonly #all: boolean;

  constructor(months: BitSet, table: DayTable | undefined, filter: DayFilter | undefined) {
    this.#months = months;
    this.#table = table;
    this.#filter = filter;
    this.#all = countBelow(months, 13) === 12 && (table === undefined || table.everyDay) && filter === undefined;
  }

  has(day: number): boolean {
    if (this.#all) {
      return true;
    }
    const date = civilDateOf(day);
    return ((this.#maskOf(date.year, date.month) >>> date.day) & 1) === 1;
  }

  /** The first day at or after `day`, or Infinity. */
  next(day: number): number {
    if (this.#all) {
      return day < END_OF_TIME ? day : Number.POSITIVE_INFINITY;
    }
    let { year, month, day: from } = civilDateOf(day);
    const lastYear = Math.min(year + CALENDAR_CYCLE_YEARS, 9999);
    while (year <= lastYear) {
      const rest = this.#maskOf(year, month) & (-1 << from);
      if (rest !== 0) {
        return dayNumberOf(year, month, lowestBit(rest));
      }
      from = 1;
      month = month === 12 ? 1 : month + 1;
      year = month === 1 ? year + 1 : year;
    }
    return Number.POSITIVE_INFINITY;
  }

  /** How many days are in [from, until). */
  count(from: number, until: number): number {
    if (this.#all || until <= from) {
      return Math.max(0, until - from);
    }
    const last = civilDateOf(until);
    let { year, month, day } = civilDateOf(from);
    let count = 0;
    while (year < last.year || (year === last.year && month < last.month)) {
      count += countBits(this.#maskOf(year, month) & (-1 << day));
      day = 1;
      month = month === 12 ? 1 : month + 1;
      year = month === 1 ? year + 1 : year;
    }
    return count + countBits(this.#maskOf(year, month) & (-1 << day) & ~(-1 << last.day));
  }

  #maskOf(year: number, month: number): number {
    if (!hasBit(this.#months, month)) {
      return 0;
    }
    const days = this.#table?.daysOf(year, month) ?? daysOfMonthMask(year, month);
    return this.#filter === undefined || days === 0 ? days : days & this.#filter.daysOf(year, month);
  }
}

interface TimesOfDay {
  readonly seconds: BitSet;
  readonly minutes: BitSet;
  readonly hours: BitSet;
}

/** The first time of day at or after `time` (seconds since midnight), or -1. */
function nextTimeOfDay(times: TimesOfDay, time: number): number {
  const [startHour, startMinute, startSecond] = splitTime(time);
  let hour = nextBit(times.hours, startHour);
  if (hour === startHour) {
    let minute = nextBit(times.minutes, startMinute);
    if (minute === startMinute) {
      const second = nextBit(times.seconds, startSecond);
      if (second >= 0) {
        return hour * 3600 + minute * 60 + second;
      }
      minute = nextBit(times.minutes, startMinute + 1);
    }
    if (minute >= 0) {
      return hour * 3600 + minute * 60 + nextBit(times.seconds, 0);
    }
    hour = nextBit(times.hours, startHour + 1);
  }
  return hour < 0 ? -1 : hour * 3600 + nextBit(times.minutes, 0) * 60 + nextBit(times.seconds, 0);
}

/** How many times of day are before `time`. */
function countTimesBelow(times: TimesOfDay, time: number): number {
  const [hour, minute, second] = splitTime(time);
  const perMinute = countBelow(times.seconds, 60);
  const perHour = countBelow(times.minutes, 60) * perMinute;
  let count = countBelow(times.hours, hour) * perHour;
  if (hour < 24 && hasBit(times.hours, hour)) {
    count += countBelow(times.minutes, minute) * perMinute;
    count += hasBit(times.minutes, minute) ? countBelow(times.seconds, second) : 0;
  }
  return count;
}

function splitTime(time: number): [hour: number, minute: number, second: number] {
  const hour = Math.floor(time / 3600);
  const rest = time - hour * 3600;
  const minute = Math.floor(rest / 60);
  return [hour, minute, rest - minute * 60];
}
