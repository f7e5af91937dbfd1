// Holds money for an attempt within the budgets: where one has no room, the step fails for good, or people decide.
import { uuidv7 } from 'uuidv7';
import type { Clock } from '../base/clock.ts';
import type { Database } from '../db/database.ts';
import { type BudgetInForce, type Budgets, budgetOf, showUsd } from '../domain/budget.ts';
import type { EventBus } from '../observe/events.ts';
import { type Json, StepError } from '../steps/api.ts';
import type { AskPeople, Attempt } from '../steps/attempt-services.ts';
import { countBudgetGrants, type Reservation, reserveCost } from '../store/budgets.ts';
import type { CostPlace, Spent } from '../store/cost-place.ts';
import type { CostSums } from '../store/cost-totals.ts';
import type { LiveRun } from './live-run.ts';
import { tellBudgets, tellExceeded } from './tell-budgets.ts';

export interface ReserveDeps {
  db: Database;
  clock: Clock;
  events: EventBus;
  budgets: () => Budgets;
}

interface Wanted {
  attempt: Attempt;
  by: CostPlace;
  spent: Spent;
  month: string;
  ask: AskPeople;
}

export async function reserveWithin(
  run: LiveRun | undefined,
  { attempt, by, spent, month, ask }: Wanted,
  deps: ReserveDeps,
): Promise<{ id: string }> {
  const inForce = budgetOf(deps.budgets(), attempt.tenant, run?.compiled.pipeline.budget);
  const limits = { perRun: inForce.perRun, perMonth: inForce.perMonth };
  const wanted: Reservation = { id: uuidv7(), by, spent, limits, month };
  const first = await reserveCost(deps.db, wanted);
  if (first.ok) {
    await tellBudgets(run, attempt, first.sums, deps);
    return { id: first.id };
  }
  const [exceeded] = first.exceeded as [CostSums];
  const waits = first.exceeded.every((one) => policyOf(one, inForce) === 'wait');
  const message = describeExceeded(exceeded, spent);
  tellExceeded(run, attempt, exceeded, { usd: spent.usd, waits }, deps);
  if (!waits) throw budgetExceeded(message, first.exceeded, spent);
  const n = (await countBudgetGrants(deps.db, by)) + 1;
  // Another amount is another question.
  const key = `budget/${n}/${showUsd(spent.usd)}`;
  const form = formOf(first.exceeded, spent);
  const answer = await ask({ kind: 'budget', key, message: `${message}. Let it go on?`, form });
  if (answer.decision !== 'approve') throw budgetExceeded(`${message}, and it was rejected`, first.exceeded, spent);
  const granted = await reserveCost(deps.db, { ...wanted, id: uuidv7(), granted: { n, by: answer.by } });
  if (!granted.ok) throw budgetExceeded(message, granted.exceeded, spent);
  return { id: granted.id };
}

function policyOf({ key }: CostSums, { onRunExceeded, onMonthExceeded }: BudgetInForce): 'fail' | 'wait' {
  return key.startsWith('run:') ? onRunExceeded : onMonthExceeded;
}

/** Which budget, how much of it is used by what, and what is asked. */
function describeExceeded(sums: CostSums, { usd, what }: Spent): string {
  const { spentUsd, heldUsd, unknownUsd, extraUsd, limitUsd } = sums;
  const name = sums.key.startsWith('run:') ? 'the budget of the run' : `the budget of ${sums.key.slice(6)}`;
  const limit = extraUsd > 0 ? `${showUsd(limitUsd ?? 0)} and ${showUsd(extraUsd)} allowed` : showUsd(limitUsd ?? 0);
  const lost = unknownUsd > 0 ? `, ${showUsd(unknownUsd)} unknown` : '';
  const used = `${showUsd(spentUsd)} spent, ${showUsd(heldUsd)} held${lost}`;
  return `${what} needs ${showUsd(usd)}, which passes ${name} (${limit}): ${used}`;
}

function formOf(exceeded: readonly CostSums[], { usd, what }: Spent): Json {
  return {
    what,
    wanted_usd: usd,
    budgets: exceeded.map((one) => ({
      budget: one.key.startsWith('run:') ? 'run' : 'month',
      limit_usd: one.limitUsd,
      allowed_usd: one.extraUsd,
      spent_usd: one.spentUsd,
      held_usd: one.heldUsd,
      unknown_usd: one.unknownUsd,
    })),
  };
}

function budgetExceeded(message: string, exceeded: readonly CostSums[], spent: Spent): StepError {
  return new StepError('fatal', message, { name: 'BudgetExceeded', details: formOf(exceeded, spent) });
}
