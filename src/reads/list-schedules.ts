// Which schedules there are, when they fire next and whether something is wrong with them.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { runStates } from '../domain/run.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import { createScheduleClock, nextUnpaused } from '../domain/schedule-clock.ts';
import { liveState } from '../queue/live-state.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { localTime } from './next-fires.ts';
import { scheduleSlaColumns, scheduleSlaView, toScheduleSla } from './sla-view.ts';
import { anyJson, instant, maybeInstant, type Page } from './view-fields.ts';

export const scheduleView = z
  .object({
    id: z.string(),
    tenant: z.string(),
    pipeline: z.string(),
    description: z.string().nullable(),
    state: z.enum(['active', 'paused', 'disabled', 'broken']),
    cron: z.string(),
    timezone: z.string(),
    overlap: z.string(),
    next_at: maybeInstant.describe('its next nominal time; null: never, or not before somebody resumes or enables it'),
    next_local: z.string().nullable().describe("next_at on the schedule's wall clock"),
    cursor_at: instant.describe('every nominal time up to here is decided'),
    paused: z
      .object({ at: instant, until: maybeInstant, by: z.string().nullable(), reason: z.string().nullable() })
      .nullable(),
    error: z.string().nullable(),
    last_run: z.object({ id: z.uuid(), state: z.enum(runStates), nominal_at: maybeInstant }).nullable(),
    live_runs: z.int(),
    sla: scheduleSlaView.nullable(),
    definition: anyJson,
  })
  .meta({ id: 'Schedule' });

export type ScheduleView = z.infer<typeof scheduleView>;

const columns = `s.id, s.tenant, s.pipeline, s.definition, s.enabled, s.cursor_at, s.next_at, s.paused_at, s.paused_until,
    s.paused_by, s.paused_reason, p.pipeline as scope, p.paused_at as scope_paused_at, p.until_at as scope_until,
    p.paused_by as scope_by, p.reason as scope_reason, s.error, s.last_run_id, s.last_nominal_at,
    coalesce(r.state, ${liveState('q')}) as last_state, now() as read_at,
    (select count(*) from cronwright.queue l where l.tenant = s.tenant and l.schedule = s.id) as live_runs,
    ${scheduleSlaColumns}`;

const joins = `left join cronwright.runs r on r.id = s.last_run_id
  left join cronwright.queue q on q.run_id = s.last_run_id
  left join lateral (
    select pipeline, paused_at, until_at, paused_by, reason from cronwright.pauses
    where tenant = s.tenant and pipeline in ('', s.pipeline) and ended_at is null and (until_at is null or until_at > now())
    order by pauses.pipeline desc limit 1
  ) p on true`;

const list = statement(
  'list_schedules',
  `select ${columns}
  from (
    select * from cronwright.schedules s
    where s.removed_at is null and ($1::text is null or s.tenant = $1) and ($2::text is null or s.pipeline = $2)
      and (s.tenant, s.id) > ($3, $4)
    order by s.tenant, s.id limit $5
  ) s
  ${joins}
  order by s.tenant, s.id`,
);

const one = statement(
  'get_schedule',
  `select ${columns} from cronwright.schedules s ${joins}
  where s.removed_at is null and s.id = $1 and ($2::text is null or s.tenant = $2)
  order by s.tenant limit 1`,
);

// What people on call look at first: what is broken, what is paused, then what fires next.
const soonest = statement(
  'list_schedules_by_urgency',
  `select ${columns}
  from (
    select * from cronwright.schedules s
    where s.removed_at is null and ($1::text is null or s.tenant = $1)
    order by s.error is null, s.paused_at is null, not s.enabled, s.next_at nulls last, s.id limit $2
  ) s
  ${joins}
  order by s.error is null, s.paused_at is null, not s.enabled, s.next_at nulls last, s.id`,
);

interface ScheduleRow {
  id: string;
  tenant: string;
  pipeline: string;
  definition: ScheduleDefinition;
  enabled: boolean;
  cursor_at: Date;
  next_at: Date | null;
  paused_at: Date | null;
  paused_until: Date | null;
  paused_by: string | null;
  paused_reason: string | null;
  /** What is paused as a whole: its pipeline, or (empty) its tenant; null: neither. */
  scope: string | null;
  scope_paused_at: Date;
  scope_until: Date | null;
  scope_by: string;
  scope_reason: string | null;
  error: string | null;
  last_run_id: string | null;
  last_nominal_at: Date | null;
  last_state: (typeof runStates)[number] | null;
  live_runs: number;
  sla_missed: number;
  sla_missed_at: Date | null;
  read_at: Date;
}

/** By tenant and id. */
export async function listSchedules(
  db: Queryable,
  filter: { tenant: string | null; pipeline?: string | undefined; cursor?: string | undefined; limit: number },
): Promise<Page<ScheduleView>> {
  const [tenant, id] = filter.cursor === undefined ? ['', ''] : unpackCursor(filter.cursor, ['string', 'string']);
  const params = [filter.tenant, filter.pipeline ?? null, tenant, id, filter.limit + 1];
  const { rows } = await db.query<ScheduleRow>(list, params);
  const items = rows.slice(0, filter.limit).map(toView);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > items.length && last ? packCursor([last.tenant, last.id]) : null };
}

/** The broken, the paused, then by next fire. */
export async function schedulesByUrgency(db: Queryable, tenant: string | null, limit: number): Promise<ScheduleView[]> {
  return (await db.query<ScheduleRow>(soonest, [tenant, limit])).rows.map(toView);
}

/** Throws `not_found`. */
export async function getSchedule(db: Queryable, tenant: string | null, id: string): Promise<ScheduleView> {
  const row = (await db.query<ScheduleRow>(one, [id, tenant])).rows[0];
  if (!row) throw new CronwrightError('not_found', `there is no schedule "${id}"`);
  return toView(row);
}

function toView(row: ScheduleRow): ScheduleView {
  const { definition } = row;
  const state = stateOf(row);
  const nextAt = state === 'disabled' ? null : nextFire(row);
  return {
    id: row.id,
    tenant: row.tenant,
    pipeline: row.pipeline,
    description: definition.description ?? null,
    state,
    cron: definition.cron,
    timezone: definition.timezone,
    overlap: definition.overlap,
    next_at: nextAt,
    next_local: nextAt === null ? null : localTime(nextAt, definition.timezone),
    cursor_at: row.cursor_at,
    paused: state === 'paused' ? pauseOf(row) : null,
    error: row.error,
    last_run:
      row.last_run_id === null || row.last_state === null
        ? null
        : { id: row.last_run_id, state: row.last_state, nominal_at: row.last_nominal_at },
    live_runs: row.live_runs,
    sla: toScheduleSla(definition.sla, row),
    definition,
  };
}

/** Its own, or else that of its pipeline or tenant. */
function pauseOf(row: ScheduleRow): ScheduleView['paused'] {
  if (isPausedItself(row)) {
    return { at: row.paused_at, until: row.paused_until, by: row.paused_by, reason: row.paused_reason };
  }
  const what = row.scope === '' ? 'its tenant is paused' : 'its pipeline is paused';
  const reason = row.scope_reason === null ? what : `${what}: ${row.scope_reason}`;
  return { at: row.scope_paused_at, until: row.scope_until, by: row.scope_by, reason };
}

/** A pause that has run out is cleared with the next fire. */
function isPausedItself(row: ScheduleRow): row is ScheduleRow & { paused_at: Date } {
  return row.paused_at !== null && (row.paused_until === null || row.paused_until > row.read_at);
}

function stateOf(row: ScheduleRow): ScheduleView['state'] {
  if (!row.enabled) return 'disabled';
  if (isPausedItself(row) || row.scope !== null) return 'paused';
  return row.error === null ? 'active' : 'broken';
}

/** The row's next_at is when the scheduler looks again, which may be for other reasons: the pattern tells the next fire. */
function nextFire({ definition, cursor_at, ...row }: ScheduleRow): Date | null {
  const range = (from: Date, until: Date | null) => ({ fromMs: from.getTime(), untilMs: until?.getTime() ?? null });
  const pauses = [
    ...(row.paused_at ? [range(row.paused_at, row.paused_until)] : []),
    ...(row.scope === null ? [] : [range(row.scope_paused_at, row.scope_until)]),
  ];
  try {
    const next = nextUnpaused(createScheduleClock(definition).fires, pauses, cursor_at.getTime());
    return next === null ? null : new Date(next);
  } catch {
    // What is wrong with it is in its error.
    return null;
  }
}
