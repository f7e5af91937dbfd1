// When a schedule fires next: nominal times of its pattern, its calendar applied, in its own zone and in UTC.
import { DateTime } from 'luxon';
import { z } from 'zod';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import { createScheduleClock } from '../domain/schedule-clock.ts';
import { instant } from './view-fields.ts';

export const fireView = z
  .object({
    at: instant,
    local: z.string().describe("the same instant on the schedule's wall clock, with its offset"),
    timezone: z.string(),
    nominal_count: z.int().describe('nominal times that fall on this instant'),
  })
  .meta({ id: 'Fire' });

export type FireView = z.infer<typeof fireView>;

type Timing = Pick<ScheduleDefinition, 'id' | 'cron' | 'timezone' | 'dst' | 'calendar'>;

/** Up to `count` fires strictly after `from`. Throws CronError or ZoneError. */
export function nextFires(schedule: Timing, from: Date, count: number): FireView[] {
  return createScheduleClock(schedule)
    .fires.next(from.getTime(), count)
    .map(({ at, nominalCount }) => ({
      at,
      local: localTime(at, schedule.timezone),
      timezone: schedule.timezone,
      nominal_count: nominalCount,
    }));
}

/** `2026-03-29T02:00:00+02:00`. */
export function localTime(at: Date, timezone: string): string {
  return DateTime.fromJSDate(at, { zone: timezone }).toISO({ suppressMilliseconds: true }) ?? at.toISOString();
}
