// Step cost.estimate: what so many items will probably cost, shown as a range, and kept beside what the run does cost.
import { defineStep, showEstimate } from 'cronwright/plugin';
import { z } from 'zod';

const usualUsd = 0.05;

const input = z.strictObject({
  items: z.union([z.array(z.unknown()), z.int().min(0).max(1_000_000_000)]).describe('A list, or how many there are.'),
  per_item_usd: z
    .number()
    .min(0)
    .max(1_000_000)
    .optional()
    .describe('US dollars an item. Default: llm.estimate_per_item of the settings (0.05).'),
  label: z.string().min(1).max(200).prefault('items').describe('What the items are, for the log.'),
});

export const estimate = defineStep({
  description: 'Estimates what so many items will cost; the run shows it beside what it does cost.',
  input,
  output: z.object({
    items: z.int().describe('How many.'),
    per_item_usd: z.number(),
    low: z.number().describe('US dollars.'),
    high: z.number().describe('Twice the low end.'),
    text: z.string().describe('The range for people: "$0.15 - $0.30".'),
  }),
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { items: given, per_item_usd: usd, label }) {
    const items = typeof given === 'number' ? given : given.length;
    const each = usd ?? ctx.host.estimatePerItemUsd ?? usualUsd;
    const low = roundUsd(items * each);
    await ctx.cost.expect(low);
    const text = showEstimate(low);
    ctx.log.info(`${items} ${label}: ${text}`);
    return { items, per_item_usd: each, low, high: roundUsd(2 * low), text };
  },
});

function roundUsd(usd: number): number {
  return Math.round(usd * 1e6) / 1e6;
}
