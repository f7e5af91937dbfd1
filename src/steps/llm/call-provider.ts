// One call of an OpenAI-compatible API: what was answered, what it took, or why there is no answer; never more than one request.
import type { OpenAI } from 'openai';
import type { ChatCompletionChunk, ChatCompletionCreateParamsBase } from 'openai/resources/chat/completions';
import type { LlmProvider } from '../../config/llm-settings.ts';
import { SecretMask } from '../secret-mask.ts';
import type { StepError } from '../step-error.ts';
import { loadTokenCounter } from './count-tokens.ts';
import type { LlmMessage, LlmRequest, LlmUsage } from './llm-request.ts';
import { cutAnswer, endedFor, failureOf, timedOut, wentOut } from './provider-failure.ts';

export interface ProviderCall {
  /** What the provider is called in the settings. */
  name: string;
  provider: LlmProvider & { baseUrl: string };
  /** Undefined: it needs none. */
  key: string | undefined;
  headers: Readonly<Record<string, string>>;
  model: string;
  messages: readonly LlmMessage[];
  schema: LlmRequest['schema'];
  maxTokens: number;
  temperature: number;
  seed: number;
  /** What runs share that are limited together. */
  rateLimitKey: string;
  signal: AbortSignal;
  /** Characters of the answer so far; called often. */
  onText: (characters: number) => void;
}

export interface CalledUsage extends LlmUsage {
  /** Counted here: the provider said nothing. */
  isCounted: boolean;
}

/** A failure, too, may have been paid for. */
export type CallResult =
  | { ok: true; text: string; usage: CalledUsage }
  | {
      ok: false;
      error: StepError;
      usage?: CalledUsage;
      /** The caller gave up; `error` is the reason. */
      isAborted?: true;
      /** It went out, and nothing came back: nobody knows whether it was paid for. */
      isUnanswered?: true;
    };

interface Received {
  /** An answer had begun: it is charged for. */
  hasBegun: boolean;
  text: string;
  refusal: string;
  finish: string | undefined;
  usage: LlmUsage | undefined;
}

export async function callProvider(call: ProviderCall): Promise<CallResult> {
  const { provider, signal } = call;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), provider.timeoutMs);
  const received: Received = { hasBegun: false, text: '', refusal: '', finish: undefined, usage: undefined };
  const mask = new SecretMask([call.key ?? '', ...Object.values(call.headers)]);
  let thrown: unknown;
  try {
    const client = await createClient(call);
    const both = AbortSignal.any([signal, timeout.signal]);
    await receive(client, call, both, received);
  } catch (error) {
    thrown = error;
  } finally {
    clearTimeout(timer);
  }
  const usage = await usageOf(call, received);
  // An aborted stream of the client's library ends as if it were complete.
  if (signal.aborted) return { ...failed(signal.reason as StepError, usage, true), isAborted: true };
  if (timeout.signal.aborted) return failed(timedOut(call), usage, true);
  if (thrown !== undefined) {
    return failed(await failureOf(thrown, call, mask, received.hasBegun), usage, wentOut(thrown));
  }
  if (received.finish === undefined) return failed(cutAnswer(call), usage);
  const ended = endedFor(received.finish, mask.text(received.refusal), call);
  if (ended !== undefined || usage === undefined) return failed(ended ?? cutAnswer(call), usage);
  // Some servers repeat what they were sent.
  return { ok: true, text: mask.text(received.text), usage };
}

function failed(error: StepError, usage: CalledUsage | undefined, isOut = false): CallResult & { ok: false } {
  if (usage !== undefined) return { ok: false, error, usage };
  return { ok: false, error, ...(isOut ? { isUnanswered: true } : {}) };
}

async function receive(client: OpenAI, call: ProviderCall, signal: AbortSignal, received: Received): Promise<void> {
  const body = requestBody(call);
  const options = { signal };
  if (!call.provider.stream) {
    const answer = await client.chat.completions.create({ ...body, stream: false }, options);
    const [choice] = answer.choices;
    received.hasBegun = true;
    received.text = choice?.message.content ?? '';
    received.refusal = choice?.message.refusal ?? '';
    received.finish = choice?.finish_reason ?? undefined;
    received.usage = readUsage(answer.usage);
    return;
  }
  const usage = call.provider.omit.includes('stream_options') ? {} : { stream_options: { include_usage: true } };
  const stream = await client.chat.completions.create({ ...body, ...usage, stream: true }, options);
  received.hasBegun = true;
  // Nothing is awaited in between: what has come before a cut is taken before the cut is noticed.
  for await (const chunk of stream) take(chunk, received, call);
}

function take(chunk: ChatCompletionChunk, received: Received, call: ProviderCall): void {
  received.usage = readUsage(chunk.usage) ?? received.usage;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  received.refusal += choice.delta?.refusal ?? '';
  received.finish = choice.finish_reason ?? received.finish;
  const more = choice.delta?.content ?? '';
  if (more === '') return;
  received.text += more;
  call.onText(received.text.length);
}

function requestBody(call: ProviderCall): ChatCompletionCreateParamsBase {
  const { provider, model, messages, maxTokens, temperature, seed, schema } = call;
  const omits = (field: LlmProvider['omit'][number]) => provider.omit.includes(field);
  return {
    model,
    messages: messages.map(({ role, content }) => ({ role, content })),
    ...(omits('max_tokens') ? {} : { [provider.maxTokensField]: maxTokens }),
    ...(omits('temperature') ? {} : { temperature }),
    ...(omits('seed') ? {} : { seed }),
    ...(schema === undefined ? {} : responseFormat(schema, provider.json)),
  };
}

function responseFormat(
  { name, schema }: NonNullable<LlmRequest['schema']>,
  json: LlmProvider['json'],
): Pick<ChatCompletionCreateParamsBase, 'response_format'> {
  if (json === 'text') return {};
  if (json === 'object') return { response_format: { type: 'json_object' } };
  const allowed = name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64) || 'answer';
  return { response_format: { type: 'json_schema', json_schema: { name: allowed, schema } } };
}

async function createClient({ provider, key, headers }: ProviderCall): Promise<OpenAI> {
  // Loaded at the first call: most nodes ask no model.
  const [{ OpenAI }, fetch] = await Promise.all([import('openai'), loadFetch()]);
  return new OpenAI({
    baseURL: provider.baseUrl,
    apiKey: key ?? 'none',
    // Its own retries would hide waits, and its own variables would change what the settings say.
    maxRetries: 0,
    organization: null,
    project: null,
    webhookSecret: null,
    adminAPIKey: null,
    logLevel: 'off',
    timeout: longestTimeoutMs,
    fetch,
    // A key goes to no other place than the settings name.
    fetchOptions: { redirect: 'manual' },
    defaultHeaders: { ...(key === undefined ? { Authorization: null } : {}), ...headers },
  });
}

/** Of timers; the call's own clock is quicker. */
const longestTimeoutMs = 2_147_483_647;

let loaded: Promise<typeof fetch> | undefined;

/** Without the clocks of the standard's fetch, which would end what the settings allow. */
function loadFetch(): Promise<typeof fetch> {
  loaded ??= import('undici').then(({ fetch, Agent }) => {
    const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
    const call = (url: string, init: object) => fetch(url, { ...init, dispatcher });
    return call as unknown as typeof globalThis.fetch;
  });
  return loaded;
}

type ApiUsage = NonNullable<ChatCompletionChunk['usage']>;

function readUsage(usage: ApiUsage | null | undefined): LlmUsage | undefined {
  if (!usage || typeof usage.prompt_tokens !== 'number') return undefined;
  return {
    promptTokens: count(usage.prompt_tokens),
    completionTokens: count(usage.completion_tokens),
    cachedTokens: count(usage.prompt_tokens_details?.cached_tokens),
  };
}

function count(value: unknown): number {
  return Number.isSafeInteger(value) && Number(value) > 0 ? Number(value) : 0;
}

/** What the provider said; else counted, as far as the answer came. Undefined where none had begun. */
async function usageOf(call: ProviderCall, received: Received): Promise<CalledUsage | undefined> {
  if (received.usage) return { ...received.usage, isCounted: false };
  if (!received.hasBegun) return undefined;
  const tokens = await loadTokenCounter();
  return {
    promptTokens: tokens.ofMessages(call.messages),
    completionTokens: tokens.ofText(received.text),
    cachedTokens: 0,
    isCounted: true,
  };
}
