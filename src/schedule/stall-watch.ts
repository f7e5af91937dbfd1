// Notices schedules whose fires have stopped: times that should be decided are not, whatever the next run says.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { type Database, statement } from '../db/database.ts';
import { decideDue } from '../domain/due-occurrences.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import { createScheduleClock, type PausedRange } from '../domain/schedule-clock.ts';
import type { EventBus } from '../observe/events.ts';
import { pausesOfSchedule } from '../queue/pauses.ts';

export interface StallWatchOptions {
  db: Database;
  events: EventBus;
  everyMs: number;
}

/** Beyond a schedule's own grace: a scheduler that was away, or holds after a jump of the clock, has caught up by then. */
const marginMs = 120_000;
/** Schedules looked at each time; with more, a round takes as many looks. */
const batch = 1_000;
/** Schedules computed before other work of the process gets its turn. */
const slice = 50;

// In order of their keys, so that every schedule has its turn; those that are long due, and those seen before, every time.
const look = statement(
  'watch_schedules',
  `select s.tenant, s.id, s.definition, s.cursor_at, s.next_at, s.version, s.paused_at, s.paused_until,
    ${pausesOfSchedule},
    (extract(epoch from coalesce($1::timestamptz, now())) * 1000)::float8 as now_ms
  from (
    (select tenant, id from cronwright.schedules where (tenant, id) > ($2, $3) order by tenant, id limit $4)
    union
    (select tenant, id from cronwright.schedules
    where next_at < coalesce($1::timestamptz, now()) - $5::int4 * interval '1 millisecond' order by next_at nulls last limit $4)
    union
    (select u.tenant, u.id from unnest($6::text[], $7::text[]) as u(tenant, id))
  ) k
  join cronwright.schedules s on s.tenant = k.tenant and s.id = k.id
  where s.enabled and s.removed_at is null and s.error is null
  order by s.tenant, s.id`,
  { idempotent: true },
);

// Where the next round begins: it is asked apart, because what a look leaves out must not end the round.
const lastKey = statement(
  'end_of_schedule_batch',
  `select tenant, id from (
    select tenant, id from cronwright.schedules where (tenant, id) > ($1, $2) order by tenant, id limit $3
  ) b order by tenant desc, id desc limit 1`,
);

interface WatchedRow {
  tenant: string;
  id: string;
  definition: ScheduleDefinition;
  cursor_at: Date;
  next_at: Date | null;
  version: number;
  paused_at: Date | null;
  paused_until: Date | null;
  scope_pauses: PausedRange[] | null;
  now_ms: number;
}

interface Key {
  tenant: string;
  id: string;
}

const beginning: Key = { tenant: '', id: '' };

export function createStallWatch(options: StallWatchOptions): Service {
  const { db, events } = options;
  /** Schedules that stood still at the last look; told of at the second one that finds no progress. */
  let suspects = new Map<string, Key & { version: number; isTold: boolean }>();
  let after = beginning;

  async function watch(now: Date | null): Promise<void> {
    const known = [...suspects.values()];
    const keys = [known.map((one) => one.tenant), known.map((one) => one.id)];
    const { rows } = await db.query<WatchedRow>(look, [now, after.tenant, after.id, batch, marginMs, ...keys]);
    after = (await db.query<Key>(lastKey, [after.tenant, after.id, batch])).rows[0] ?? beginning;
    const still: typeof suspects = new Map();
    for (const [n, row] of rows.entries()) {
      if (n % slice === slice - 1) await nextTurn();
      const dueAt = stalledSince(row);
      if (dueAt === undefined) continue;
      const { tenant, id, version } = row;
      const before = suspects.get(`${tenant}/${id}`);
      const isSame = before?.version === version;
      still.set(`${tenant}/${id}`, { tenant, id, version, isTold: isSame });
      if (!isSame || before.isTold) continue;
      const nextAt = row.next_at?.getTime() ?? null;
      events.emit('schedule.stalled', { schedule: id, tenant, dueAt, nextAt, forMs: Math.round(row.now_ms - dueAt) });
    }
    suspects = still;
    const stalled = [...suspects.values()].filter((one) => one.isTold).length;
    events.emit('schedules.watched', { stalled });
  }

  return createLoopService({
    name: 'stall-watch',
    async loop(signal) {
      while (!signal.aborted) {
        await watch(null);
        await sleepUnlessAborted(options.everyMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'stall-watch', error: String(error) }),
    restartDelayMs: options.everyMs,
  });
}

/** When the first time after the cursor was to be decided, where that is too long ago; asked as the scheduler asks. */
function stalledSince(row: WatchedRow): number | undefined {
  const { definition: schedule, now_ms: nowMs } = row;
  const cursorMs = row.cursor_at.getTime();
  // What was not decided before a pause without an end is decided when somebody ends it.
  if (row.paused_at && !row.paused_until) return undefined;
  if (row.scope_pauses?.some((pause) => pause.untilMs === null)) return undefined;
  const own = row.paused_at ? [{ fromMs: row.paused_at.getTime(), untilMs: row.paused_until?.getTime() ?? null }] : [];
  const pauses = [...own, ...(row.scope_pauses ?? [])];
  const clock = createScheduleClock(schedule);
  const { nextDueMs } = decideDue({ schedule, clock, cursorMs, nowMs: cursorMs, pauses, liveRuns: 0 });
  if (nextDueMs === null) return undefined;
  // While paused with an end, what was paused is recorded when it ends.
  const dueMs = Math.max(nextDueMs, row.paused_until?.getTime() ?? 0);
  return nowMs - dueMs > marginMs + schedule.graceMs ? dueMs : undefined;
}
