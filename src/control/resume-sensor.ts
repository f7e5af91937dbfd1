// Resumes a paused sensor: it looks at once, from where it was.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ControlContext } from './control-context.ts';
import { sensorNotFound } from './sensor-not-found.ts';

const resume = statement(
  'resume_sensor',
  `update cronwright.sensors
  set paused_at = null, paused_until = null, paused_by = null, paused_reason = null, due_at = case when enabled then now() end,
    version = version + 1, updated_at = now()
  where tenant = $1 and id = $2 and paused_at is not null
  returning pipeline`,
);

const stateOf = statement(
  'get_sensor_state',
  `select pipeline, enabled, paused_at is not null and (paused_until is null or paused_until > now()) as paused
  from cronwright.sensors where tenant = $1 and id = $2`,
);

/** Throws `not_found`, and `conflict` where the sensor is not paused. */
export async function resumeSensor(
  context: ControlContext,
  { tenant, id, actor }: { tenant: string; id: string; actor: string },
): Promise<void> {
  const row = (await context.db.query<{ pipeline: string }>(resume, [tenant, id])).rows[0];
  if (!row) {
    const state = await sensorState(context.db, tenant, id);
    throw new CronwrightError('conflict', `sensor "${id}" is not paused`, {
      details: { state: state.enabled ? 'active' : 'disabled', requested: 'active' },
    });
  }
  context.wake.scheduler();
  context.events.emit('sensor.resumed', { sensor: id, tenant, pipeline: row.pipeline, actor });
}

/** Throws `not_found`. */
export async function sensorState(
  db: Queryable,
  tenant: string,
  id: string,
): Promise<{ enabled: boolean; paused: boolean }> {
  const row = (await db.query<{ enabled: boolean; paused: boolean }>(stateOf, [tenant, id])).rows[0];
  if (!row) throw sensorNotFound(tenant, id);
  return row;
}
