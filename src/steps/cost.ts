// Money and units that a step spends: the part of the plugin API behind `ctx.cost`.

export interface CostEntry {
  /** What it was spent on, for people and sums: `llm:openai/gpt-5`, `api:maps`. At most 200 characters. */
  what: string;
  /** US dollars, not negative; at most 6 digits behind the point count. */
  usd: number;
  /** Whole numbers by unit: `{ prompt_tokens: 4600, completion_tokens: 1900 }`. */
  units?: Readonly<Record<string, number>>;
}

/** What a step expects to need, before it runs. */
export interface StepEstimate {
  durationMs?: number;
  /** US dollars, the low end; people are shown up to twice that. */
  usd?: number;
}

/** What a run has cost until now, as the ledger has it. */
export interface CostsSoFar {
  /** US dollars that the run was expected to cost, the low end; null where nobody said. */
  estimatedUsd: number | null;
  /** US dollars. What attempts held that ended without a word counts as spent. */
  actualUsd: number;
  /** US dollars that are held and not settled. */
  heldUsd: number;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  byStep: readonly {
    step: string;
    usd: number;
    promptTokens: number;
    completionTokens: number;
    cachedTokens: number;
  }[];
}
