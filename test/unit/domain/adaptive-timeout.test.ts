// The grammar of `timeout: {auto: …}` and what comes out of it.
import { describe, expect, it } from 'vitest';
import { type AdaptiveTimeout, decideTimeout, formatAuto, parseAuto } from '../../../src/domain/adaptive-timeout.ts';

describe('the rule of a timeout that adapts', () => {
  it.each([
    ['p99 × 3', { percentile: 99, factor: 3 }],
    ['p95x1.5', { percentile: 95, factor: 1.5 }],
    ['P50 * 4', { percentile: 50, factor: 4 }],
    [' p90 X 100 ', { percentile: 90, factor: 100 }],
  ])('reads %s', (text, rule) => {
    expect(parseAuto(text)).toEqual(rule);
  });

  it.each([
    'p98 × 3',
    '3 × p99',
    'p99',
    'p99 × 0.5',
    'p99 × 101',
    'p99 × -1',
    'p99 / 2',
    '',
    'p99 × 3 s',
  ])('refuses %j', (text) => {
    expect(parseAuto(text)).toBeUndefined();
  });

  it('is written in one form', () => {
    expect(formatAuto({ percentile: 99, factor: 3 })).toBe('p99 × 3');
  });
});

describe('a timeout that adapts', () => {
  const rule: AdaptiveTimeout = { percentile: 99, factor: 3, minMs: 1_000, maxMs: 100_000 };
  const sample = (count: number, p99: number) => ({ count, ms: { 50: 1, 90: 2, 95: 3, 99: p99 } });

  it.each([
    ['follows the past', sample(20, 5_000), { ms: 15_000, from: 'history', samples: 20 }],
    ['is never below its least', sample(20, 10), { ms: 1_000, from: 'history', samples: 20 }],
    ['is never above its most', sample(20, 90_000), { ms: 100_000, from: 'history', samples: 20 }],
    ['is not below the default while little is known', sample(19, 10), { ms: 60_000, from: 'default', samples: 19 }],
    ['grows also while little is known', sample(3, 30_000), { ms: 90_000, from: 'default', samples: 3 }],
    ['is the default where nothing is known', undefined, { ms: 60_000, from: 'default', samples: 0 }],
  ] as const)('%s', (_, past, decided) => {
    expect(decideTimeout(rule, past, 60_000)).toEqual(decided);
  });

  it('takes the percentile it names', () => {
    expect(decideTimeout({ ...rule, percentile: 95, minMs: 0 }, sample(50, 5_000), 0).ms).toBe(9);
  });
});
