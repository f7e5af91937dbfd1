// Resumes a paused schedule: what its pause passed over is recorded as skipped and is owed by nobody.
import { uuidv7 } from 'uuidv7';
import { type CompiledSchedule, compileCron } from '../domain/cron/next-occurrences.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import { commitDue, type OccurrenceRange } from '../queue/commit-due.ts';
import type { ControlContext } from './control-context.ts';
import { type LockedSchedule, lockSchedule } from './lock-schedule.ts';

/** Throws `not_found`, and `conflict` where the schedule is not paused. */
export async function resumeSchedule(
  context: ControlContext,
  options: { tenant: string; id: string; actor: string },
): Promise<{ skipped: number }> {
  const skipped = await context.db.transaction(
    async (tx) => {
      const schedule = await lockSchedule(tx, options.tenant, options.id);
      if (schedule.pausedAt === null) throw notPaused(schedule);
      const { until, next, ranges } = decidePause(schedule, options.actor);
      await commitDue(tx, {
        moves: [
          {
            tenant: schedule.tenant,
            schedule: schedule.id,
            version: schedule.version,
            cursorAt: until,
            nextAt: schedule.enabled ? next : null,
            clearPause: true,
            lastRunId: null,
            lastNominalAt: null,
            error: null,
          },
        ],
        runs: [],
        ranges,
      });
      return ranges.reduce((sum, range) => sum + range.count, 0);
    },
    { idempotent: true },
  );
  context.wake.scheduler();
  if (skipped > 0) {
    const { tenant, id } = options;
    context.events.emit('schedule.skipped', {
      schedule: id,
      tenant,
      outcome: 'skipped_paused',
      count: skipped,
      reason: 'paused',
    });
  }
  return { skipped };
}

/** A pause that ran out by itself ends there: later times are due as ever. */
function decidePause(schedule: LockedSchedule, actor: string) {
  const { definition, cursorAt, pausedUntil, now } = schedule;
  const end = pausedUntil !== null && pausedUntil < now ? pausedUntil : now;
  const until = end > cursorAt ? end : cursorAt;
  const compiled = compile(definition);
  const { calendar } = definition;
  const fires = calendar ? compiled.onDays(calendar, 'inside') : compiled;
  const kinds: [OccurrenceRange['outcome'], CompiledSchedule, string][] = [
    ['skipped_paused', fires, `paused; resumed by ${actor}`],
  ];
  if (calendar) kinds.push(['skipped_calendar', compiled.onDays(calendar, 'outside'), 'not a day of its calendar']);
  const ranges = kinds.flatMap(([outcome, times, reason]) => rangeOf(schedule, outcome, times, until, reason) ?? []);
  return { until, next: fires.next(until.getTime(), 1)[0]?.at ?? null, ranges };
}

function rangeOf(
  { tenant, id, cursorAt }: LockedSchedule,
  outcome: OccurrenceRange['outcome'],
  times: CompiledSchedule,
  until: Date,
  reason: string,
): OccurrenceRange | undefined {
  const { nominal } = times.count(cursorAt.getTime(), until.getTime());
  const first = times.next(cursorAt.getTime(), 1)[0];
  const last = times.last(cursorAt.getTime(), until.getTime(), 1)[0];
  if (nominal === 0 || !first || !last) return undefined;
  return { id: uuidv7(), tenant, schedule: id, outcome, firstAt: first.at, lastAt: last.at, count: nominal, reason };
}

function compile(definition: ScheduleDefinition): CompiledSchedule {
  const { cron, timezone, id, dst } = definition;
  return compileCron(cron, timezone, { id, ...(dst ? { dst } : {}) });
}

function notPaused(schedule: LockedSchedule): CronwrightError {
  return new CronwrightError('conflict', `schedule "${schedule.id}" is not paused`, {
    details: { state: schedule.enabled ? 'active' : 'disabled', requested: 'active' },
  });
}
