// Brings the stored schedules to what the configuration says, many in one statement.
import { type Queryable, statement } from '../db/database.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';

export interface StoredSchedule {
  tenant: string;
  id: string;
  definition: ScheduleDefinition;
  enabled: boolean;
  cursorAt: Date;
  nextAt: Date | null;
  removed: boolean;
  error: string | null;
  pausedAt: Date | null;
  pausedUntil: Date | null;
}

export interface ScheduleWrite {
  definition: ScheduleDefinition;
  /** Null keeps the stored cursor: what is owed stays owed. */
  cursorAt: Date | null;
  nextAt: Date | null;
  error: string | null;
  /** Was not stored when the writer looked. Where another node was faster, that node's cursor stays. */
  isNew: boolean;
}

const load = statement(
  'load_schedules',
  `select tenant, id, definition, enabled, cursor_at, next_at, removed_at is not null as removed, error, paused_at, paused_until
  from cronwright.schedules`,
);

const upsert = statement(
  'upsert_schedules',
  `insert into cronwright.schedules (tenant, id, pipeline, definition, enabled, cursor_at, next_at, version, error,
    created_at, updated_at)
  select u.tenant, u.id, u.pipeline, u.definition::jsonb, u.enabled, coalesce(u.cursor_at, $9::timestamptz, now()), u.next_at,
    1, u.error, coalesce($9::timestamptz, now()), coalesce($9::timestamptz, now())
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::timestamptz[], $7::timestamptz[], $8::text[])
    as u(tenant, id, pipeline, definition, enabled, cursor_at, next_at, error)
  on conflict (tenant, id) do update
  set pipeline = excluded.pipeline, definition = excluded.definition, enabled = excluded.enabled,
    next_at = excluded.next_at, version = schedules.version + 1, error = excluded.error, removed_at = null,
    updated_at = excluded.updated_at`,
  { idempotent: true },
);

const moveCursors = statement(
  'reset_schedule_cursors',
  `update cronwright.schedules s set cursor_at = u.cursor_at
  from unnest($1::text[], $2::text[], $3::timestamptz[]) as u(tenant, id, cursor_at)
  where s.tenant = u.tenant and s.id = u.id`,
  { idempotent: true },
);

const remove = statement(
  'remove_schedules',
  `update cronwright.schedules s
  set removed_at = coalesce($3::timestamptz, now()), next_at = null, version = s.version + 1,
    updated_at = coalesce($3::timestamptz, now())
  from unnest($1::text[], $2::text[]) as u(tenant, id)
  where s.tenant = u.tenant and s.id = u.id and s.removed_at is null`,
  { idempotent: true },
);

export async function loadSchedules(db: Queryable): Promise<StoredSchedule[]> {
  const { rows } = await db.query<{
    tenant: string;
    id: string;
    definition: ScheduleDefinition;
    enabled: boolean;
    cursor_at: Date;
    next_at: Date | null;
    removed: boolean;
    error: string | null;
    paused_at: Date | null;
    paused_until: Date | null;
  }>(load);
  return rows.map((row) => ({
    tenant: row.tenant,
    id: row.id,
    definition: row.definition,
    enabled: row.enabled,
    cursorAt: row.cursor_at,
    nextAt: row.next_at,
    removed: row.removed,
    error: row.error,
    pausedAt: row.paused_at,
    pausedUntil: row.paused_until,
  }));
}

export async function writeSchedules(
  db: Queryable,
  writes: readonly ScheduleWrite[],
  now: Date | null = null,
): Promise<void> {
  if (writes.length === 0) return;
  await db.query(upsert, [
    writes.map((write) => write.definition.tenant),
    writes.map((write) => write.definition.id),
    writes.map((write) => write.definition.pipeline),
    writes.map((write) => JSON.stringify(write.definition)),
    writes.map((write) => write.definition.enabled),
    writes.map((write) => write.cursorAt),
    writes.map((write) => write.nextAt),
    writes.map((write) => write.error),
    now,
  ]);
  const moved = writes.filter((write) => write.cursorAt !== null && !write.isNew);
  if (moved.length === 0) return;
  await db.query(moveCursors, [
    moved.map((write) => write.definition.tenant),
    moved.map((write) => write.definition.id),
    moved.map((write) => write.cursorAt),
  ]);
}

export async function removeSchedules(
  db: Queryable,
  schedules: readonly { tenant: string; id: string }[],
  now: Date | null = null,
): Promise<void> {
  if (schedules.length === 0) return;
  await db.query(remove, [schedules.map((one) => one.tenant), schedules.map((one) => one.id), now]);
}
