// What a run is likely to cost and take, from what is known of its steps.
import { describe, expect, it } from 'vitest';
import { estimateOf, type StepFacts } from '../../../src/domain/cost-estimate.ts';

const facts = (id: string, needs: string[], more: Partial<StepFacts> = {}): StepFacts => ({
  step: { id, uses: 'test.do', needs },
  isSkipped: false,
  items: null,
  said: {},
  past: { usd: undefined, durationMs: undefined },
  ...more,
});
const foreach = { items: [], maxParallel: 2, onItemError: 'continue' } as const;

describe('the estimate of a run', () => {
  it('adds up what steps say, each item for itself, and goes to twice that', () => {
    const each = facts('each', [], {
      step: { id: 'each', uses: 'test.do', needs: [], foreach },
      ...{ items: 3, said: { usd: 0.05, durationMs: 1_000 } },
    });
    expect(estimateOf([each], undefined)).toMatchObject({
      ...{ usd_low: 0.15, usd_high: 0.3, duration_ms: 2_000 },
      steps: [{ items: 3, usd_low: 0.15, usd_from: 'step', duration_ms: 2_000 }],
    });
  });

  it('takes earlier runs for what a step does not know, and nothing for what nobody knows', () => {
    const past = facts('past', [], { past: { usd: 0.2, durationMs: 50 } });
    const none = facts('none', ['past']);
    expect(estimateOf([past, none], 400)).toMatchObject({
      ...{ usd_low: 0.2, duration_ms: 400 },
      steps: [
        { usd_from: 'history', duration_from: 'history' },
        { usd_low: 0, usd_from: 'none', duration_ms: null },
      ],
    });
  });

  it('does not guess the items of a list that is made by the run', () => {
    const each = facts('each', [], {
      step: { id: 'each', uses: 'test.do', needs: [], foreach },
      ...{ said: { usd: 0.05 }, past: { usd: 0.4, durationMs: 10 } },
    });
    expect(estimateOf([each], undefined)).toMatchObject({ usd_low: 0.4, duration_ms: null });
  });

  it('takes as long as the longest way through the steps', () => {
    const takes = (durationMs: number) => ({ said: { durationMs } });
    const steps = [
      facts('a', [], takes(100)),
      facts('b', ['a'], takes(500)),
      facts('c', ['a'], takes(200)),
      facts('d', ['b', 'c'], takes(50)),
      facts('off', ['d'], { isSkipped: true }),
    ];
    expect(estimateOf(steps, undefined).duration_ms).toBe(650);
  });
});
