// A schedule's calendar as a filter of days: which local dates a nominal time may fall on.
import type { ScheduleCalendar } from '../schedule.ts';
import { dayNumberOf, weekdayOfDay } from './calendar-days.ts';
import { RecentCache } from './recent-cache.ts';

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
  const included = new Set(calendar.includeDates);
  const excluded = new Set(calendar.excludeDates);
  const weekdays = allowedWeekdays(calendar);
  const fires = (date: string, weekday: number): boolean =>
    !excluded.has(date) && (included.has(date) || weekdays.has(weekday));
  const daysOf = (year: number, month: number): number => {
    const prefix = `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-`;
    const first = weekdayOfDay(dayNumberOf(year, month, 1));
    let days = 0;
    for (let day = 1; day <= 31; day++) {
      const date = `${prefix}${String(day).padStart(2, '0')}`;
      if (fires(date, (first + day - 1) % 7) === (side === 'inside')) {
        days |= 1 << day;
      }
    }
    return days;
  };
  const months = new RecentCache<number, number>(48);
  return { daysOf: (year, month) => months.getOrMake(year * 12 + month, () => daysOf(year, month)) };
}

function allowedWeekdays(calendar: ScheduleCalendar): Set<number> {
  const { includeDates, includeWeekdays, excludeWeekdays } = calendar;
  const rule = includeWeekdays ?? (includeDates !== undefined && excludeWeekdays === undefined ? [] : WEEK);
  return new Set(rule.filter((weekday) => !excludeWeekdays?.includes(weekday)));
}

const WEEK = [0, 1, 2, 3, 4, 5, 6];
