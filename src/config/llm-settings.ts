// The language models in effect: `llm` of cronwright.yaml, and the variables that choose the default and give base URLs.
import type { Problem } from '../domain/errors.ts';

import type { Environment, SettingSource } from './load-settings.ts';
import type { SettingsShape } from './settings-schema.ts';
import { isHttpUrl } from './tracing-settings.ts';

export interface LlmSettings {
  /** A name of `providers`, or `template`. */
  default: string;
  providers: Readonly<Record<string, LlmProvider>>;
  keepAnswersMs: number;
  /** US dollars. */
  estimatePerItem: number;
}

export interface LlmProvider {
  /** Absent: the variable `baseUrlFrom` is not set. */
  baseUrl?: string;
  baseUrlFrom?: string;
  /** Name of a secret, or `none`. */
  apiKey?: string;
  /** By tenant, names of secrets. */
  tenantApiKeys: Readonly<Record<string, string>>;
  model: string;
  maxTokens: number;
  timeoutMs: number;
  headers: Readonly<Record<string, string | { secret: string }>>;
  stream: boolean;
  json: 'schema' | 'object' | 'text';
  maxTokensField: 'max_tokens' | 'max_completion_tokens';
  omit: readonly ('temperature' | 'seed' | 'stream_options' | 'max_tokens')[];
  /** By model, US dollars a million tokens. */
  prices: Readonly<Record<string, LlmPrice>>;
}

export interface LlmPrice {
  prompt: number;
  cached?: number | undefined;
  completion: number;
}

/** Beats `llm.default` of the file. */
export const llmDefaultVariable = 'CRONWRIGHT_LLM_DEFAULT';
export const noModel = 'template';

export function llmSettings(
  { llm }: Pick<SettingsShape, 'llm'>,
  env: Environment,
  sources: Record<string, SettingSource>,
): LlmSettings {
  const said = env[llmDefaultVariable];
  if (said) sources['llm.default'] = 'environment';
  const [first = noModel] = Object.keys(llm.providers);
  return {
    default: said || (llm.default ?? first),
    providers: Object.fromEntries(
      Object.entries(llm.providers).map(([name, provider]) => [name, buildProvider(provider, env)]),
    ),
    keepAnswersMs: llm.keep_answers,
    estimatePerItem: llm.estimate_per_item,
  };
}

/** What the schema cannot see: names that do not fit together, and variables. */
export function llmProblems(
  { llm }: Pick<SettingsShape, 'llm'>,
  env: Environment,
): (Problem & { keyPath?: readonly string[] })[] {
  const problems: (Problem & { keyPath?: readonly string[] })[] = [];
  const names = Object.keys(llm.providers);
  const expected = `one of: ${[...names, noModel].join(', ')}`;
  const isKnown = (name: string) => name === noModel || names.includes(name);
  const said = env[llmDefaultVariable];
  if (said && !isKnown(said)) {
    problems.push({ path: llmDefaultVariable, message: 'there is no such provider', got: said, expected });
  }
  if (llm.default !== undefined && !isKnown(llm.default)) {
    const keyPath = ['llm', 'default'];
    problems.push({ keyPath, message: 'there is no such provider', got: llm.default, expected });
  }
  if (llm.default === undefined && !said && names.length > 1) {
    const keyPath = ['llm', 'providers'];
    problems.push({ keyPath, message: 'there are several providers and no `llm.default`', expected });
  }
  for (const [name, { base_url: given }] of Object.entries(llm.providers)) {
    const value = typeof given === 'string' ? given : env[given.env];
    if (!value || isPlainHttpUrl(value)) continue;
    const keyPath = ['llm', 'providers', name, 'base_url'];
    const subject = typeof given === 'string' ? '' : `the variable ${given.env} is `;
    const message = `${subject}not an HTTP URL without user and password`;
    problems.push({ keyPath, message, expected: 'https://api.example.org/v1' });
  }
  return problems;
}

function isPlainHttpUrl(text: string): boolean {
  if (!isHttpUrl(text)) return false;
  const { username, password } = new URL(text);
  return username === '' && password === '';
}

function buildProvider(shape: SettingsShape['llm']['providers'][string], env: Environment): LlmProvider {
  const { base_url: given, api_key: apiKey } = shape;
  const baseUrl = typeof given === 'string' ? given : env[given.env] || undefined;
  return {
    ...(baseUrl === undefined ? {} : { baseUrl }),
    ...(typeof given === 'string' ? {} : { baseUrlFrom: given.env }),
    ...(apiKey === undefined ? {} : { apiKey }),
    tenantApiKeys: shape.tenant_api_keys,
    model: shape.model,
    maxTokens: shape.max_tokens,
    timeoutMs: shape.timeout,
    headers: shape.headers,
    stream: shape.stream,
    json: shape.json,
    maxTokensField: shape.max_tokens_field ?? usualMaxTokensField(baseUrl),
    omit: shape.omit,
    prices: shape.prices,
  };
}

/** OpenAI's newer models refuse the older name, which is the only one that most others know. */
function usualMaxTokensField(baseUrl: string | undefined): LlmProvider['maxTokensField'] {
  const isOpenAi = baseUrl !== undefined && URL.canParse(baseUrl) && new URL(baseUrl).hostname === 'api.openai.com';
  return isOpenAi ? 'max_completion_tokens' : 'max_tokens';
}
