// What tokens cost by the price table of the settings.
import type { LlmPrice } from '../../config/llm-settings.ts';
import type { LlmUsage } from './llm-request.ts';

/** US dollars, to a millionth. Prices are for a million tokens, so tokens times price are millionths. */
export function usdOf({ promptTokens, completionTokens, cachedTokens }: LlmUsage, price: LlmPrice): number {
  const cached = Math.min(cachedTokens, promptTokens);
  const millionths =
    (promptTokens - cached) * price.prompt +
    cached * (price.cached ?? price.prompt) +
    completionTokens * price.completion;
  return Math.round(millionths) / 1e6;
}
