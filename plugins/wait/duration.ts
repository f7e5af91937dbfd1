// Durations as people write them: 90s, 1h30m, or milliseconds.
import { z } from 'zod';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const durationPattern = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;

export const durationText = z
  .union([z.string().regex(durationPattern, 'expected a duration with units, such as 90s or 1h30m'), z.number()])
  .describe('A duration with units (ms, s, m, h, d), or milliseconds.');

export function millisecondsOf(duration: string | number): number {
  if (typeof duration === 'number') return duration;
  return [...duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)].reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN),
    0,
  );
}
