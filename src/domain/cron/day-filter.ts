// A schedule's calendar as a filter of days: which local dates a nominal time may fall on.
import type { ScheduleCalendar } from '../schedule.ts';
import { dayNumberOf, weekdayOfDay } from './calendar-days.ts';

export interface DayFilter {
  /** Bits 1–31 of the days of `month` (1–12) of `year` that pass. */
  daysOf(year: number, month: number): number;
}

/**
 * `inside` passes the days on which the calendar lets a schedule fire, `outside` the others.
 *
 * Weekday lists make the rule and dates make exceptions from it: an excluded date never fires, an included one
 * fires although its weekday does not. Where there is no weekday list at all, included dates are the only ones.
 */
export function createDayFilter(calendar: ScheduleCalendar, side: 'inside' | 'outside'): DayFilter {
  const included = bitsByMonth(calendar.includeDates ?? []);
  const excluded = bitsByMonth(calendar.excludeDates ?? []);
  const weekdays = allowedWeekdays(calendar);
  return {
    daysOf(year, month) {
      const key = monthKey(year, month);
      const first = weekdayOfDay(dayNumberOf(year, month, 1));
      let days = 0;
      for (let day = 1; day <= 31; day++) {
        days |= ((weekdays >> ((first + day - 1) % 7)) & 1) << day;
      }
      const inside = (days | (included.get(key) ?? 0)) & ~(excluded.get(key) ?? 0);
      return side === 'inside' ? inside : ~inside & -2;
    },
  };
}

/** Bits 0 (Sunday) to 6. */
function allowedWeekdays(calendar: ScheduleCalendar): number {
  const { includeDates, includeWeekdays, excludeWeekdays } = calendar;
  const onlyDates = includeDates !== undefined && includeWeekdays === undefined && excludeWeekdays === undefined;
  const allowed = includeWeekdays === undefined ? (onlyDates ? 0 : 0b111_1111) : weekdayBits(includeWeekdays);
  return allowed & ~weekdayBits(excludeWeekdays ?? []);
}

function weekdayBits(weekdays: readonly number[]): number {
  return weekdays.reduce((bits, weekday) => bits | (1 << weekday), 0);
}

function bitsByMonth(dates: readonly string[]): ReadonlyMap<number, number> {
  const months = new Map<number, number>();
  for (const date of dates) {
    const [year = 0, month = 0, day = 0] = date.split('-').map(Number);
    const key = monthKey(year, month);
    months.set(key, (months.get(key) ?? 0) | (1 << day));
  }
  return months;
}

function monthKey(year: number, month: number): number {
  return year * 12 + month;
}
