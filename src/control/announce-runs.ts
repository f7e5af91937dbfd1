// Tells everyone of runs that are durable now: gives them free slots, wakes workers and emits the events.
import type { NewRun } from '../domain/new-run.ts';
import { withinTrace } from '../observe/tracer.ts';
import { admitRuns, type SlotKey } from '../queue/admit-runs.ts';
import type { ControlContext } from './control-context.ts';

/** Never throws: the runs are there, and the sweep admits what this could not. */
export async function announceRuns(context: ControlContext, runs: readonly NewRun[]): Promise<void> {
  for (const run of runs) withinTrace(run.traceparent, () => tellEnqueued(context, run));
  await admitQuietly(context, slotKeysOf(runs));
  context.wake.workers();
  if (runs.some((run) => run.runAt !== null || run.limits.length > 0)) context.wake.timers();
}

function tellEnqueued(context: ControlContext, run: NewRun): void {
  context.events.emit('run.enqueued', {
    runId: run.id,
    tenant: run.tenant,
    pipeline: run.pipeline,
    origin: run.origin,
    queue: run.queue,
    ...(run.schedule === null ? {} : { schedule: run.schedule }),
    ...(run.actor === null ? {} : { actor: run.actor }),
    ...(run.parentId === null ? {} : { parentId: run.parentId }),
    ...(run.runAt === null ? {} : { runAt: run.runAt.getTime() }),
  });
}

/** Admits what the keys allow; a failure is left to the sweep. */
export async function admitQuietly(context: ControlContext, keys: readonly SlotKey[]): Promise<void> {
  if (keys.length === 0) return;
  try {
    await admitRuns(context.db, keys);
  } catch (error) {
    context.events.emit('service.crashed', { service: 'admit', error: String(error) });
  }
}

function slotKeysOf(runs: readonly NewRun[]): SlotKey[] {
  const keys = new Map<string, SlotKey>();
  for (const { tenant, limits } of runs) for (const key of limits) keys.set(`${tenant}\n${key}`, { tenant, key });
  return [...keys.values()];
}
