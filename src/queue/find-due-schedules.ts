// Finds the schedules whose time has come, and how long until the next one.
import { type Queryable, statement } from '../db/database.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import type { PausedRange } from '../domain/schedule-clock.ts';
import { pausesOfSchedule } from './pauses.ts';

export interface DueScheduleRow {
  tenant: string;
  id: string;
  pipeline: string;
  definition: ScheduleDefinition;
  cursorAt: Date;
  version: number;
  pausedAt: Date | null;
  pausedUntil: Date | null;
  /** Of its pipeline and its tenant, as far as they are not decided. */
  scopePauses: readonly PausedRange[];
  /** Runs of the schedule that have not ended. */
  liveRuns: number;
  /** Number of the last apply of a configuration: what it put in force is what decides. Null: none was ever recorded. */
  configSeq: number | null;
  /** The database's clock when it was found due, in milliseconds since the epoch. */
  nowMs: number;
}

const due = statement(
  'find_due_schedules',
  `select s.tenant, s.id, s.pipeline, s.definition, s.cursor_at, s.version, s.paused_at, s.paused_until,
    ${pausesOfSchedule},
    (select count(*) from cronwright.queue q where q.tenant = s.tenant and q.schedule = s.id) as live_runs,
    (select max(a.seq) from cronwright.config_applies a) as config_seq,
    (extract(epoch from coalesce($1::timestamptz, now())) * 1000)::float8 as now_ms
  from cronwright.schedules s
  where s.next_at <= coalesce($1::timestamptz, now())
  order by s.next_at nulls last
  limit $2`,
);

const wait = statement(
  'next_due_schedule',
  `select (extract(epoch from coalesce($1::timestamptz, now())) * 1000)::float8 as now_ms,
    (select (extract(epoch from min(next_at)) * 1000)::float8 from cronwright.schedules where next_at is not null) as next_ms`,
);

export async function findDueSchedules(
  db: Queryable,
  limit: number,
  now: Date | null = null,
): Promise<DueScheduleRow[]> {
  const { rows } = await db.query<{
    tenant: string;
    id: string;
    pipeline: string;
    definition: ScheduleDefinition;
    cursor_at: Date;
    version: number;
    paused_at: Date | null;
    paused_until: Date | null;
    scope_pauses: PausedRange[] | null;
    live_runs: number;
    config_seq: number | null;
    now_ms: number;
  }>(due, [now, limit]);
  return rows.map((row) => ({
    tenant: row.tenant,
    id: row.id,
    pipeline: row.pipeline,
    definition: row.definition,
    cursorAt: row.cursor_at,
    version: row.version,
    pausedAt: row.paused_at,
    pausedUntil: row.paused_until,
    scopePauses: row.scope_pauses ?? [],
    liveRuns: row.live_runs,
    configSeq: row.config_seq,
    nowMs: row.now_ms,
  }));
}

/** The database's clock, and when the next schedule is due by it; undefined where none ever is. Milliseconds since the epoch. */
export async function nextDueSchedule(
  db: Queryable,
  now: Date | null = null,
): Promise<{ nowMs: number; nextMs: number | undefined }> {
  const { rows } = await db.query<{ now_ms: number; next_ms: number | null }>(wait, [now]);
  return { nowMs: rows[0]?.now_ms ?? 0, nextMs: rows[0]?.next_ms ?? undefined };
}
