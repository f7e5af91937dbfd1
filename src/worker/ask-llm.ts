// Asks a language model for a step: answers that are there already, budget, call, and then ledger, answer and thread as one.
import type { Clock } from '../base/clock.ts';
import { sleepUnlessAborted } from '../base/service.ts';
import type { LlmSettings } from '../config/llm-settings.ts';
import { workerHoldMs } from '../domain/retry-policy.ts';
import type { EventBus } from '../observe/events.ts';
import { type Json, type LlmAnswer, type LlmMessage, type LlmRequest, StepError } from '../steps/api.ts';
import type { AskPeople, Attempt, AttemptServices } from '../steps/attempt-services.ts';
import { answerFromCheckedTemplate } from '../steps/llm/answer-from-template.ts';
import { type CalledUsage, type CallResult, callProvider } from '../steps/llm/call-provider.ts';
import { checkLlmRequest } from '../steps/llm/check-llm-request.ts';
import {
  type ChosenProvider,
  chooseProvider,
  messagesOf,
  readHeaders,
  readKey,
  secretOfKey,
} from '../steps/llm/choose-provider.ts';
import { guessPromptTokens } from '../steps/llm/count-tokens.ts';
import { usdOf } from '../steps/llm/llm-price.ts';
import { promptHash } from '../steps/llm/prompt-hash.ts';
import { checkSchema, readJsonAnswer } from '../steps/llm/read-json-answer.ts';
import type { Secrets } from '../store/secrets.ts';
import { notCalled, type SharedRateLimits } from './shared-rate-limits.ts';
import type { EndedCall, Spending } from './spend.ts';

export interface AskLlmDeps {
  settings: LlmSettings;
  clock: Clock;
  events: EventBus;
  secrets: Secrets;
  rateLimits: SharedRateLimits;
  /** 0…1, for jitter. */
  random: () => number;
  spending: Spending;
  progress: AttemptServices['progress'];
  log: AttemptServices['log'];
}

/** One question on its way. */
interface Asked {
  attempt: Attempt;
  request: LlmRequest;
  chosen: ChosenProvider;
  messages: readonly LlmMessage[];
  maxTokens: number;
  temperature: number;
  seed: number;
  hash: string;
  /** The thread's words that this question adds; undefined: it belongs to no thread. */
  exchange: ((answer: string) => NonNullable<EndedCall['exchange']>) | undefined;
  signal: AbortSignal;
}

/** How often a step hears how far its answer is, in milliseconds. */
const progressEveryMs = 100;

export function createAskLlm(deps: AskLlmDeps): AttemptServices['askLlm'] {
  /** Questions that attempts have put to each thread, to tell one call of an attempt from the next. */
  const spoken = new WeakMap<Attempt, Map<string, number>>();
  const unpriced = new Set<string>();

  return async (attempt, request, ask, signal) => {
    checkLlmRequest(request);
    const chosen = chooseProvider(deps.settings, request);
    // Before anything is awaited: questions that are put at once are told apart by their order alone.
    const exchange = attempt.dryRun ? undefined : exchangeOf(attempt, request);
    if (chosen === undefined || attempt.dryRun) return answerWithout(attempt, request, chosen, exchange);
    if (request.schema !== undefined) checkSchema(request.schema.schema);
    const secret = secretOfKey(chosen, attempt.tenant);
    const find = (name: string) => deps.secrets.get(name);
    const key = await readKey(chosen, attempt.tenant, secret, find);
    const headers = await readHeaders(chosen, find);
    const asked = { ...(await prepare(attempt, request, chosen, signal)), exchange };
    const kept = await answerKept(asked);
    if (kept !== undefined) return kept;
    const rateLimitKey = secret === undefined ? `llm:${chosen.name}` : `llm:${chosen.name}/${secret}`;
    await untilQuietIsOver(attempt, rateLimitKey, signal);
    const reservationId = await reserve(asked, ask);
    const startedAt = deps.clock.monotonic();
    const result = await callProvider({
      ...asked,
      ...chosen,
      key,
      headers,
      rateLimitKey,
      schema: request.schema,
      onText: progressOf(asked),
    });
    const answer = await settle(asked, reservationId, result);
    tell(asked, answer, deps.clock.monotonic() - startedAt);
    if (answer instanceof Error) throw answer;
    return answer;
  };

  /** No model is asked: there is none, or nothing may be spent. */
  async function answerWithout(
    attempt: Attempt,
    request: LlmRequest,
    chosen: ChosenProvider | undefined,
    exchange: Asked['exchange'],
  ): Promise<LlmAnswer> {
    if (chosen !== undefined && request.template === undefined) {
      const message = `dry run: ${chosen.model} of ${chosen.name} would be asked, and there is no template to go on with`;
      throw new StepError('fatal', message, { name: 'NoTemplate' });
    }
    const answer = await answerFromCheckedTemplate(request);
    if (exchange !== undefined) await deps.spending.settleCall(attempt, { exchange: exchange(answer.text) });
    return answer;
  }

  async function prepare(
    attempt: Attempt,
    request: LlmRequest,
    chosen: ChosenProvider,
    signal: AbortSignal,
  ): Promise<Omit<Asked, 'exchange'>> {
    const thread = request.conversation;
    const said = thread === undefined ? [] : await deps.spending.loadConversation(attempt, thread);
    const messages = messagesOf(chosen, request, said);
    const { maxTokens = chosen.provider.maxTokens, temperature = 0, seed = 1 } = request;
    const { baseUrl, json } = chosen.provider;
    const decides = { provider: chosen.name, baseUrl, model: chosen.model, messages, schema: request.schema, json };
    const hash = promptHash({ ...decides, maxTokens, temperature, seed });
    return { attempt, request, chosen, messages, maxTokens, temperature, seed, hash, signal };
  }

  function exchangeOf(attempt: Attempt, { conversation: thread, messages }: LlmRequest): Asked['exchange'] {
    if (thread === undefined) return undefined;
    const counts = spoken.get(attempt) ?? new Map<string, number>();
    const n = (counts.get(thread) ?? 0) + 1;
    spoken.set(attempt, counts.set(thread, n));
    const key = `${attempt.idempotencyKey}/llm/${n}`;
    return (answer) => ({ thread, key, messages: [...messages, { role: 'assistant', content: answer }] });
  }

  async function answerKept({ attempt, request, hash, exchange }: Asked): Promise<LlmAnswer | undefined> {
    if (request.cache === false) return undefined;
    const kept = await deps.spending.findResponse(attempt, hash);
    if (kept === undefined) return undefined;
    // The attempt that made the answer said it in the same transaction; another one says it now.
    if (exchange !== undefined) await deps.spending.settleCall(attempt, { exchange: exchange(kept.text) });
    const { text, data, provider, model, promptTokens, completionTokens, cachedTokens } = kept;
    const usage = { promptTokens, completionTokens, cachedTokens };
    deps.events.emit('llm.called', { ...aboutAttempt(attempt), provider, model, result: 'cached', durationMs: 0 });
    return { text, data, provider, model, usage, usd: 0, cached: true, promptHash: hash };
  }

  /** A short quiet is waited for here; a longer one gives the worker back. */
  async function untilQuietIsOver({ tenant }: Attempt, key: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const limit = await deps.rateLimits.find(tenant, key);
      if (limit === undefined) return;
      const { name, message, retryAfterMs = 0 } = notCalled(limit, deps);
      // Without the key: whoever was not called has not been told anything new.
      if (retryAfterMs > workerHoldMs) throw new StepError('rate_limited', message, { name, retryAfterMs });
      await sleepUnlessAborted(retryAfterMs, signal);
      signal.throwIfAborted();
    }
  }

  async function reserve(
    { attempt, chosen, messages, maxTokens, hash }: Asked,
    ask: AskPeople,
  ): Promise<string | undefined> {
    const { name, provider, model } = chosen;
    const price = Object.hasOwn(provider.prices, model) ? provider.prices[model] : undefined;
    if (price === undefined) {
      sayUnpriced(attempt, name, model);
      return undefined;
    }
    const most = { promptTokens: guessPromptTokens(messages), completionTokens: maxTokens, cachedTokens: 0 };
    const entry = { what: whatOf(chosen), usd: usdOf(most, price) };
    const held = await deps.spending.reserve(attempt, entry, ask, { provider: name, model, promptHash: hash });
    return held.id;
  }

  function sayUnpriced(attempt: Attempt, provider: string, model: string): void {
    const which = `${provider}/${model}`;
    if (unpriced.has(which) || unpriced.size >= mostUnpriced) return;
    unpriced.add(which);
    deps.events.emit('llm.unpriced', { ...aboutAttempt(attempt), provider, model });
  }

  function progressOf({ attempt, chosen, maxTokens }: Asked): (characters: number) => void {
    let toldAt = Number.NEGATIVE_INFINITY;
    return (characters) => {
      const now = deps.clock.monotonic();
      if (now - toldAt < progressEveryMs) return;
      toldAt = now;
      // Near enough while it comes in; what counts is counted at the end.
      const done = Math.min(Math.ceil(characters / 4), maxTokens);
      deps.progress(attempt, { done, total: maxTokens, message: `${chosen.model}: about ${done} tokens` });
    };
  }

  /** Ledger, answer and thread are durable when it returns, whatever became of the call. */
  async function settle(
    asked: Asked,
    reservationId: string | undefined,
    result: CallResult,
  ): Promise<LlmAnswer | Error> {
    const { attempt, request, chosen, hash, exchange } = asked;
    const held = reservationId === undefined ? {} : { reservationId };
    const cost = result.usage && costOf(asked, result.usage);
    if (result.usage?.isCounted) {
      const message = `${chosen.name} told no usage: its tokens are counted here`;
      deps.log(attempt, { level: 'info', stream: 'log', message });
    }
    if (!result.ok) {
      if (result.isUnanswered && reservationId !== undefined) await deps.spending.lose(attempt, reservationId);
      else if (cost !== undefined || reservationId !== undefined) {
        await deps.spending.settleCall(attempt, { ...held, ...(cost ? { cost } : {}) });
      }
      return result.error;
    }
    const read = await readAnswer(result.text, request);
    if (!read.ok) {
      await deps.spending.settleCall(attempt, { ...held, ...(cost ? { cost } : {}) });
      const message = `the answer of ${chosen.name} does not fit the schema ${request.schema?.name}: ${read.problem}`;
      return new StepError('transient', message, { name: 'InvalidAnswer' });
    }
    const usd = cost?.usd ?? 0;
    const { isCounted: _isCounted, ...usage } = result.usage;
    const { name: provider, model } = chosen;
    const response = { text: result.text, data: read.data, provider, model, ...usage, usd };
    await deps.spending.settleCall(attempt, {
      ...held,
      ...(cost ? { cost } : {}),
      ...(request.cache === false ? {} : { response: { hash, response, ttlMs: deps.settings.keepAnswersMs } }),
      ...(exchange === undefined ? {} : { exchange: exchange(result.text) }),
    });
    return { text: result.text, data: read.data, provider, model, usage, usd, cached: false, promptHash: hash };
  }

  function tell({ attempt, chosen }: Asked, answer: LlmAnswer | Error, durationMs: number): void {
    const result = answer instanceof Error ? answer.name : 'success';
    const { name: provider, model } = chosen;
    deps.events.emit('llm.called', { ...aboutAttempt(attempt), provider, model, result, durationMs });
  }
}

/** Models may come from inputs: what is remembered of them is bounded. */
const mostUnpriced = 1_000;

function aboutAttempt({ runId, tenant, pipeline, step }: Attempt) {
  return { runId, tenant, pipeline, step };
}

function whatOf({ name, model }: ChosenProvider): string {
  return `llm:${name}/${model}`.slice(0, 200);
}

function costOf({ chosen, hash }: Asked, { isCounted, ...usage }: CalledUsage): NonNullable<EndedCall['cost']> {
  const { name: provider, model } = chosen;
  const price = Object.hasOwn(chosen.provider.prices, model) ? chosen.provider.prices[model] : undefined;
  return {
    what: whatOf(chosen),
    usd: price === undefined ? 0 : usdOf(usage, price),
    ...(isCounted ? { units: { counted_tokens: usage.promptTokens + usage.completionTokens } } : {}),
    llm: { provider, model, promptHash: hash, ...usage },
  };
}

async function readAnswer(
  text: string,
  { schema }: LlmRequest,
): Promise<{ ok: true; data: Json } | { ok: false; problem: string }> {
  return schema === undefined ? { ok: true, data: null } : readJsonAnswer(text, schema.schema);
}
