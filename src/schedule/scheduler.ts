// The scheduler: sleeps until the next schedule is due, decides what is due and commits it. Every node has one; none is special.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Database } from '../db/database.ts';
import type { NewRun } from '../domain/new-run.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { EventBus } from '../observe/events.ts';
import { noSpan, startEnqueueSpan } from '../observe/trace.ts';
import { admitRuns } from '../queue/admit-runs.ts';
import { type CommittedDue, commitDue } from '../queue/commit-due.ts';
import { type DueScheduleRow, findDueSchedules, nextDueSchedule } from '../queue/find-due-schedules.ts';
import { replaceRuns } from '../queue/replace-runs.ts';
import { rewindSchedules } from '../queue/rewind-schedules.ts';
import { createClockWatch } from './clock-watch.ts';
import { type DueBatch, decideBatch } from './decide-batch.ts';
import { refuseOverfull } from './refuse-overfull.ts';

export interface SchedulerOptions {
  db: Database;
  clock: Clock;
  catalog: PipelineCatalog;
  events: EventBus;
  /** Waited for before schedules are decided: another node may have put another configuration in force, the apply `seq`. */
  followConfig: (seq: number) => Promise<void>;
  /** Why a tenant's queue has no room for `runs` more; undefined: it has. */
  refusal: (tenant: string, runs: number) => Promise<string | undefined>;
  /** Something was enqueued. */
  onEnqueued: () => void;
}

export interface Scheduler extends Service {
  /** A schedule changed. */
  wake(): void;
}

/** Schedules decided in one transaction. */
const batchSize = 1_000;
const longestSleepMs = 60_000;
/** A clock that went back by more than this has its cursors brought back. */
const rewindBeyondMs = 300_000;

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { db, clock, events } = options;
  const changed = createWakeUp();
  const watch = createClockWatch({ clock, events });
  const loop = createLoopService({
    name: 'scheduler',
    async loop(signal) {
      while (!signal.aborted) {
        const { nowMs, nextMs } = await nextDueSchedule(db);
        await followClock(nowMs, signal);
        const waitMs = nextMs === undefined ? longestSleepMs : nextMs - nowMs;
        if (waitMs > 0) await changed.wait(Math.min(Math.ceil(waitMs), longestSleepMs), signal);
        if (signal.aborted) return;
        events.emit('scheduler.ticked', { at: clock.now(), due: await commitAllDue(signal) });
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'scheduler', error: String(error) }),
  });

  /** Where the database's clock jumps ahead, the system may have slept: other things settle first. */
  async function followClock(nowMs: number, signal: AbortSignal): Promise<void> {
    const jump = watch.observe(nowMs);
    if (jump.kind === 'back') await rewindSchedules(db, rewindBeyondMs);
    if (jump.kind === 'ahead') await sleepUnlessAborted(jump.holdMs, signal);
  }

  async function commitAllDue(signal: AbortSignal): Promise<number> {
    let total = 0;
    while (!signal.aborted) {
      const rows = await findDueSchedules(db, batchSize);
      if (rows.length === 0) return total;
      total += rows.length;
      await options.followConfig(rows[0]?.configSeq ?? 0);
      await commitBatch(rows);
      if (rows.length < batchSize) return total;
    }
    return total;
  }

  async function commitBatch(rows: readonly DueScheduleRow[]): Promise<void> {
    const nowMs = rows[0]?.nowMs ?? clock.now();
    const batch = await refuseOverfull(decideBatch(rows, nowMs, options.catalog), options.refusal);
    const span = batch.runs.length === 0 ? noSpan : startEnqueueSpan(batch.runs.length);
    for (const run of batch.runs) run.traceparent = span.traceparent ?? null;
    const committed = await commitWhole(batch);
    const enqueued = batch.runs.filter((run) => committed.enqueued.has(run.id));
    // Where another scheduler was first nothing links to the span, and without an end nobody sees it.
    if (enqueued.length > 0) span.end('success');
    if (enqueued.length > 0) options.onEnqueued();
    const admitted = await admitRuns(db, contestedKeys(rows, enqueued));
    if (admitted.length > 0 || batch.replacements.length > 0) options.onEnqueued();
    span.within(() => tell(batch, committed, enqueued, nowMs));
  }

  /** A run and the cancel of those it replaces are durable together: nobody asks a second time. */
  function commitWhole(batch: DueBatch): Promise<CommittedDue> {
    if (batch.replacements.length === 0) return commitDue(db, batch);
    return db.transaction(
      async (tx) => {
        const committed = await commitDue(tx, batch);
        const replacements = batch.replacements.filter((one) => committed.enqueued.has(one.newest));
        await replaceRuns(tx, replacements);
        return committed;
      },
      { idempotent: true },
    );
  }

  function tell(batch: DueBatch, committed: CommittedDue, enqueued: readonly NewRun[], nowMs: number): void {
    for (const run of enqueued) {
      const { tenant, pipeline, origin, queue } = run;
      const schedule = run.schedule ?? '';
      const nominalAt = run.nominalAt?.getTime() ?? nowMs;
      events.emit('schedule.due', { schedule, tenant, nominalAt, lagMs: Math.max(0, nowMs - nominalAt) });
      const actor = run.actor === null ? {} : { actor: run.actor };
      events.emit('run.enqueued', { runId: run.id, tenant, pipeline, origin, schedule, queue, ...actor });
    }
    for (const range of batch.ranges) {
      if (!committed.moved.has(`${range.tenant}/${range.schedule}`)) continue;
      const { schedule, tenant, outcome, count, reason } = range;
      events.emit('schedule.skipped', { schedule, tenant, outcome, count, reason });
    }
    for (const broken of batch.broken) events.emit('schedule.broken', broken);
    for (const move of batch.moves) {
      if (!committed.moved.has(`${move.tenant}/${move.schedule}`)) continue;
      const { tenant, schedule } = move;
      events.emit('schedule.next', { schedule, tenant, nextAt: move.nextAt?.getTime() ?? null });
    }
  }

  return { name: 'scheduler', wake: () => changed.wake(), start: () => loop.start(), stop: () => loop.stop() };
}

/** A run that needs its schedule's slot alone has taken it in the commit, unless another run of the schedule holds it. */
function contestedKeys(rows: readonly DueScheduleRow[], runs: readonly NewRun[]): { tenant: string; key: string }[] {
  const busy = new Set(rows.filter((row) => row.liveRuns > 0).map((row) => `${row.tenant}/${row.id}`));
  const keys = new Map<string, { tenant: string; key: string }>();
  for (const { tenant, schedule, limits } of runs) {
    if (limits.length === 0 || (limits.length === 1 && schedule !== null && !busy.has(`${tenant}/${schedule}`)))
      continue;
    // A run waits in one line at a time, first in that of its first key.
    const key = limits[0];
    if (key !== undefined) keys.set(`${tenant} ${key}`, { tenant, key });
  }
  return [...keys.values()];
}
