// What a step asks of a language model, and what it gets: the part of the plugin API behind `ctx.llm`.
import type { Json } from '../../base/json.ts';

export interface LlmMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

export interface LlmRequest {
  /**
   * A provider of the settings (`llm.providers`), or `template`. Default: `llm.default`; without any provider in the settings
   * `template`. One that is not there is a fatal `UnknownProvider`.
   */
  provider?: string;
  /** Default: that of the provider. */
  model?: string;
  /** What the model is told to be: a fixed text of the step type, never made from its input. */
  system: string;
  /** The question, last; before it whatever else the model has to know. */
  messages: readonly LlmMessage[];
  /**
   * What the provider `template` answers: made from the step's input alone, the same bytes for the same input. Absent: the step
   * needs a model, and with `template` it is a fatal `NoTemplate`.
   */
  template?: string;
  /** The answer is to be JSON that fits: it is asked for, checked (transient `InvalidAnswer` where it does not), and given as `data`. */
  schema?: { name: string; schema: { [key: string]: Json } };
  /** Default: the provider's. */
  maxTokens?: number;
  /** Default 0. */
  temperature?: number;
  /** Default 1: the same seed for all. */
  seed?: number;
  /**
   * A thread of the run (docs/CONVERSATIONS.md): what it holds goes before `messages`, which together with the answer are added to
   * it, once however often the step is tried.
   */
  conversation?: string;
  /** Whether an equal request of the tenant that was answered before is answered from there, at no cost. Default true. */
  cache?: boolean;
}

export interface LlmUsage {
  promptTokens: number;
  completionTokens: number;
  /** Of the prompt's: those that the provider had cached. */
  cachedTokens: number;
}

export interface LlmAnswer {
  text: string;
  /** What `schema` asked for; null without it. */
  data: Json;
  provider: string;
  model: string;
  /** Of the call that made the answer, also where it was there already. */
  usage: LlmUsage;
  /** US dollars by the settings' price table; 0 where the answer was there already, or came from `template`. */
  usd: number;
  /** It was there already. */
  cached: boolean;
  /** SHA-256 (hex) of all that decides the answer: provider, model, texts, schema, temperature, seed, length. */
  promptHash: string;
}
