// What a run's history tells of its steps beyond their rows: timeouts that were decided, results that were taken from the cache.
import { type Queryable, statement } from '../db/database.ts';
import type { DecidedTimeout } from '../domain/adaptive-timeout.ts';

export interface CachedFrom {
  run_id: string;
  step: string;
  at: string;
}

export type ToldTimeout = DecidedTimeout & { auto: string };

export interface StepFacts {
  /** By `run` and `steps.ID`; of the last claim. */
  timeouts: Readonly<Record<string, ToldTimeout>>;
  cachedFrom: ReadonlyMap<string, CachedFrom>;
}

const none: StepFacts = { timeouts: {}, cachedFrom: new Map() };

const facts = statement(
  'list_step_facts',
  `select t.one->>'event' as event, t.one->>'step' as step, t.one->'data' as data
  from cronwright.history h
  cross join lateral json_array_elements(h.transitions) as t(one)
  where h.run_id = $1
    and (t.one->>'event' = 'run.claimed' and t.one->'data'->'timeouts' is not null
      or t.one->>'event' = 'step.completed' and t.one->'data'->'cached_from' is not null)
  order by h.seq`,
);

interface FactRow {
  event: string;
  step: string | null;
  data: { timeouts?: Record<string, ToldTimeout>; cached_from?: CachedFrom };
}

/** The history is only read where the definition says that there is something to find. */
export async function findStepFacts(db: Queryable, runId: string, isWorthIt: boolean): Promise<StepFacts> {
  if (!isWorthIt) return none;
  const { rows } = await db.query<FactRow>(facts, [runId]);
  let timeouts: StepFacts['timeouts'] = {};
  const cachedFrom = new Map<string, CachedFrom>();
  for (const { step, data } of rows) {
    if (data.timeouts) timeouts = data.timeouts;
    if (step !== null && data.cached_from) cachedFrom.set(step, data.cached_from);
  }
  return { timeouts, cachedFrom };
}
