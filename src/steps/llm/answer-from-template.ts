// The provider `template`: answers with the text that the step made from its input alone, at no cost.
import { createHash } from 'node:crypto';
import type { Json } from '../../base/json.ts';
import { StepError } from '../step-error.ts';
import type { LlmAnswer, LlmRequest } from './llm-request.ts';
import { checkSchema, readJsonAnswer } from './read-json-answer.ts';

/** The same, and a fatal `InvalidTemplate` where the template is not what the request's schema wants. */
export async function answerFromCheckedTemplate(request: LlmRequest): Promise<LlmAnswer> {
  const answer = answerFromTemplate(request);
  if (request.schema === undefined) return answer;
  checkSchema(request.schema.schema);
  const read = await readJsonAnswer(answer.text, request.schema.schema);
  if (read.ok) return { ...answer, data: read.data };
  throw new StepError('fatal', `the template of this step does not fit its schema: ${read.problem}`, {
    name: 'InvalidTemplate',
  });
}

/** Throws a fatal `NoTemplate` where the request has none, and `InvalidTemplate` where it wants JSON and has none. */
export function answerFromTemplate(request: LlmRequest): LlmAnswer {
  const { template, schema } = request;
  if (template === undefined) {
    const text = 'this step needs a language model: no provider is configured under `llm.providers` in cronwright.yaml';
    throw new StepError('fatal', text, { name: 'NoTemplate' });
  }
  return {
    text: template,
    data: schema === undefined ? null : readJson(template),
    provider: 'template',
    model: 'template',
    usage: { promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
    usd: 0,
    cached: false,
    promptHash: createHash('sha256').update(template).digest('hex'),
  };
}

function readJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw new StepError('fatal', 'the template of this step is not JSON', { name: 'InvalidTemplate', cause });
  }
}
