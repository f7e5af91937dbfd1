// Reads a schedule and keeps it from changing until the transaction ends.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';

export interface LockedSchedule {
  id: string;
  tenant: string;
  pipeline: string;
  definition: ScheduleDefinition;
  enabled: boolean;
  version: number;
  cursorAt: Date;
  pausedAt: Date | null;
  pausedUntil: Date | null;
  /** The database's time. */
  now: Date;
}

const lock = statement(
  'lock_schedule',
  `select pipeline, definition, enabled, version, cursor_at, paused_at, paused_until, now() as read_at
  from cronwright.schedules where tenant = $1 and id = $2 and removed_at is null for update`,
);

interface Row {
  pipeline: string;
  definition: ScheduleDefinition;
  enabled: boolean;
  version: number;
  cursor_at: Date;
  paused_at: Date | null;
  paused_until: Date | null;
  read_at: Date;
}

/** Throws `not_found`. */
export async function lockSchedule(tx: Queryable, tenant: string, id: string): Promise<LockedSchedule> {
  const row = (await tx.query<Row>(lock, [tenant, id])).rows[0];
  if (!row) throw new CronwrightError('not_found', `there is no schedule "${id}" of tenant "${tenant}"`);
  return {
    id,
    tenant,
    pipeline: row.pipeline,
    definition: row.definition,
    enabled: row.enabled,
    version: row.version,
    cursorAt: row.cursor_at,
    pausedAt: row.paused_at,
    pausedUntil: row.paused_until,
    now: row.read_at,
  };
}
