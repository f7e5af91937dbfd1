// What a run is likely to cost and take, from what is known of each of its steps.
import type { StepDefinition } from './pipeline.ts';

/** Where a figure comes from: the step said it, earlier runs show it, or nobody knows. */
export type EstimateSource = 'step' | 'history' | 'none';

export interface StepFigures {
  /** US dollars of one call: the low end; undefined: nobody knows. */
  usd?: number | undefined;
  durationMs?: number | undefined;
}

export interface StepFacts {
  step: Pick<StepDefinition, 'id' | 'uses' | 'needs' | 'foreach' | 'chunk'>;
  /** It will not run, whatever the others come to. */
  isSkipped: boolean;
  /** Of a fan-out: how many; null: not known before the run. */
  items: number | null;
  /** One call, as the step says. */
  said: StepFigures;
  /** The whole step, and one call, in earlier runs. */
  past: { usd: number | undefined; durationMs: number | undefined };
}

export interface StepCostEstimate {
  step: string;
  uses: string;
  items: number | null;
  usd_low: number;
  usd_high: number;
  duration_ms: number | null;
  usd_from: EstimateSource;
  duration_from: EstimateSource;
}

export interface RunCostEstimate {
  usd_low: number;
  /** Twice the low end. */
  usd_high: number;
  duration_ms: number | null;
  steps: StepCostEstimate[];
}

/** `pastRunMs`: the median of earlier runs; undefined: there are none. */
export function estimateOf(facts: readonly StepFacts[], pastRunMs: number | undefined): RunCostEstimate {
  const steps = facts.map(estimateStep);
  const low = roundUsd(steps.reduce((sum, { usd_low }) => sum + usd_low, 0));
  const durationMs = longestPath(facts, steps) ?? pastRunMs ?? null;
  return { usd_low: low, usd_high: roundUsd(2 * low), duration_ms: durationMs, steps };
}

function estimateStep({ step, isSkipped, items, said, past }: StepFacts): StepCostEstimate {
  const shared = { step: step.id, uses: step.uses, items };
  if (isSkipped) {
    return { ...shared, usd_low: 0, usd_high: 0, duration_ms: 0, usd_from: 'step', duration_from: 'step' };
  }
  const calls = step.foreach ? items : 1;
  const ownUsd = calls === null || said.usd === undefined ? undefined : calls * said.usd;
  const usd = roundUsd(ownUsd ?? past.usd ?? 0);
  const oneMs = said.durationMs ?? past.durationMs;
  const rounds = calls === null ? undefined : Math.ceil(calls / (step.foreach?.maxParallel ?? 1));
  const durationMs = oneMs === undefined || rounds === undefined ? null : Math.round(rounds * oneMs);
  return {
    ...shared,
    usd_low: usd,
    usd_high: roundUsd(2 * usd),
    duration_ms: durationMs,
    usd_from: ownUsd !== undefined ? 'step' : past.usd !== undefined ? 'history' : 'none',
    duration_from: durationMs === null ? 'none' : said.durationMs !== undefined ? 'step' : 'history',
  };
}

/** Undefined where a step's time is not known: the sum of the others would be no time of the run. */
function longestPath(facts: readonly StepFacts[], steps: readonly StepCostEstimate[]): number | undefined {
  const ends = new Map<string, number>();
  for (const [i, { step }] of facts.entries()) {
    const own = steps[i]?.duration_ms;
    if (own === null || own === undefined) return undefined;
    ends.set(step.id, own + Math.max(0, ...step.needs.map((need) => ends.get(need) ?? 0)));
  }
  return Math.max(0, ...ends.values());
}

function roundUsd(usd: number): number {
  return Math.round(usd * 1e6) / 1e6;
}
