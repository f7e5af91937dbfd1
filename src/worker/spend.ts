// What an attempt spends: the ledger and the budgets behind `ctx.cost`.
import { type CostEntry, StepError } from '../steps/api.ts';
import type { AskPeople, Attempt } from '../steps/attempt-services.ts';

export async function addCost(_attempt: Attempt, _entry: CostEntry): Promise<void> {
  throw notYet();
}

export async function reserveCost(_attempt: Attempt, _entry: CostEntry, _ask: AskPeople): Promise<{ id: string }> {
  throw notYet();
}

export async function settleCost(_attempt: Attempt, _id: string, _actual: CostEntry | undefined): Promise<void> {
  throw notYet();
}

function notYet(): StepError {
  return new StepError('fatal', 'there is no ledger yet', { name: 'NoLedger' });
}
