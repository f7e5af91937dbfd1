// Tells of promises about time (`sla`) that were not kept, once each, on whichever node finds it first: nothing is ended by it.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import type { Database } from '../db/database.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import { createScheduleClock } from '../domain/schedule-clock.ts';
import { promisesOf } from '../domain/sla.ts';
import type { EventBus } from '../observe/events.ts';
import {
  findUndecided,
  recordSlaMisses,
  recordUndecided,
  type SlaMiss,
  type SlaRule,
} from '../queue/record-sla-misses.ts';

export interface SlaWatchOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  catalog: Pick<PipelineCatalog, 'list'>;
  everyMs: number;
  /** Set in tests: the instant that counts in place of the database's. */
  now?: () => Date;
}

/** A node that was away finds what came due meanwhile. */
const firstLookbackMs = 86_400_000;
/** Later on: what a node wrote and died before it told. */
const lookbackMs = 600_000;

export function createSlaWatch(options: SlaWatchOptions): Service {
  const { db, events, catalog } = options;
  let list: readonly Pipeline[] | undefined;
  let rules: readonly SlaRule[] = [];
  let schedules = new Map<string, ScheduleDefinition>();

  /** The list is another one whenever pipelines have changed. */
  function refresh(): void {
    if (catalog.list() === list) return;
    list = catalog.list();
    rules = slaRulesOf(list);
    schedules = new Map(list.flatMap((one) => one.schedules.map((each) => [`${each.tenant}/${each.id}`, each])));
  }

  async function look(isFirst: boolean): Promise<void> {
    refresh();
    if (rules.length === 0) return;
    const now = options.now?.() ?? null;
    const nowMs = now?.getTime() ?? options.clock.now();
    const missed = await recordSlaMisses(db, rules, { nowMs, lookbackMs: isFirst ? firstLookbackMs : lookbackMs, now });
    for (const one of missed) tell(one);
    // At the start schedules owe what passed while nobody was here, and are about to decide it.
    if (!isFirst) for (const one of await lookAtUndecided(now)) tell(one);
  }

  async function lookAtUndecided(now: Date | null): Promise<SlaMiss[]> {
    const found = await findUndecided(db, rules, now);
    const owed = found.flatMap(({ tenant, id, cursor_at: cursor }) => {
      const definition = schedules.get(`${tenant}/${id}`);
      const nominalMs = definition && nextFire(definition, cursor.getTime());
      if (nominalMs === undefined || nominalMs === null) return [];
      return rules
        .filter((rule) => rule.tenant === tenant && rule.schedule === id)
        .map((rule) => ({ ...rule, nominalAt: new Date(nominalMs) }));
    });
    return recordUndecided(db, owed, now);
  }

  function tell(miss: SlaMiss): void {
    const { tenant, pipeline, kind, count, schedule, nominal_at: nominalAt, run_id: runId } = miss;
    const missed = { tenant, pipeline, kind, withinMs: miss.within_ms, dueAt: miss.due_at.getTime(), count };
    const from = {
      ...(schedule === null ? {} : { schedule }),
      ...(nominalAt === null ? {} : { nominalAt: nominalAt.getTime() }),
    };
    if (runId !== null) events.emit('run.sla_missed', { ...missed, ...from, runId });
    else if (schedule !== null && nominalAt !== null) {
      events.emit('schedule.sla_missed', { ...missed, schedule, nominalAt: nominalAt.getTime() });
    }
  }

  return createLoopService({
    name: 'sla-watch',
    async loop(signal) {
      await look(true);
      while (!signal.aborted) {
        await sleepUnlessAborted(options.everyMs, signal);
        if (!signal.aborted) await look(false);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'sla-watch', error: String(error) }),
  });
}

/** One rule a promise: those of schedules, and those of pipelines for all other runs. */
export function slaRulesOf(list: readonly Pipeline[]): SlaRule[] {
  return list.flatMap(({ tenant, id: pipeline, sla, schedules }) => [
    ...promisesOf(sla).map((promise) => ({ tenant, pipeline, schedule: null, ...promise })),
    ...schedules.flatMap((one) =>
      promisesOf(one.sla).map((promise) => ({ tenant, pipeline, schedule: one.id, ...promise })),
    ),
  ]);
}

function nextFire(definition: ScheduleDefinition, afterMs: number): number | null {
  try {
    return createScheduleClock(definition).fires.next(afterMs, 1)[0]?.at.getTime() ?? null;
  } catch {
    // What is wrong with it is in its error.
    return null;
  }
}
