// What a run has cost so far: its sums, and its ledger by step.
import { type Queryable, statement } from '../db/database.ts';

export interface RunCosts {
  /** US dollars: spent, and what attempts held that ended without a word. */
  usd: number;
  /** Reserved by attempts that are at work. */
  heldUsd: number;
  /** What it was expected to cost; null: nobody said. */
  estimatedUsd: number | null;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
}

export interface StepCosts {
  step: string;
  usd: number;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  /** Rows of the ledger. */
  entries: number;
}

const read = statement(
  'read_run_costs',
  `select (spent + unknown)::float8 as "usd", held::float8 as "heldUsd", estimated::float8 as "estimatedUsd",
    prompt_tokens as "promptTokens", completion_tokens as "completionTokens", cached_tokens as "cachedTokens"
  from cronwright.cost_totals where tenant = $1 and key = $2`,
);

const bySteps = statement(
  'read_step_costs',
  `select step, sum(usd)::float8 as usd, sum(prompt_tokens)::int8 as "promptTokens",
    sum(completion_tokens)::int8 as "completionTokens", sum(cached_tokens)::int8 as "cachedTokens",
    count(*)::int4 as entries
  from cronwright.costs where whole_id = $1 and tenant = $2 and state <> 'held'
  group by step order by step`,
);

const nothing: RunCosts = {
  ...{ usd: 0, heldUsd: 0, estimatedUsd: null },
  ...{ promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
};

export async function readRunCosts(db: Queryable, tenant: string, runId: string): Promise<RunCosts> {
  return (await db.query<RunCosts>(read, [tenant, `run:${runId}`])).rows[0] ?? nothing;
}

/** What is held and not settled is left out. */
export async function readStepCosts(db: Queryable, tenant: string, runId: string): Promise<StepCosts[]> {
  return (await db.query<StepCosts>(bySteps, [runId, tenant])).rows;
}
