// Plugin cost: the range of an estimate, and the report beside it.
import { describe, expect, it } from 'vitest';
import cost from '../../plugins/cost/index.ts';
import { definePlugin, defineStep } from '../../src/steps/api.ts';
import { testStep } from '../../src/steps/testing/test-step.ts';

describe('cost.estimate', () => {
  it('shows what so many items will cost as a range', async () => {
    const { output, logs } = await testStep(cost, {
      step: 'estimate',
      input: { items: ['a', 'b', 'c'], label: 'objects' },
    });
    expect(output).toEqual({ items: 3, per_item_usd: 0.05, low: 0.15, high: 0.3, text: '$0.15 - $0.30' });
    expect(logs.map(({ message }) => message)).toContain('3 objects: $0.15 - $0.30');
  });

  it('takes a count and a price', async () => {
    const { output } = await testStep(cost, { step: 'estimate', input: { items: 20, per_item_usd: 0.0015 } });
    expect(output).toMatchObject({ low: 0.03, high: 0.06, text: '$0.03 - $0.06' });
  });

  it.each([
    [{ items: -1 }],
    [{ items: 1.5 }],
    [{ items: 'three' }],
    [{ items: 1, per_item_usd: -1 }],
  ])('refuses %j', async (input) => {
    expect((await testStep(cost, { step: 'estimate', input })).error?.class).toBe('fatal');
  });
});

describe('cost.report', () => {
  const spends = definePlugin({
    ...cost,
    name: 'spends',
    steps: {
      report: defineStep({
        ...(cost.steps.report as Parameters<typeof defineStep>[0]),
        async run(ctx, input) {
          await ctx.cost.expect(0.15);
          const units = { prompt_tokens: 13_800, completion_tokens: 5_700, cached_tokens: 0 };
          await ctx.cost.add({ what: 'llm', usd: 0.1623, units });
          return cost.steps.report?.run(ctx, input);
        },
      }),
    },
  });

  it('tells what was spent beside what was expected', async () => {
    const { output } = await testStep<Record<string, unknown>>(spends, { step: 'report', input: {} });
    expect(output).toMatchObject({
      ...{ estimated: 0.15, actual: 0.1623, ratio: 1.082, total_tokens: 19_500 },
      text: '$0.1623 of $0.15 estimated (ratio 1.082), 19500 tokens (13800 prompt, 5700 completion)',
      by_step: [{ usd: 0.1623, prompt_tokens: 13_800, completion_tokens: 5_700 }],
    });
  });

  it('of a run that has spent nothing and was not estimated is nothing', async () => {
    const { output } = await testStep(cost, { step: 'report', input: {} });
    expect(output).toMatchObject({ estimated: null, actual: 0, ratio: null, by_step: [] });
  });
});
