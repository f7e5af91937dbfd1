// Which sensors there are, when they look next, what they found last and whether something is wrong with them.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { SensorDefinition } from '../domain/sensor.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { anyJson, instant, maybeInstant, type Page } from './view-fields.ts';

export const sensorView = z
  .object({
    id: z.string(),
    tenant: z.string(),
    pipeline: z.string(),
    description: z.string().nullable(),
    state: z.enum(['active', 'paused', 'disabled', 'failing']),
    uses: z.string(),
    every_ms: z.int(),
    due_at: maybeInstant.describe('its next look; null: never, or not before somebody resumes or enables it'),
    looked_at: maybeInstant.describe('when its last look ended, well or not'),
    found_at: maybeInstant.describe('when it last found something new'),
    found: z.int().describe('things that started runs, since it was made'),
    failures: z.int().describe('looks in a row that failed'),
    error: z.string().nullable().describe('why the last look failed'),
    paused: z
      .object({ at: instant, until: maybeInstant, by: z.string().nullable(), reason: z.string().nullable() })
      .nullable(),
    definition: anyJson,
  })
  .meta({ id: 'Sensor' });

export type SensorView = z.infer<typeof sensorView>;

export const sensorDetail = sensorView
  .extend({
    cursor: anyJson.describe('how far it has seen, in words of its type; null: it has not looked yet'),
    events: z
      .array(z.object({ key: z.string(), run_id: z.uuid(), found_at: instant, data: anyJson }))
      .describe('what it found, newest first, at most 20; gone with their runs'),
  })
  .meta({ id: 'SensorDetail' });

export type SensorDetail = z.infer<typeof sensorDetail>;

const columns = `s.id, s.tenant, s.pipeline, s.uses, s.definition, s.enabled, s.due_at, s.looked_at, s.found_at, s.found, s.failures,
    s.error, s.paused_at, s.paused_until, s.paused_by, s.paused_reason, s.cursor, now() as read_at`;

const list = statement(
  'list_sensors',
  `select ${columns} from cronwright.sensors s
  where ($1::text is null or s.tenant = $1) and ($2::text is null or s.pipeline = $2) and (s.tenant, s.id) > ($3, $4)
  order by s.tenant, s.id limit $5`,
);

// What people on call look at first.
const urgent = statement(
  'list_sensors_by_urgency',
  `select ${columns} from cronwright.sensors s
  where $1::text is null or s.tenant = $1
  order by s.error is null, s.paused_at is null, not s.enabled, s.due_at nulls last, s.id limit $2`,
);

const one = statement(
  'get_sensor',
  `select ${columns} from cronwright.sensors s where s.id = $1 and ($2::text is null or s.tenant = $2) order by s.tenant limit 1`,
);

const events = statement(
  'list_sensor_events',
  `select key, run_id, found_at, data from cronwright.sensor_events
  where tenant = $1 and sensor = $2 order by found_at desc nulls last, run_id desc limit 20`,
);

interface SensorRow {
  id: string;
  tenant: string;
  pipeline: string;
  uses: string;
  definition: SensorDefinition;
  enabled: boolean;
  due_at: Date | null;
  looked_at: Date | null;
  found_at: Date | null;
  found: number;
  failures: number;
  error: string | null;
  paused_at: Date | null;
  paused_until: Date | null;
  paused_by: string | null;
  paused_reason: string | null;
  cursor: string | null;
  read_at: Date;
}

/** By tenant and id. */
export async function listSensors(
  db: Queryable,
  filter: { tenant: string | null; pipeline?: string | undefined; cursor?: string | undefined; limit: number },
): Promise<Page<SensorView>> {
  const [tenant, id] = filter.cursor === undefined ? ['', ''] : unpackCursor(filter.cursor, ['string', 'string']);
  const params = [filter.tenant, filter.pipeline ?? null, tenant, id, filter.limit + 1];
  const { rows } = await db.query<SensorRow>(list, params);
  const items = rows.slice(0, filter.limit).map(toView);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > items.length && last ? packCursor([last.tenant, last.id]) : null };
}

/** The failing, the paused, then by next look. */
export async function sensorsByUrgency(db: Queryable, tenant: string | null, limit: number): Promise<SensorView[]> {
  return (await db.query<SensorRow>(urgent, [tenant, limit])).rows.map(toView);
}

/** Throws `not_found`. */
export async function getSensor(db: Queryable, tenant: string | null, id: string): Promise<SensorDetail> {
  const row = (await db.query<SensorRow>(one, [id, tenant])).rows[0];
  if (!row) throw new CronwrightError('not_found', `there is no sensor "${id}"`);
  const found = await db.query<SensorDetail['events'][number]>(events, [row.tenant, id]);
  const cursor: unknown = row.cursor === null ? null : JSON.parse(row.cursor);
  return { ...toView(row), cursor, events: found.rows };
}

function toView(row: SensorRow): SensorView {
  const { definition } = row;
  const isPaused = row.paused_at !== null && (row.paused_until === null || row.paused_until > row.read_at);
  return {
    id: row.id,
    tenant: row.tenant,
    pipeline: row.pipeline,
    description: definition.description ?? null,
    state: !row.enabled ? 'disabled' : isPaused ? 'paused' : row.error === null ? 'active' : 'failing',
    uses: row.uses,
    every_ms: definition.everyMs,
    due_at: row.due_at,
    looked_at: row.looked_at,
    found_at: row.found_at,
    found: row.found,
    failures: row.failures,
    error: row.error,
    paused:
      row.paused_at !== null && isPaused
        ? { at: row.paused_at, until: row.paused_until, by: row.paused_by, reason: row.paused_reason }
        : null,
    definition,
  };
}
