// What may stand under `budgets` in cronwright.yaml, and under `budget` in a pipeline.
import { z } from 'zod';
import { type Budgets, exceededPolicies } from '../domain/budget.ts';
import { budgetDefaults as defaults } from './defaults.ts';
import { says } from './schema-parts.ts';

const usd = z
  .number()
  .min(0)
  .max(1_000_000_000)
  .refine(
    (value) => Number.isInteger(Math.round(value * 1e9) / 1e3),
    says('too many digits', 'at most 6 behind the point'),
  );

const onExceeded = z
  .enum(exceededPolicies)
  .prefault(defaults.on_exceeded.value)
  .describe('What becomes of a step that wants to spend more: it fails for good, or waits until people let it.');

export const tenantBudgetSchema = z
  .strictObject({
    per_run: usd.optional().describe('US dollars that a run may cost.'),
    per_month: usd.optional().describe('US dollars that all runs of the tenant may cost in a calendar month, in UTC.'),
    on_exceeded: onExceeded,
  })
  .refine(
    ({ per_run: run, per_month: month }) => run !== undefined || month !== undefined,
    says('no budget', 'per_run, per_month or both'),
  )
  .describe('What one tenant may spend (docs/COSTS.md).');

export const pipelineBudgetSchema = z
  .strictObject({
    per_run: usd.describe("US dollars that a run may cost; the tenant's own bound holds too."),
    on_exceeded: onExceeded,
  })
  .describe('What a run may cost (docs/COSTS.md).');

export function buildBudgets(shape: Readonly<Record<string, z.output<typeof tenantBudgetSchema>>>): Budgets {
  return Object.fromEntries(
    Object.entries(shape).map(([tenant, { per_run: perRun, per_month: perMonth, on_exceeded: policy }]) => [
      tenant,
      {
        ...(perRun === undefined ? {} : { perRun }),
        ...(perMonth === undefined ? {} : { perMonth }),
        onExceeded: policy,
      },
    ]),
  );
}
