// Whether a request to a model is one: it may come from a step in another language.
import { StepError } from '../step-error.ts';
import type { LlmMessage, LlmRequest } from './llm-request.ts';

const roles: readonly unknown[] = ['system', 'user', 'assistant'];

/** Throws a fatal `InvalidRequest` that names what is wrong. */
export function checkLlmRequest(request: LlmRequest): void {
  const { system, messages, maxTokens, temperature, seed, schema } = request ?? {};
  if (typeof system !== 'string' || system === '') throw invalid('system', system, 'a text');
  const isList = Array.isArray(messages) && messages.length > 0 && messages.every(isMessage);
  if (!isList) throw invalid('messages', messages, 'a list of {role: system | user | assistant, content: text}');
  for (const key of ['provider', 'model', 'template', 'conversation'] as const) {
    if (request[key] !== undefined && typeof request[key] !== 'string') throw invalid(key, request[key], 'a text');
  }
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && maxTokens > 0)) {
    throw invalid('maxTokens', maxTokens, 'a whole number above zero');
  }
  if (temperature !== undefined && !(temperature >= 0 && temperature <= 2)) {
    throw invalid('temperature', temperature, '0 to 2');
  }
  if (seed !== undefined && !Number.isSafeInteger(seed)) throw invalid('seed', seed, 'a whole number');
  const isNamed = schema === undefined || (typeof schema.name === 'string' && typeof schema.schema === 'object');
  if (!isNamed) throw invalid('schema', schema, '{name, schema}');
}

function isMessage(message: LlmMessage | undefined): boolean {
  return roles.includes(message?.role) && typeof message?.content === 'string';
}

function invalid(key: string, got: unknown, expected: string): StepError {
  const shown = (JSON.stringify(got) ?? 'nothing').slice(0, 100);
  return new StepError('fatal', `llm.ask: ${key} is ${shown}, expected ${expected}`, { name: 'InvalidRequest' });
}
