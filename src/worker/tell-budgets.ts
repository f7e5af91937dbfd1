// Tells what was spent, and of budgets that are near their end or have no room: on the bus, and in the run's history.
import type { Clock } from '../base/clock.ts';
import type { Queryable } from '../db/database.ts';
import { nearShare } from '../domain/budget.ts';
import type { EventBus } from '../observe/events.ts';
import type { Attempt } from '../steps/attempt-services.ts';
import type { Spent } from '../store/cost-place.ts';
import { type CostSums, warnOfBudget } from '../store/cost-totals.ts';
import { type LiveRun, noteTransition } from './live-run.ts';

interface TellDeps {
  clock: Clock;
  events: EventBus;
}

export function tellSpent({ runId, tenant, pipeline, step }: Attempt, spent: Spent, { events }: TellDeps): void {
  const { usd, what, llm, units } = spent;
  events.emit('cost.spent', {
    ...{ runId, tenant, pipeline, step, what, usd },
    ...(llm === undefined ? {} : { provider: llm.provider }),
    promptTokens: llm?.promptTokens ?? units?.prompt_tokens ?? 0,
    completionTokens: llm?.completionTokens ?? units?.completion_tokens ?? 0,
    cachedTokens: llm?.cachedTokens ?? units?.cached_tokens ?? 0,
  });
}

/** Once a budget: of the nodes that see it first, one. */
export async function tellBudgets(
  run: LiveRun | undefined,
  attempt: Attempt,
  sums: readonly CostSums[],
  deps: TellDeps & { db: Queryable },
): Promise<void> {
  for (const one of sums) {
    const { key, limitUsd, extraUsd, isWarned } = one;
    if (limitUsd === null || isWarned || used(one) < nearShare * (limitUsd + extraUsd)) continue;
    if (!(await warnOfBudget(deps.db, attempt.tenant, key))) continue;
    tell(run, attempt, one, { event: 'budget.near' }, deps);
  }
}

export function tellExceeded(
  run: LiveRun | undefined,
  attempt: Attempt,
  sums: CostSums,
  { usd, waits }: { usd: number; waits: boolean },
  deps: TellDeps,
): void {
  const action = waits ? 'wait' : 'fail';
  tell(run, attempt, sums, { event: 'budget.exceeded', wantedUsd: usd, action }, deps);
}

type Told = { event: 'budget.near' } | { event: 'budget.exceeded'; wantedUsd: number; action: 'wait' | 'fail' };

function tell(
  run: LiveRun | undefined,
  { runId, tenant, pipeline, step, item, attempt }: Attempt,
  sums: CostSums,
  told: Told,
  { clock, events }: TellDeps,
): void {
  const budget = sums.key.startsWith('run:') ? 'run' : 'month';
  const limitUsd = (sums.limitUsd ?? 0) + sums.extraUsd;
  const { spentUsd, heldUsd, unknownUsd } = sums;
  const facts = { runId, tenant, pipeline, step, budget, limitUsd, spentUsd, heldUsd, unknownUsd } as const;
  if (told.event === 'budget.near') events.emit(told.event, facts);
  else events.emit(told.event, { ...facts, wantedUsd: told.wantedUsd, action: told.action });
  if (run === undefined) return;
  const asked = told.event === 'budget.near' ? {} : { wanted_usd: told.wantedUsd, action: told.action };
  const data = {
    ...{ budget, limit_usd: limitUsd, spent_usd: spentUsd, held_usd: heldUsd, unknown_usd: unknownUsd },
    ...asked,
  };
  const place = item === undefined ? { step, attempt } : { step, item, attempt };
  noteTransition(run, { event: told.event, ...place, data }, clock);
}

function used({ spentUsd, heldUsd, unknownUsd }: CostSums): number {
  return spentUsd + heldUsd + unknownUsd;
}
