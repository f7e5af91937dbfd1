// The times of one schedule: its cron, its calendar, its jitter and its pauses together.
import { type CompiledSchedule, compileCron } from './cron/next-occurrences.ts';
import { stableFraction } from './cron/stable-hash.ts';
import type { ScheduleDefinition } from './schedule.ts';

/** A schedule's times: all of them, those its calendar lets fire, and those it does not. */
export interface ScheduleClock {
  readonly all: CompiledSchedule;
  readonly fires: CompiledSchedule;
  /** Absent where there is no calendar. */
  readonly excluded?: CompiledSchedule;
}

/** Times t with fromMs <= t < untilMs; null: until someone resumes. */
export interface PausedRange {
  readonly fromMs: number;
  readonly untilMs: number | null;
}

/** Compiles a schedule with its calendar. Throws CronError or ZoneError. */
export function createScheduleClock(
  schedule: Pick<ScheduleDefinition, 'id' | 'cron' | 'timezone' | 'dst' | 'calendar'>,
): ScheduleClock {
  const { id, cron, timezone, dst, calendar } = schedule;
  const all = compileCron(cron, timezone, dst === undefined ? { id } : { id, dst });
  return calendar === undefined
    ? { all, fires: all }
    : { all, fires: all.onDays(calendar, 'inside'), excluded: all.onDays(calendar, 'outside') };
}

/** The nominal instant plus a stable part of the jitter, always before the next nominal instant. */
export function fireInstant(
  schedule: Pick<ScheduleDefinition, 'id' | 'jitterMs'>,
  clock: ScheduleClock,
  atMs: number,
): number {
  if (schedule.jitterMs <= 0) {
    return atMs;
  }
  const room = Math.min(schedule.jitterMs, distanceToNext(clock, atMs));
  return atMs + Math.floor(stableFraction(`${schedule.id}\njitter`) * room);
}

/** Milliseconds to the next nominal time, calendar aside; Infinity after the last one. */
export function distanceToNext(clock: ScheduleClock, atMs: number): number {
  const following = clock.all.next(atMs, 1)[0];
  return following === undefined ? Number.POSITIVE_INFINITY : following.at.getTime() - atMs;
}

/** The first nominal instant after `afterMs` that no pause covers, Unix ms, or null. */
export function nextUnpaused(
  compiled: CompiledSchedule,
  pauses: readonly PausedRange[],
  afterMs: number,
): number | null {
  let fromMs = afterMs;
  for (;;) {
    const atMs = compiled.next(fromMs, 1)[0]?.at.getTime();
    if (atMs === undefined) {
      return null;
    }
    const pause = pauses.find((range) => range.fromMs <= atMs && atMs < (range.untilMs ?? Number.POSITIVE_INFINITY));
    if (pause === undefined) {
      return atMs;
    }
    if (pause.untilMs === null) {
      return null;
    }
    fromMs = pause.untilMs - 1;
  }
}
