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
