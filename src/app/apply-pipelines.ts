// Puts loaded pipelines in force: stored versions, limits and schedules first, then what this node works with.
import { uuidv7 } from 'uuidv7';
import type { Database } from '../db/database.ts';
import { statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { concurrencySlotKey } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import { type Limit, setLimits } from '../queue/set-limits.ts';
import { type AppliedSchedules, applySchedules } from '../schedule/apply-schedules.ts';
import { applySensors } from '../schedule/apply-sensors.ts';
import { type ConfigApply, newestApply, recordApply } from '../store/config-applies.ts';
import { savePipelines, storePipelines } from '../store/pipelines.ts';
import type { PipelinesInForce } from './pipelines-in-force.ts';

export interface Loaded {
  pipelines: readonly Pipeline[];
  hash: string;
}

/** Others who apply at the same time come first so many times at most. */
const maxTries = 50;

const databaseNow = statement(
  'database_now',
  'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now_ms',
);

/** Makes it the last apply, and so the one in force on all nodes. Returns its number, and what was in force before. */
export async function recordPipelines(
  db: Database,
  { pipelines, hash }: Loaded,
  node: { id: string; name: string },
): Promise<{ seq: number; before: ConfigApply | undefined }> {
  const id = uuidv7();
  for (let tries = 1; tries <= maxTries; tries += 1) {
    const done = await db.transaction(
      async (tx) => {
        const before = await newestApply(tx);
        const seq = await recordApply(tx, { id, node: node.id, nodeName: node.name, hash, pipelines });
        if (seq === undefined) return undefined;
        await savePipelines(tx, pipelines);
        return { seq, before };
      },
      { idempotent: true },
    );
    if (done) return done;
  }
  throw new CronwrightError(
    'conflict',
    `the configuration could not be applied: others came first ${maxTries} times, try again`,
  );
}

/** Limits, schedules and sensors in the database become those of the pipelines; `shared`: limits beyond those of pipelines. */
export async function registerPipelines(
  db: Database,
  pipelines: readonly Pipeline[],
  shared: readonly Limit[],
): Promise<AppliedSchedules> {
  const { rows } = await db.query<{ now_ms: number }>(databaseNow);
  await setLimits(db, [...limitsOf(pipelines), ...shared]);
  const schedules = pipelines.flatMap((one) => one.schedules);
  const applied = await applySchedules(db, schedules, rows[0]?.now_ms ?? 0);
  await applySensors(
    db,
    pipelines.flatMap((one) => one.sensors ?? []),
  );
  return applied;
}

/** For a run without a daemon: definitions and limits only, nothing is put in force for others. */
export async function storeDefinitions(
  loaded: Loaded,
  deps: { db: Database; inForce: PipelinesInForce; slotsFor: (pipelines: readonly Pipeline[]) => readonly Limit[] },
): Promise<void> {
  await storePipelines(deps.db, loaded.pipelines);
  await setLimits(deps.db, [...limitsOf(loaded.pipelines), ...deps.slotsFor(loaded.pipelines)]);
  deps.inForce.replace(loaded.pipelines, loaded.hash);
}

/** Several pipelines may share a group; the smallest limit holds. */
function limitsOf(pipelines: readonly Pipeline[]): Limit[] {
  const limits = new Map<string, Limit>();
  for (const { tenant, id, concurrency } of pipelines) {
    if (!concurrency) continue;
    const key = concurrencySlotKey(id, concurrency.group);
    const known = limits.get(`${tenant} ${key}`);
    limits.set(`${tenant} ${key}`, { tenant, key, limit: Math.min(concurrency.limit, known?.limit ?? Infinity) });
  }
  return [...limits.values()];
}
