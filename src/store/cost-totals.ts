// The sums that budgets are held to: of a run, and of a tenant's month.
import { type Queryable, statement } from '../db/database.ts';

export interface TotalRow {
  key: string;
  spent: string;
  held: string;
  unknown: string;
  extra: string;
  limit_usd: string | null;
  warned_at: Date | null;
}

export interface CostSums {
  /** `run:ID` or `month:YYYY-MM`. */
  key: string;
  spentUsd: number;
  /** Reserved by attempts that are at work. */
  heldUsd: number;
  /** Reserved by attempts that ended without a word; counts as spent. */
  unknownUsd: number;
  /** What people have allowed beyond the limit. */
  extraUsd: number;
  /** The budget as it was last applied; null: there was none. */
  limitUsd: number | null;
  /** It was told that the budget is near its end. */
  isWarned: boolean;
}

const read = statement(
  'read_cost_sums',
  `select key, spent, held, unknown, extra, limit_usd, warned_at from cronwright.cost_totals
  where tenant = $1 and key = any($2::text[])`,
);

// The first who finds it near its end says so.
const warn = statement(
  'warn_of_budget',
  `update cronwright.cost_totals set warned_at = coalesce($3::timestamptz, now())
  where tenant = $1 and key = $2 and warned_at is null
  returning key`,
);

const expect = statement(
  'expect_cost_of_run',
  `insert into cronwright.cost_totals as t (tenant, key, run_id, spent, held, unknown, extra, estimated, prompt_tokens,
    completion_tokens, cached_tokens)
  values ($1, $2, $3, 0, 0, 0, 0, $4::numeric(18, 6), 0, 0, 0)
  on conflict (tenant, key) do update set estimated = excluded.estimated`,
  { idempotent: true },
);

export function sumsFromRow(row: TotalRow): CostSums {
  return {
    key: row.key,
    spentUsd: Number(row.spent),
    heldUsd: Number(row.held),
    unknownUsd: Number(row.unknown),
    extraUsd: Number(row.extra),
    limitUsd: row.limit_usd === null ? null : Number(row.limit_usd),
    isWarned: row.warned_at !== null,
  };
}

export async function readCostSums(db: Queryable, tenant: string, keys: readonly string[]): Promise<CostSums[]> {
  return (await db.query<TotalRow>(read, [tenant, keys])).rows.map(sumsFromRow);
}

/** True for the one who is to tell that the budget is near its end. */
export async function warnOfBudget(
  db: Queryable,
  tenant: string,
  key: string,
  now: Date | null = null,
): Promise<boolean> {
  return (await db.query(warn, [tenant, key, now])).count > 0;
}

/** What the run is expected to cost, in US dollars: the last word counts. */
export async function expectCost(db: Queryable, tenant: string, runId: string, usd: number): Promise<void> {
  await db.query(expect, [tenant, `run:${runId}`, runId, usd.toFixed(6)]);
}
