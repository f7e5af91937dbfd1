// The same client against a server that somebody else wrote: what both understand is the protocol, not our reading of it.
import { LLMock } from '@copilotkit/aimock';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CallOverrides, callAt, errorOf } from './provider-call.ts';

let peer: LLMock;
beforeEach(async () => {
  peer = new LLMock({ port: 0, logLevel: 'silent' });
  await peer.start();
});
afterEach(() => peer.stop());

const call = (overrides?: CallOverrides) => callAt(`${peer.url}/v1`, { key: 'sk-peer', ...overrides });
const usage = { prompt_tokens: 21, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 16 } };
const both = [{ stream: true }, { stream: false }];

describe('a server that somebody else wrote', () => {
  it.each(both)('answers, and its usage is understood, with %o', async (provider) => {
    peer.onMessage('Count', { content: 'one two three', usage });
    const result = await call({ provider });
    expect(result).toMatchObject({ ok: true, text: 'one two three' });
    expect(result).toMatchObject({ usage: { promptTokens: 21, completionTokens: 7, isCounted: false } });
    const body = peer.getLastRequest()?.body as unknown as Record<string, unknown>;
    expect(body).toMatchObject({ model: 'stub-1', temperature: 0, seed: 1, max_tokens: 100 });
  });

  it('gives JSON for a schema', async () => {
    peer.onJsonOutput('Count', { n: 3 });
    const schema = { name: 'count', schema: { type: 'object', properties: { n: { type: 'integer' } } } };
    const result = await call({ schema, provider: { json: 'object' } });
    expect(result).toMatchObject({ ok: true, text: '{"n":3}' });
  });

  it.each([
    [429, 'RateLimited', 'rate_limited'],
    [503, 'ProviderUnavailable', 'transient'],
    [401, 'InvalidApiKey', 'fatal'],
    [400, 'InvalidRequest', 'fatal'],
  ] as const)('refuses with %i, which is %s', async (status, name, errorClass) => {
    peer.onMessage('Count', { content: 'x' });
    peer.nextRequestError(status, { message: 'no' });
    expect(errorOf(await call())).toMatchObject({ name, class: errorClass });
    expect(await call()).toMatchObject({ ok: true });
  });

  it('says how long it wants to be left alone', async () => {
    peer.onMessage('Count', { content: 'x' }, { chaos: { rateLimitRate: 1 } });
    const error = errorOf(await call());
    expect(error).toMatchObject({ name: 'RateLimited', class: 'rate_limited' });
    expect(error.retryAfterMs).toBeGreaterThan(0);
  });

  it('breaks a stream off, and what came is counted', async () => {
    peer.onMessage(
      'Count',
      { content: 'one two three four five six' },
      { latency: 20, chunkSize: 4, truncateAfterChunks: 3 },
    );
    const result = await call();
    expect(errorOf(result)).toMatchObject({ name: 'AnswerCut', class: 'transient' });
    expect(result).toMatchObject({ usage: { isCounted: true } });
  });

  it.each([
    'malformedRate',
    'disconnectRate',
    'dropRate',
  ] as const)('fails by %s, which is tried again', async (rate) => {
    peer.onMessage('Count', { content: 'one two three' }, { chaos: { [rate]: 1 } });
    expect(errorOf(await call())).toMatchObject({ class: 'transient' });
  });

  it('is cut at the length', async () => {
    peer.onMessage('Count', { content: 'one two', finishReason: 'length', usage });
    const result = await call();
    expect(errorOf(result)).toMatchObject({ name: 'AnswerTooLong', class: 'fatal' });
    expect(result).toMatchObject({ usage: { completionTokens: 7 } });
  });
});
