// Has a sensor look now instead of at its next time.
import { statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ControlContext } from './control-context.ts';
import { sensorState } from './resume-sensor.ts';

// The raised version makes a look that is under way begin again: it may have looked before what the caller has in mind.
const makeDue = statement(
  'make_sensor_due',
  `update cronwright.sensors set due_at = least(due_at, now()), version = version + 1, updated_at = now()
  where tenant = $1 and id = $2 and enabled and (paused_at is null or paused_until <= now())
  returning id`,
);

/** Throws `not_found`, and `conflict` where the sensor is paused or disabled. */
export async function checkSensor(
  context: ControlContext,
  { tenant, id }: { tenant: string; id: string },
): Promise<void> {
  const { rows } = await context.db.query(makeDue, [tenant, id]);
  if (rows.length === 0) {
    const { enabled } = await sensorState(context.db, tenant, id);
    const state = enabled ? 'paused' : 'disabled';
    throw new CronwrightError('conflict', `sensor "${id}" is ${state}`, { details: { state, requested: 'active' } });
  }
  context.wake.scheduler();
}
