// Step cost.report: what the run has cost until now, beside what it was expected to cost.
import { costRatio, defineStep, showUsd } from 'cronwright/plugin';
import { z } from 'zod';

const tokens = {
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  cached_tokens: z.int().describe("Of the prompt's: those that the provider had cached."),
  total_tokens: z.int().describe('Prompt and completion.'),
};

export const report = defineStep({
  description: 'Reports what the run has cost until now, beside its estimate.',
  input: z.strictObject({
    estimated_usd: z.number().min(0).optional().describe('Instead of the estimate that the run has.'),
  }),
  output: z.object({
    estimated: z.number().nullable().describe('US dollars; null where nobody has estimated.'),
    actual: z.number().describe('US dollars.'),
    ratio: z.number().nullable().describe('actual / estimated, to three digits; null without an estimate.'),
    ...tokens,
    by_step: z.array(z.object({ step: z.string(), usd: z.number(), ...tokens })),
    text: z.string().describe('One line for people.'),
  }),
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    const soFar = await ctx.cost.soFar();
    const estimated = given.estimated_usd ?? soFar.estimatedUsd;
    const actual = soFar.actualUsd;
    const ratio = costRatio(actual, estimated);
    const total = tokensOf(soFar);
    const expected = estimated === null ? '' : ` of ${showUsd(estimated)} estimated`;
    const text =
      `${showUsd(actual)}${expected}${ratio === null ? '' : ` (ratio ${ratio})`}, ${total.total_tokens} tokens ` +
      `(${total.prompt_tokens} prompt, ${total.completion_tokens} completion)`;
    ctx.log.info(text);
    const bySteps = soFar.byStep.map((one) => ({ step: one.step, usd: one.usd, ...tokensOf(one) }));
    return { estimated, actual, ratio, ...total, by_step: bySteps, text };
  },
});

function tokensOf(counted: { promptTokens: number; completionTokens: number; cachedTokens: number }) {
  return {
    prompt_tokens: counted.promptTokens,
    completion_tokens: counted.completionTokens,
    cached_tokens: counted.cachedTokens,
    total_tokens: counted.promptTokens + counted.completionTokens,
  };
}
