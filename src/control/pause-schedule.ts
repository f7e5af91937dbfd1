// Pauses a schedule, or says anew why and until when it is paused.
import { statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ControlContext } from './control-context.ts';
import { lockSchedule } from './lock-schedule.ts';

export interface PauseRequest {
  tenant: string;
  id: string;
  actor: string;
  reason?: string | undefined;
  /** When it goes on by itself; absent: when somebody resumes it. */
  until?: Date | undefined;
}

// The raised version makes a scheduler that read the schedule before decide again.
const pause = statement(
  'pause_schedule',
  `update cronwright.schedules
  set paused_at = coalesce(paused_at, now()), paused_until = $4, paused_by = $5, paused_reason = $6,
    version = version + 1, updated_at = now()
  where tenant = $1 and id = $2 and version = $3`,
);

/** Throws `not_found`, and `invalid_input` where `until` has passed. */
export async function pauseSchedule(context: ControlContext, request: PauseRequest): Promise<void> {
  const { tenant, id, actor, reason, until } = request;
  await context.db.transaction(
    async (tx) => {
      const schedule = await lockSchedule(tx, tenant, id);
      if (until && until <= schedule.now) {
        throw new CronwrightError('invalid_input', `"until" is ${until.toISOString()}, which has passed`, {
          problems: [{ path: 'until', message: 'has passed', got: until.toISOString(), expected: 'a later instant' }],
        });
      }
      await tx.query(pause, [tenant, id, schedule.version, until ?? null, actor, reason ?? null]);
    },
    { idempotent: true },
  );
  context.wake.scheduler();
}
