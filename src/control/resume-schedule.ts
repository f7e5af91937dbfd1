// Resumes a paused schedule: what its pause passed over is recorded as skipped and is owed by nobody.
import { uuidv7 } from 'uuidv7';
import { type Queryable, statement } from '../db/database.ts';
import { CronError } from '../domain/cron/cron-error.ts';
import { ZoneError } from '../domain/cron/zone-transitions.ts';
import { type DueAnswer, decideDue, type RangeDecision } from '../domain/due-occurrences.ts';
import { CronwrightError } from '../domain/errors.ts';
import { createScheduleClock } from '../domain/schedule-clock.ts';
import { commitDue } from '../queue/commit-due.ts';
import type { ControlContext } from './control-context.ts';
import { type LockedSchedule, lockSchedule } from './lock-schedule.ts';

/** Throws `not_found`, and `conflict` where the schedule is not paused. */
export async function resumeSchedule(
  context: ControlContext,
  options: { tenant: string; id: string; actor: string },
): Promise<{ skipped: number }> {
  const skipped = await context.db.transaction(async (tx) => {
    const schedule = await lockSchedule(tx, options.tenant, options.id);
    if (schedule.pausedAt === null) throw notPaused(schedule);
    return resume(tx, schedule, schedule.pausedAt, options.actor);
  });
  context.wake.scheduler();
  if (skipped > 0) {
    const { tenant, id } = options;
    const what = { outcome: 'skipped_paused', count: skipped, reason: 'the schedule was paused' };
    context.events.emit('schedule.skipped', { schedule: id, tenant, ...what });
  }
  return { skipped };
}

async function resume(tx: Queryable, schedule: LockedSchedule, pausedAt: Date, actor: string): Promise<number> {
  const answer = decidePause(schedule, pausedAt);
  const ranges = answer?.decisions.filter(isPausedRange) ?? [];
  if (answer && ranges.length === answer.decisions.length) await commit(tx, schedule, answer, ranges, actor);
  // Times before the pause, or after it ran out, are owed as ever: what becomes of them is for the scheduler to decide.
  else await tx.query(endPause, [schedule.tenant, schedule.id, schedule.version]);
  return ranges.reduce((sum, range) => sum + range.count, 0);
}

const endPause = statement(
  'end_schedule_pause',
  `update cronwright.schedules
  set paused_until = least(coalesce(paused_until, now()), now()), next_at = case when enabled then now() end, version = version + 1, updated_at = now()
  where tenant = $1 and id = $2 and version = $3`,
);

/** What the pause passed over; undefined where the schedule cannot be read. */
function decidePause({ definition, cursorAt, pausedUntil, now }: LockedSchedule, from: Date): DueAnswer | undefined {
  // The end of a pause is no part of it, the instant of resuming is.
  const untilMs = Math.min(pausedUntil?.getTime() ?? Number.POSITIVE_INFINITY, now.getTime() + 1);
  try {
    return decideDue({
      // A nominal time within the pause is not owed because its jitter ends after it.
      schedule: { ...definition, jitterMs: 0 },
      clock: createScheduleClock(definition),
      cursorMs: cursorAt.getTime(),
      nowMs: now.getTime(),
      pauses: [{ fromMs: from.getTime(), untilMs }],
      liveRuns: 0,
    });
  } catch (error) {
    if (error instanceof CronError || error instanceof ZoneError) return undefined;
    throw error;
  }
}

function isPausedRange(decision: DueAnswer['decisions'][number]): decision is RangeDecision {
  return decision.outcome === 'skipped_paused';
}

async function commit(
  tx: Queryable,
  schedule: LockedSchedule,
  answer: DueAnswer,
  ranges: readonly RangeDecision[],
  actor: string,
): Promise<void> {
  const { tenant, id, version, enabled } = schedule;
  await commitDue(tx, {
    moves: [
      {
        tenant,
        schedule: id,
        version,
        cursorAt: new Date(answer.cursorMs),
        nextAt: enabled && answer.nextDueMs !== null ? new Date(answer.nextDueMs) : null,
        clearPause: true,
        lastRunId: null,
        lastNominalAt: null,
        error: null,
      },
    ],
    runs: [],
    ranges: ranges.map((range) => ({
      ...range,
      id: uuidv7(),
      tenant,
      schedule: id,
      reason: `${range.reason}; resumed by ${actor}`,
    })),
  });
}

function notPaused(schedule: LockedSchedule): CronwrightError {
  return new CronwrightError('conflict', `schedule "${schedule.id}" is not paused`, {
    details: { state: schedule.enabled ? 'active' : 'disabled', requested: 'active' },
  });
}
