// Reads what a step says that it spends: checked, and rounded as the ledger keeps it.
import { type CostEntry, StepError } from '../steps/api.ts';
import type { Spent } from '../store/cost-place.ts';

/** A thousand million dollars: above this somebody mistook a unit. */
const mostUsd = 1e9;
const mostUnits = 50;

/** Throws a fatal `InvalidCost`. */
export function readCostEntry({ what, usd, units }: CostEntry): Spent {
  if (typeof what !== 'string' || what.length === 0 || what.length > 200) {
    throw invalid('what', what, '1 to 200 characters');
  }
  if (typeof usd !== 'number' || !(usd >= 0 && usd <= mostUsd)) throw invalid('usd', usd, 'dollars, not negative');
  const rounded = Math.round(usd * 1e6) / 1e6;
  return units === undefined ? { what, usd: rounded } : { what, usd: rounded, units: readUnits(units) };
}

function readUnits(units: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const entries = Object.entries(units ?? {});
  const isUnit = ([name, count]: [string, number]) =>
    name.length <= 100 && Number.isSafeInteger(count) && (count as number) >= 0;
  if (entries.length > mostUnits || !entries.every(isUnit)) {
    throw invalid('units', units, `at most ${mostUnits} whole numbers by name, not negative`);
  }
  return units;
}

function invalid(field: string, got: unknown, expected: string): StepError {
  const shown = (JSON.stringify(got) ?? 'nothing').slice(0, 200);
  return new StepError('fatal', `cost: ${field} is ${shown}, expected ${expected}`, { name: 'InvalidCost' });
}
