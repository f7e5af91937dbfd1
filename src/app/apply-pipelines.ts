// Puts loaded pipelines in force: stored versions, limits and schedules first, then what this node works with.
import type { Database } from '../db/database.ts';
import { statement } from '../db/database.ts';
import { concurrencySlotKey } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { EventBus } from '../observe/events.ts';
import { type Limit, setLimits } from '../queue/set-limits.ts';
import { applySchedules } from '../schedule/apply-schedules.ts';
import { savePipelines, storePipelines } from '../store/pipelines.ts';
import type { PipelinesInForce } from './pipelines-in-force.ts';

const databaseNow = statement(
  'database_now',
  'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now_ms',
);

export async function applyPipelines(
  loaded: { pipelines: readonly Pipeline[]; hash: string },
  deps: { db: Database; inForce: PipelinesInForce; events: EventBus },
): Promise<void> {
  const { db, inForce, events } = deps;
  const { pipelines, hash } = loaded;
  const { rows } = await db.query<{ now_ms: number }>(databaseNow);
  await db.transaction((tx) => savePipelines(tx, pipelines), { idempotent: true });
  await setLimits(db, limitsOf(pipelines));
  // Schedules come last to the database and first to this node: what is due next needs its pipeline here.
  inForce.replace(pipelines, hash);
  const schedules = pipelines.flatMap((one) => one.schedules);
  const applied = await applySchedules(db, schedules, rows[0]?.now_ms ?? 0);
  events.emit('config.applied', {
    hash,
    pipelines: pipelines.length,
    schedules: applied.total,
    changed: applied.changed + applied.removed,
  });
}

/** For a run without a daemon: definitions and limits only, nothing is put in force for others. */
export async function storeDefinitions(
  loaded: { pipelines: readonly Pipeline[]; hash: string },
  deps: { db: Database; inForce: PipelinesInForce },
): Promise<void> {
  await storePipelines(deps.db, loaded.pipelines);
  await setLimits(deps.db, limitsOf(loaded.pipelines));
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
