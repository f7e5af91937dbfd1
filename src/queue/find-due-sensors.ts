// Finds the sensors whose next look is due, and how long until the next one.
import { type Queryable, statement } from '../db/database.ts';
import type { SensorDefinition } from '../domain/sensor.ts';

export interface DueSensor {
  tenant: string;
  id: string;
  pipeline: string;
  definition: SensorDefinition;
  generation: string;
  /** JSON text; null: nobody has looked yet. */
  cursor: string | null;
  version: number;
  /** Looks in a row that failed. */
  failures: number;
  /** Number of the last apply of a configuration; null: none was ever recorded. */
  configSeq: number | null;
}

const due = statement(
  'find_due_sensors',
  `select s.tenant, s.id, s.pipeline, s.definition, s.generation, s.cursor, s.version, s.failures,
    (select max(a.seq) from cronwright.config_applies a) as config_seq
  from cronwright.sensors s
  where s.due_at <= coalesce($1::timestamptz, now()) and s.uses = any($2::text[])
  order by s.due_at nulls last
  limit $3`,
);

const wait = statement(
  'next_due_sensor',
  `select (extract(epoch from (min(due_at) - coalesce($1::timestamptz, now()))) * 1000)::float8 as wait_ms
  from cronwright.sensors where due_at is not null and uses = any($2::text[])`,
);

/** Only those whose type this node has: the others wait for a node that has it. */
export async function findDueSensors(
  db: Queryable,
  options: { types: readonly string[]; limit: number; now?: Date | null },
): Promise<DueSensor[]> {
  type Row = Omit<DueSensor, 'configSeq'> & { config_seq: number | null };
  const { rows } = await db.query<Row>(due, [options.now ?? null, options.types, options.limit]);
  return rows.map(({ config_seq, ...row }) => ({ ...row, configSeq: config_seq }));
}

/** Milliseconds until a look is due (negative: overdue); undefined where none ever is. */
export async function nextSensorMs(
  db: Queryable,
  types: readonly string[],
  now: Date | null = null,
): Promise<number | undefined> {
  const { rows } = await db.query<{ wait_ms: number | null }>(wait, [now, types]);
  return rows[0]?.wait_ms ?? undefined;
}
