// A timeout that follows how long the work usually takes: a percentile of what was measured, times a factor.

export const percentiles = [50, 90, 95, 99] as const;
export type Percentile = (typeof percentiles)[number];

export interface AdaptiveTimeout {
  percentile: Percentile;
  factor: number;
  /** Bounds of what comes out, in milliseconds. */
  minMs: number;
  maxMs: number;
}

/** How long completed attempts (or runs) took: how many were looked at, and their percentiles in milliseconds. */
export interface DurationSample {
  count: number;
  ms: Readonly<Record<Percentile, number>>;
}

export interface DecidedTimeout {
  ms: number;
  /** `default`: there were too few to go by. */
  from: 'history' | 'default';
  /** Completed ones that were looked at. */
  samples: number;
}

/** Fewer than this say little about a 99th percentile: the timeout is then never below its default. */
const fewSamples = 20;

export const autoExpectation =
  'a percentile and a factor: p99 × 3, p95 x 1.5, p50 * 4 (p50, p90, p95 or p99; factor 1…100)';

/** `p99 × 3`; also `x` and `*`. Undefined where the text is none. */
export function parseAuto(text: string): Pick<AdaptiveTimeout, 'percentile' | 'factor'> | undefined {
  const match = /^p(\d+)\s*[×x*]\s*(\d+(?:\.\d+)?)$/i.exec(text.trim());
  if (!match) return undefined;
  const percentile = percentiles.find((one) => one === Number(match[1]));
  const factor = Number(match[2]);
  if (percentile === undefined || factor < 1 || factor > 100) return undefined;
  return { percentile, factor };
}

export function formatAuto({ percentile, factor }: Pick<AdaptiveTimeout, 'percentile' | 'factor'>): string {
  return `p${percentile} × ${factor}`;
}

/** `defaultMs` is what holds where nothing is known. */
export function decideTimeout(
  rule: AdaptiveTimeout,
  sample: DurationSample | undefined,
  defaultMs: number,
): DecidedTimeout {
  const samples = sample?.count ?? 0;
  const measured = sample === undefined ? 0 : sample.ms[rule.percentile] * rule.factor;
  const within = (ms: number) => Math.round(Math.min(rule.maxMs, Math.max(rule.minMs, ms)));
  if (samples >= fewSamples) return { ms: within(measured), from: 'history', samples };
  return { ms: within(Math.max(defaultMs, measured)), from: 'default', samples };
}
