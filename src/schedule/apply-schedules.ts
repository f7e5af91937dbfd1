// Brings the database's schedules to what the configuration says: new ones begin now, edited ones drop what was owed, gone ones stop.
import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../db/database.ts';
import { errorMessage } from '../domain/errors.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import { createScheduleClock, fireInstant, nextUnpaused } from '../domain/schedule-clock.ts';
import {
  loadSchedules,
  removeSchedules,
  type ScheduleWrite,
  type StoredSchedule,
  writeSchedules,
} from '../queue/register-schedules.ts';

export interface AppliedSchedules {
  total: number;
  changed: number;
  removed: number;
}

/** Rows in one statement. */
const batch = 5_000;

/** Writes only what differs. `nowMs` is the database's clock. */
export async function applySchedules(
  db: Database,
  schedules: readonly ScheduleDefinition[],
  nowMs: number,
): Promise<AppliedSchedules> {
  // A new schedule is as old as its cursor: what it owes begins when it is made.
  const now = new Date(nowMs);
  const stored = new Map((await loadSchedules(db)).map((row) => [`${row.tenant}/${row.id}`, row]));
  const writes: ScheduleWrite[] = [];
  for (const schedule of schedules) {
    const key = `${schedule.tenant}/${schedule.id}`;
    const row = stored.get(key);
    stored.delete(key);
    if (row && !row.removed && isDeepStrictEqual(row.definition, plain(schedule))) continue;
    writes.push(writeOf(schedule, row, nowMs));
  }
  const gone = [...stored.values()].filter((row) => !row.removed);
  for (let from = 0; from < writes.length; from += batch) {
    await db.transaction((tx) => writeSchedules(tx, writes.slice(from, from + batch), now), { idempotent: true });
  }
  await removeSchedules(db, gone);
  return { total: schedules.length, changed: writes.length, removed: gone.length };
}

function writeOf(schedule: ScheduleDefinition, row: StoredSchedule | undefined, nowMs: number): ScheduleWrite {
  const isKept = row !== undefined && !row.removed && row.enabled && hasSameTimes(row.definition, schedule);
  const isNew = row === undefined;
  const cursorMs = isKept ? row.cursorAt.getTime() : nowMs;
  const cursorAt = isKept ? null : new Date(nowMs);
  if (!schedule.enabled) return { definition: schedule, cursorAt, nextAt: null, error: null, isNew };
  try {
    const clock = createScheduleClock(schedule);
    const next = nextUnpaused(clock.all, [], cursorMs);
    const nextAt = next === null ? null : new Date(fireInstant(schedule, clock, next));
    return { definition: schedule, cursorAt, nextAt, error: null, isNew };
  } catch (error) {
    return { definition: schedule, cursorAt, nextAt: null, error: errorMessage(error), isNew };
  }
}

function hasSameTimes(one: ScheduleDefinition, other: ScheduleDefinition): boolean {
  return one.cron === other.cron && one.timezone === other.timezone && isDeepStrictEqual(one.dst, other.dst);
}

/** As it comes back from the database. */
function plain(schedule: ScheduleDefinition): unknown {
  return JSON.parse(JSON.stringify(schedule));
}
