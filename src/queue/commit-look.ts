// A look of a sensor in the database: who may look, and what came of it, runs and cursor in one transaction.

import type { Json } from '../base/json.ts';
import { type Database, type Queryable, statement } from '../db/database.ts';
import type { NewRun } from '../domain/new-run.ts';
import { enqueueRuns } from './enqueue-runs.ts';

/** The look that holds a sensor: what it writes counts only while its version is the sensor's. */
export interface HeldLook {
  tenant: string;
  sensor: string;
  generation: string;
  lookId: string;
  /** As the claim left it. */
  version: number;
}

export interface FoundEvent {
  key: string;
  data: Json;
  run: NewRun;
}

// At most one node looks while due_at > now: the claim moves it by the lease, and the version fences what follows. A pause that has
// run out is what made the sensor due.
const claim = statement(
  'claim_sensor',
  `update cronwright.sensors
  set version = $3::int8 + 1, look_id = $4, due_at = coalesce($6::timestamptz, now()) + $5::int8 * interval '1 millisecond',
    paused_at = null, paused_until = null, paused_by = null, paused_reason = null
  where tenant = $1 and id = $2 and (version = $3 or look_id = $4)
  returning version`,
  { idempotent: true },
);

const hold = statement(
  'hold_sensor',
  'select id from cronwright.sensors where tenant = $1 and id = $2 and version = $3 and look_id = $4 for update',
);

const keep = statement(
  'keep_sensor_events',
  `insert into cronwright.sensor_events (tenant, sensor, generation, key, run_id, look_id, data, found_at)
  select $1, $2, $3, u.key, u.run_id, $4, u.data::jsonb, coalesce($8::timestamptz, now())
  from unnest($5::text[], $6::uuid[], $7::text[]) as u(key, run_id, data)
  on conflict do nothing
  returning run_id`,
);

const ours = statement(
  'find_own_sensor_events',
  `select run_id from cronwright.sensor_events
  where tenant = $1 and sensor = $2 and generation = $3 and key = any($4::text[]) and look_id = $5`,
);

const move = statement(
  'move_sensor',
  `update cronwright.sensors
  set cursor = $4, due_at = coalesce($7::timestamptz, now()) + $5::int8 * interval '1 millisecond', failures = 0, error = null,
    looked_at = coalesce($7::timestamptz, now()), found = found + $6::int8,
    found_at = case when $6 > 0 then coalesce($7::timestamptz, now()) else found_at end
  where tenant = $1 and id = $2 and version = $3`,
);

const fail = statement(
  'fail_sensor',
  `update cronwright.sensors
  set failures = $5, error = $6, due_at = coalesce($8::timestamptz, now()) + $7::int8 * interval '1 millisecond',
    looked_at = coalesce($8::timestamptz, now())
  where tenant = $1 and id = $2 and version = $3 and look_id = $4`,
  { idempotent: true },
);

const release = statement(
  'release_sensor',
  `update cronwright.sensors set due_at = coalesce($5::timestamptz, now())
  where tenant = $1 and id = $2 and version = $3 and look_id = $4`,
  { idempotent: true },
);

/** Undefined where another node was first. */
export async function claimSensor(
  db: Queryable,
  sensor: { tenant: string; id: string; generation: string; version: number },
  look: { id: string; leaseMs: number },
): Promise<HeldLook | undefined> {
  const { tenant, id, generation, version } = sensor;
  const { rows } = await db.query<{ version: number }>(claim, [tenant, id, version, look.id, look.leaseMs, null]);
  return rows[0] && { tenant, sensor: id, generation, lookId: look.id, version: rows[0].version };
}

/**
 * All or nothing: the cursor moves and the runs of events that were never told before are enqueued. Returns those runs; undefined
 * where the look is no longer the sensor's: then nothing has happened, and somebody looks again from the old cursor.
 */
export function commitLook(
  db: Database,
  look: HeldLook,
  found: { cursor: Json; events: readonly FoundEvent[]; nextMs: number },
  now: Date | null = null,
): Promise<NewRun[] | undefined> {
  const { events } = found;
  return db.transaction(
    async (tx) => {
      const held = await tx.query(hold, [look.tenant, look.sensor, look.version, look.lookId]);
      if (held.rows.length === 0) return undefined;
      const { fresh, runs } = await keepEvents(tx, look, events, now);
      await enqueueRuns(tx, runs, now);
      const cursor = JSON.stringify(found.cursor);
      await tx.query(move, [look.tenant, look.sensor, look.version, cursor, found.nextMs, fresh, now]);
      return runs;
    },
    // Repeated after a lost answer it finds its own events, whose runs are there, and counts them no second time.
    { idempotent: true },
  );
}

/** `fresh`: how many were kept just now; `runs`: those of all events that this look was the first to tell. */
async function keepEvents(
  tx: Queryable,
  look: HeldLook,
  events: readonly FoundEvent[],
  now: Date | null,
): Promise<{ fresh: number; runs: NewRun[] }> {
  if (events.length === 0) return { fresh: 0, runs: [] };
  const keys = events.map(({ key }) => key);
  const kept = await tx.query(keep, [
    look.tenant,
    look.sensor,
    look.generation,
    look.lookId,
    keys,
    events.map(({ run }) => run.id),
    events.map(({ data }) => JSON.stringify(data)),
    now,
  ]);
  const told = await tx.query<{ run_id: string }>(ours, [look.tenant, look.sensor, look.generation, keys, look.lookId]);
  const ids = new Set(told.rows.map((row) => row.run_id));
  return { fresh: kept.rows.length, runs: events.map(({ run }) => run).filter(({ id }) => ids.has(id)) };
}

/** False where the look is no longer the sensor's. */
export async function failLook(
  db: Queryable,
  look: HeldLook,
  failure: { failures: number; error: string; delayMs: number },
  now: Date | null = null,
): Promise<boolean> {
  const { failures, error, delayMs } = failure;
  const params = [look.tenant, look.sensor, look.version, look.lookId, failures, error, delayMs, now];
  return (await db.query(fail, params)).count > 0;
}

/** Somebody else may look at once. */
export async function releaseLook(db: Queryable, look: HeldLook, now: Date | null = null): Promise<void> {
  await db.query(release, [look.tenant, look.sensor, look.version, look.lookId, now]);
}
