// Who spends: one attempt of a step, as the ledger and the threads of its run know it.
export interface CostPlace {
  tenant: string;
  pipeline: string;
  runId: string;
  /** The run that it counts for: the parent's id, where the run carries out a part of it; else the run's own. */
  wholeId: string;
  step: string;
  /** -1: the step itself. */
  item: number;
  attempt: number;
  token: number;
  idempotencyKey: string;
}

export interface Spent {
  /** At most 200 characters. */
  what: string;
  /** US dollars. */
  usd: number;
  units?: Readonly<Record<string, number>> | undefined;
  llm?: SpentOnModel | undefined;
}

export interface SpentOnModel {
  provider: string;
  model: string;
  promptHash: string;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
}
