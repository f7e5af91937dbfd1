// What may be spent: the budgets of a tenant and of a pipeline, and how far they are used.
import { anyName } from './shared-limits.ts';

export const exceededPolicies = ['fail', 'wait'] as const;
/** `fail`: the step fails for good. `wait`: it waits for people. */
export type ExceededPolicy = (typeof exceededPolicies)[number];

export interface TenantBudget {
  /** US dollars a run may cost. */
  perRun?: number;
  /** US dollars of all runs of the tenant in a calendar month, in UTC. */
  perMonth?: number;
  onExceeded: ExceededPolicy;
}

/** By tenant; `*` for those that are not named. */
export type Budgets = Readonly<Record<string, TenantBudget>>;

export interface PipelineBudget {
  perRun: number;
  onExceeded: ExceededPolicy;
}

export interface BudgetInForce {
  perRun?: number | undefined;
  perMonth?: number | undefined;
  onRunExceeded: ExceededPolicy;
  onMonthExceeded: ExceededPolicy;
}

/** Share of a budget from which it is told of. */
export const nearShare = 0.8;

/** Of the pipeline's and the tenant's bound for a run the lower one holds. */
export function budgetOf(budgets: Budgets, tenant: string, pipeline: PipelineBudget | undefined): BudgetInForce {
  const own = (Object.hasOwn(budgets, tenant) ? budgets[tenant] : undefined) ?? budgets[anyName];
  const isPipelines = pipeline !== undefined && pipeline.perRun <= (own?.perRun ?? Number.POSITIVE_INFINITY);
  return {
    perRun: isPipelines ? pipeline.perRun : own?.perRun,
    perMonth: own?.perMonth,
    onRunExceeded: (isPipelines ? pipeline.onExceeded : own?.onExceeded) ?? 'fail',
    onMonthExceeded: own?.onExceeded ?? 'fail',
  };
}

/** As people read money: `$0.15`, and small sums with the digits that tell them from nothing: `$0.0023`. */
export function showUsd(usd: number): string {
  if (usd === 0) return '$0.00';
  const digits = Math.abs(usd) >= 0.01 ? 4 : 6;
  const [whole = '0', part = ''] = usd.toFixed(digits).split('.');
  return `$${whole}.${part.replace(/0+$/, '').padEnd(2, '0')}`;
}

/** Actual by estimate, to three digits; null where nothing was expected. */
export function costRatio(usd: number, estimatedUsd: number | null): number | null {
  return estimatedUsd === null || estimatedUsd === 0 ? null : Math.round((usd / estimatedUsd) * 1_000) / 1_000;
}

/** An estimate is the low end; the high end is twice that. */
export function showEstimate(usd: number): string {
  return `${showUsd(usd)} - ${showUsd(2 * usd)}`;
}
