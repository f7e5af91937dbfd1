// Pauses a sensor, or says anew why and until when it is paused. What happens meanwhile it finds once it looks again.
import { statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ControlContext } from './control-context.ts';
import type { PauseRequest } from './pause-schedule.ts';
import { sensorNotFound } from './sensor-not-found.ts';

// The raised version takes a look that is under way its right to commit.
const pause = statement(
  'pause_sensor',
  `update cronwright.sensors
  set paused_at = coalesce(paused_at, now()), paused_until = $3, paused_by = $4, paused_reason = $5,
    due_at = case when enabled then $3::timestamptz end, version = version + 1, updated_at = now()
  where tenant = $1 and id = $2
  returning pipeline`,
  { idempotent: true },
);

/** Throws `not_found`, and `invalid_input` where `until` has passed. */
export async function pauseSensor(context: ControlContext, request: PauseRequest): Promise<void> {
  const { tenant, id, actor, reason, until } = request;
  if (until && until.getTime() <= context.clock.now()) {
    throw new CronwrightError('invalid_input', `"until" is ${until.toISOString()}, which has passed`, {
      problems: [{ path: 'until', message: 'has passed', got: until.toISOString(), expected: 'a later instant' }],
    });
  }
  const params = [tenant, id, until ?? null, actor, reason ?? null];
  const row = (await context.db.query<{ pipeline: string }>(pause, params)).rows[0];
  if (!row) throw sensorNotFound(tenant, id);
  context.wake.scheduler();
  const { pipeline } = row;
  context.events.emit('sensor.paused', {
    sensor: id,
    tenant,
    pipeline,
    actor,
    ...(reason === undefined ? {} : { reason }),
    ...(until === undefined ? {} : { until: until.getTime() }),
  });
}
