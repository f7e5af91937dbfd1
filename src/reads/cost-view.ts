// The money and tokens of one run as everyone outside sees them.
import { z } from 'zod';
import { costRatio } from '../domain/budget.ts';

export const runCostView = z
  .object({
    usd: z.number().describe('US dollars: what was spent, and the estimates of what nobody knows'),
    held_usd: z.number().describe('reserved, not settled'),
    unknown_usd: z.number().describe('the part of `usd` that attempts held which ended without a word'),
    estimated_usd: z.number().nullable().describe('what it was expected to cost, the low end; null: nobody said'),
    ratio: z.number().nullable().describe('usd / estimated_usd'),
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    cached_tokens: z.int().describe("of the prompt's: those that the provider had cached"),
    total_tokens: z.int().describe('prompt and completion'),
  })
  .meta({ id: 'RunCost' });

export type RunCostView = z.infer<typeof runCostView>;

/** From `cronwright.runs r`; null where nothing was spent, held or estimated. */
export const runCostColumn = `(select jsonb_build_object('usd', t.spent + t.unknown, 'held_usd', t.held,
      'unknown_usd', t.unknown, 'estimated_usd', t.estimated, 'prompt_tokens', t.prompt_tokens,
      'completion_tokens', t.completion_tokens, 'cached_tokens', t.cached_tokens)
    from cronwright.cost_totals t where t.tenant = r.tenant and t.key = concat('run:', r.id::text)) as cost`;

export type RunCostRow = Omit<RunCostView, 'ratio' | 'total_tokens'> | null;

export function toRunCost(row: RunCostRow): RunCostView {
  const cost = row ?? nothing;
  return {
    ...cost,
    ratio: costRatio(cost.usd, cost.estimated_usd),
    total_tokens: cost.prompt_tokens + cost.completion_tokens,
  };
}

const nothing = {
  ...{ usd: 0, held_usd: 0, unknown_usd: 0, estimated_usd: null },
  ...{ prompt_tokens: 0, completion_tokens: 0, cached_tokens: 0 },
};
