// The hash of all that decides a model's answer: equal requests have equal hashes, whoever asks.
import { createHash } from 'node:crypto';
import type { Json } from '../../base/json.ts';
import type { LlmMessage } from './llm-request.ts';

export interface DecidingParts {
  provider: string;
  /** Another address is another model, whatever its name. */
  baseUrl: string;
  model: string;
  messages: readonly LlmMessage[];
  schema: { name: string; schema: { [key: string]: Json } } | undefined;
  /** How JSON is asked for. */
  json: string;
  maxTokens: number;
  temperature: number;
  seed: number;
}

/** SHA-256, hex. The order of keys in a schema does not count. */
export function promptHash(parts: DecidingParts): string {
  const { messages, schema, ...rest } = parts;
  const texts = messages.map(({ role, content }) => [role, content]);
  return createHash('sha256')
    .update(JSON.stringify(sorted({ ...rest, texts, schema: schema ?? null })))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([key, part]) => [key, sorted(part)]));
}
