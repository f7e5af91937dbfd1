// One call of a provider over real HTTP: what is sent, what each failure becomes, what it took, and that the key stays out of words.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAbortError } from '../../../../src/steps/abort-reason.ts';
import { type LlmStub, startLlmStub } from '../../../support/llm-stub.ts';
import { type CallOverrides, callAt, errorOf } from './provider-call.ts';

const key = 'sk-hunter2-hunter2';
let stub: LlmStub;
beforeEach(async () => {
  stub = await startLlmStub({ answer: () => 'one two three four five six seven eight', keys: [key] });
});
afterEach(() => stub.stop());

const call = (overrides: CallOverrides = {}) => callAt(stub.url, { key, ...overrides });
const both = [{ stream: true }, { stream: false }];
describe('a call of a provider', () => {
  it.each(both)('gives the text and what the provider counted, with %o', async (provider) => {
    const result = await call({ provider });
    const { promptTokens, completionTokens, cachedTokens } = stub.counts;
    expect(result).toEqual({
      ok: true,
      text: 'one two three four five six seven eight',
      usage: { promptTokens, completionTokens, cachedTokens, isCounted: false },
    });
    expect(completionTokens).toBe(8);
  });

  it('sends what was asked, with the key, at temperature 0 and with a seed', async () => {
    const schema = { name: 'an answer', schema: { type: 'object' } };
    await call({ schema, headers: { 'x-title': 'Reports' }, provider: { omit: ['seed'] } });
    const [request] = stub.requests;
    expect(request?.key).toBe(key);
    expect(request?.headers['x-title']).toBe('Reports');
    expect(request?.body).toEqual({
      model: 'stub-1',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Count.' },
      ],
      max_tokens: 100,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
      response_format: { type: 'json_schema', json_schema: { name: 'an_answer', schema: { type: 'object' } } },
    });
    await call({ schema, provider: { json: 'object', maxTokensField: 'max_completion_tokens' } });
    expect(stub.requests[1]?.body).toMatchObject({
      max_completion_tokens: 100,
      seed: 1,
      response_format: { type: 'json_object' },
    });
  });

  it('sends no key where none is needed', async () => {
    await stub.stop();
    stub = await startLlmStub();
    await call({ key: undefined });
    expect(stub.requests[0]?.headers.authorization).toBeUndefined();
  });

  it('tells how long the answer is while it comes in', async () => {
    const seen: number[] = [];
    await call({ onText: (characters) => seen.push(characters) });
    expect(seen).toEqual([18, 39]);
  });

  it.each(both)('says how long a provider that answers 429 wants to be left alone, with %o', async (provider) => {
    stub.next({ kind: 'rate_limited', retryAfterMs: 2_500 });
    const result = await call({ provider });
    expect(errorOf(result)).toMatchObject({
      name: 'RateLimited',
      class: 'rate_limited',
      retryAfterMs: 2_500,
      key: 'llm:acme/KEY',
    });
    expect(result).not.toHaveProperty('usage');
  });

  it.each([
    [400, 'InvalidRequest', 'fatal', undefined],
    [401, 'InvalidApiKey', 'fatal', 'run'],
    [403, 'PermissionDenied', 'fatal', undefined],
    [404, 'NotFound', 'fatal', undefined],
    [408, 'ProviderUnavailable', 'transient', undefined],
    [413, 'InvalidRequest', 'fatal', undefined],
    [500, 'ProviderUnavailable', 'transient', undefined],
    [503, 'ProviderUnavailable', 'transient', undefined],
  ] as const)('takes a %i for %s', async (status, name, errorClass, scope) => {
    stub.next({ kind: 'status', status, message: `no: ${key} (${Buffer.from(key).toString('base64')})` });
    const error = errorOf(await call());
    expect(error).toMatchObject({ name, class: errorClass, scope });
    expect(error.message).toContain(`(${status})`);
    expect(JSON.stringify({ ...error, message: error.message })).not.toContain('hunter2');
    expect(error.message).not.toContain(Buffer.from(key).toString('base64'));
  });

  it('does not repeat a key that is not accepted', async () => {
    const error = errorOf(await call({ key: 'sk-wrong-hunter2' }));
    expect(error).toMatchObject({ name: 'InvalidApiKey', scope: 'run' });
    expect(error.message).not.toContain('hunter2');
  });

  it('does not wait where an account has nothing left', async () => {
    stub.next({ kind: 'raw', body: 'data: {"error":{"message":"no money","code":"insufficient_quota"}}\n\n' });
    // Within a stream an error has no status: it is one of the provider.
    expect(errorOf(await call())).toMatchObject({ name: 'ProviderUnavailable', class: 'transient' });
    const server = createServer((_, response) => {
      response.writeHead(429, { 'content-type': 'application/json' });
      response.end('{"error":{"message":"no money","code":"insufficient_quota","type":"insufficient_quota"}}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    expect(errorOf(await call({ provider: { baseUrl } }))).toMatchObject({ name: 'QuotaExhausted', class: 'fatal' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    'destroy',
    'end',
  ] as const)('takes a stream that breaks off (%s) as something to try again, and counts what came', async (how) => {
    stub.next({ kind: 'cut', afterTokens: 4, how });
    const result = await call();
    expect(errorOf(result)).toMatchObject({ name: 'AnswerCut', class: 'transient' });
    const { promptTokens, completionTokens } = stub.counts;
    expect(result).toMatchObject({ usage: { promptTokens, completionTokens, cachedTokens: 0, isCounted: true } });
    expect(completionTokens).toBe(4);
  });

  it('counts for a provider that tells no usage, and says that it did', async () => {
    stub.next({ kind: 'no_usage' }, { kind: 'no_usage' });
    for (const provider of both) {
      const before = { ...stub.counts };
      const result = await call({ provider });
      expect(result).toMatchObject({
        ok: true,
        usage: {
          promptTokens: stub.counts.promptTokens - before.promptTokens,
          completionTokens: stub.counts.completionTokens - before.completionTokens,
          isCounted: true,
        },
      });
    }
  });

  it('takes a text that looks like a special token for text', async () => {
    stub.next({ kind: 'text', text: 'a <|endoftext|> b' }, { kind: 'no_usage' });
    expect(await call()).toMatchObject({ ok: true, text: 'a <|endoftext|> b' });
    const messages = [{ role: 'user' as const, content: 'what is <|endoftext|>?' }];
    expect(await call({ messages })).toMatchObject({ ok: true });
  });

  it.each(both)('says that an answer was longer than allowed, and what it took, with %o', async (provider) => {
    stub.next({ kind: 'finish', reason: 'length' });
    const result = await call({ provider });
    expect(errorOf(result)).toMatchObject({ name: 'AnswerTooLong', class: 'fatal' });
    expect(errorOf(result).message).toContain('max_tokens (100)');
    expect(result).toMatchObject({ usage: { completionTokens: 4, isCounted: false } });
  });

  it('says that a content filter kept the answer back', async () => {
    stub.next({ kind: 'finish', reason: 'content_filter' });
    expect(errorOf(await call())).toMatchObject({ name: 'ContentFiltered', class: 'fatal' });
  });

  it.each(both)('ends a provider that says nothing by the clock of the settings, with %o', async (provider) => {
    stub.next({ kind: 'hang' });
    const result = await call({ provider: { ...provider, timeoutMs: 200 } });
    expect(errorOf(result)).toMatchObject({ name: 'ProviderTimeout', class: 'transient' });
    expect(result).not.toHaveProperty('usage');
  });

  it('ends a stream that stands still by the same clock, and counts what came', async () => {
    stub.next({ kind: 'stall', afterTokens: 4 });
    const result = await call({ provider: { timeoutMs: 1_500 } });
    expect(errorOf(result)).toMatchObject({ name: 'ProviderTimeout', class: 'transient' });
    expect(result).toMatchObject({ usage: { completionTokens: 4, isCounted: true } });
  });

  it('ends with the reason of the caller, and counts what came', async () => {
    stub.next({ kind: 'stall', afterTokens: 4 });
    const controller = new AbortController();
    const reason = createAbortError('cancelled');
    const result = await call({ signal: controller.signal, onText: () => controller.abort(reason) });
    expect(result).toMatchObject({ ok: false, isAborted: true, usage: { completionTokens: 4 } });
    expect(errorOf(result)).toBe(reason);
  });

  it('takes a provider that is not there as something to try again, without words about the key', async () => {
    await stub.stop();
    const error = errorOf(await call());
    expect(error).toMatchObject({ name: 'ProviderUnreachable', class: 'transient' });
    expect(error.message).toMatch(/^acme cannot be reached: .*ECONNREFUSED/);
    stub = await startLlmStub();
  });

  it.each(
    both,
  )('says that nobody knows what a call costs whose connection broke after it went out, with %o', async (provider) => {
    const server = createServer((request) => request.on('data', () => request.socket.destroy()));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const result = await call({ provider: { ...provider, baseUrl: url } });
    expect(errorOf(result)).toMatchObject({ name: 'ProviderUnreachable', class: 'transient' });
    expect(result).toMatchObject({ isUnanswered: true });
    await new Promise((resolve) => server.close(resolve));
    expect(await call({ provider: { ...provider, baseUrl: url } })).not.toHaveProperty('isUnanswered');
  });

  it('follows no redirect: the key goes to no other place', async () => {
    const elsewhere = await startLlmStub();
    stub.next({ kind: 'redirect', to: `${elsewhere.url}/chat/completions` });
    expect(errorOf(await call())).toMatchObject({ name: 'Redirected', class: 'fatal' });
    expect(elsewhere.requests).toEqual([]);
    await elsewhere.stop();
  });

  it.each([
    'data: {not json\n\n',
    'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n',
    '<html>a proxy</html>',
  ])('takes %j for an answer that broke off', async (body) => {
    stub.next({ kind: 'raw', body });
    expect(errorOf(await call())).toMatchObject({ name: 'AnswerCut', class: 'transient' });
  });

  it('puts no secret that a server repeats into the answer', async () => {
    stub.next({ kind: 'text', text: `your key is ${key}` });
    expect(await call()).toMatchObject({ text: 'your key is ***' });
  });
});
