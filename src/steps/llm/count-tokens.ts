// Counts tokens where a provider does not say: by the vocabulary of OpenAI's newer models, so for others it is near, not exact.
import type { LlmMessage } from './llm-request.ts';

export interface TokenCounter {
  ofText(text: string): number;
  /** 3 a message, its role and its text, and 3 that begin the answer: how chat models are asked. */
  ofMessages(messages: readonly LlmMessage[]): number;
}

let counter: Promise<TokenCounter> | undefined;

/** Loaded at the first use: the vocabulary takes 100 ms and some ten MB. */
export function loadTokenCounter(): Promise<TokenCounter> {
  counter ??= createTokenCounter();
  return counter;
}

async function createTokenCounter(): Promise<TokenCounter> {
  const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base');
  // What looks like a special token is text here.
  const plain = { disallowedSpecial: new Set<string>() };
  const ofText = (text: string) => countTokens(text, plain);
  return {
    ofText,
    ofMessages: (messages) => messages.reduce((sum, { role, content }) => sum + 3 + ofText(role) + ofText(content), 3),
  };
}

/** Before a call, without the vocabulary: a token has two bytes and more in nearly all texts, so this is seldom too little. */
export function guessPromptTokens(messages: readonly LlmMessage[]): number {
  return messages.reduce((sum, { content }) => sum + 4 + Math.ceil(Buffer.byteLength(content) / 2), 3);
}
