// Brings the stored sensors to what the configuration says; what they have seen stays unless they look at something else now.
import { type Queryable, statement } from '../db/database.ts';
import type { SensorDefinition } from '../domain/sensor.ts';

export interface StoredSensor {
  tenant: string;
  id: string;
  definition: SensorDefinition;
}

const load = statement('load_sensors', 'select tenant, id, definition from cronwright.sensors');

// The raised version takes a look that is under way its right to commit: it looked as the sensor was.
const upsert = statement(
  'upsert_sensors',
  `insert into cronwright.sensors (tenant, id, pipeline, uses, definition, enabled, generation, due_at, version, failures, found,
    created_at, updated_at)
  select u.tenant, u.id, u.pipeline, u.uses, u.definition::jsonb, u.enabled, u.generation,
    case when u.enabled then coalesce($8::timestamptz, now()) end, 1, 0, 0, coalesce($8::timestamptz, now()),
    coalesce($8::timestamptz, now())
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::uuid[])
    as u(tenant, id, pipeline, uses, definition, enabled, generation)
  on conflict (tenant, id) do update
  set pipeline = excluded.pipeline, uses = excluded.uses, definition = excluded.definition, enabled = excluded.enabled,
    cursor = case when sensors.uses = excluded.uses and sensors.definition->'with' = excluded.definition->'with'
      then sensors.cursor end,
    generation = case when sensors.uses = excluded.uses and sensors.definition->'with' = excluded.definition->'with'
      then sensors.generation else excluded.generation end,
    due_at = case when not excluded.enabled then null when sensors.paused_at is not null then sensors.paused_until
      else coalesce($8::timestamptz, now()) end,
    version = sensors.version + 1, failures = 0, error = null, updated_at = excluded.updated_at`,
  { idempotent: true },
);

const remove = statement(
  'remove_sensors',
  `delete from cronwright.sensors
  where (tenant, id) in (select u.tenant, u.id from unnest($1::text[], $2::text[]) as u(tenant, id))`,
  { idempotent: true },
);

export async function loadSensors(db: Queryable): Promise<StoredSensor[]> {
  return (await db.query<StoredSensor>(load)).rows;
}

/** `generation`: the new one of those that begin anew. */
export async function writeSensors(
  db: Queryable,
  writes: readonly { definition: SensorDefinition; generation: string }[],
  now: Date | null = null,
): Promise<void> {
  if (writes.length === 0) return;
  await db.query(upsert, [
    writes.map(({ definition }) => definition.tenant),
    writes.map(({ definition }) => definition.id),
    writes.map(({ definition }) => definition.pipeline),
    writes.map(({ definition }) => definition.uses),
    writes.map(({ definition }) => JSON.stringify(definition)),
    writes.map(({ definition }) => definition.enabled),
    writes.map(({ generation }) => generation),
    now,
  ]);
}

/** Forgets them, and what they have seen. */
export async function removeSensors(db: Queryable, gone: readonly { tenant: string; id: string }[]): Promise<void> {
  if (gone.length === 0) return;
  await db.query(remove, [gone.map((one) => one.tenant), gone.map((one) => one.id)]);
}
