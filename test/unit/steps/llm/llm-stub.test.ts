// The stub of a model server: that what other tests build on is so.
import { afterEach, describe, expect, it } from 'vitest';
import { type LlmStub, type LlmStubOptions, startLlmStub } from '../../../support/llm-stub.ts';

let stub: LlmStub | undefined;
const start = async (options?: LlmStubOptions) => {
  stub = await startLlmStub(options);
  return stub;
};
afterEach(async () => {
  await stub?.stop();
});

const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Say hello to the world.' },
];
const post = (url: string, body: object = {}, headers: Record<string, string> = {}) =>
  fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'stub-1', messages, ...body }),
  });
const streamed = { stream: true, stream_options: { include_usage: true } };

/** The events of a stream as far as they came. */
async function eventsOf(response: Response): Promise<string[]> {
  let text = '';
  const decoder = new TextDecoder();
  try {
    for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
  } catch {
    // Cut: what came counts.
  }
  return text.split('\n\n').flatMap((event) => (event.startsWith('data: ') ? [event.slice(6)] : []));
}
const textOf = (events: string[]) =>
  events
    .filter((event) => event !== '[DONE]')
    .map((event) => JSON.parse(event).choices[0]?.delta.content ?? '')
    .join('');

describe('the stub', () => {
  it('answers the same request with the same text, whole and as a stream, and charges both alike', async () => {
    const { url, counts } = await start();
    const whole = (await (await post(url)).json()) as { choices: { message: { content: string } }[]; usage: object };
    const first = { ...counts };
    const events = await eventsOf(await post(url, streamed));
    expect(textOf(events)).toBe(whole.choices[0]?.message.content);
    expect(events.at(-1)).toBe('[DONE]');
    expect(JSON.parse(events.at(-2) ?? '').usage).toEqual(whole.usage);
    expect(counts.promptTokens).toBe(2 * first.promptTokens);
    expect(counts.completionTokens).toBe(2 * first.completionTokens);
    expect(first.promptTokens).toBeGreaterThan(10);
  });

  it('charges a known system text as cached', async () => {
    const { url, counts } = await start({ cacheFrom: 1 });
    await post(url);
    expect(counts.cachedTokens).toBe(0);
    const usage = ((await (await post(url)).json()) as { usage: Record<string, unknown> }).usage;
    expect(counts.cachedTokens).toBeGreaterThan(0);
    expect(usage.prompt_tokens_details).toEqual({ cached_tokens: counts.cachedTokens });
  });

  it.each(['destroy', 'end'] as const)('charges a stream that is cut (%s) as far as it was sent', async (how) => {
    const { url, counts, next } = await start({ answer: () => 'one two three four five six seven eight' });
    next({ kind: 'cut', afterTokens: 4, how });
    const events = await eventsOf(await post(url, streamed));
    expect(textOf(events)).toBe('one two three four');
    expect(events).not.toContain('[DONE]');
    expect(counts).toMatchObject({ answered: 0, cut: 1, completionTokens: 4 });
    expect(counts.promptTokens).toBeGreaterThan(10);
  });

  it('refuses as it is told, in order, and charges nothing for it', async () => {
    const { url, counts, next } = await start({ keys: ['good'] });
    next({ kind: 'rate_limited', retryAfterMs: 2_500 }, { kind: 'status', status: 503 });
    const bearer = { authorization: 'Bearer good' };
    const limited = await post(url, {}, bearer);
    expect([limited.status, limited.headers.get('retry-after'), limited.headers.get('retry-after-ms')]).toEqual([
      429,
      '3',
      '2500',
    ]);
    expect((await post(url, {}, bearer)).status).toBe(503);
    expect((await post(url, {}, { authorization: 'Bearer bad' })).status).toBe(401);
    expect(counts).toMatchObject({ rateLimited: 1, errors: 2, promptTokens: 0, completionTokens: 0 });
    expect((await post(url, {}, bearer)).status).toBe(200);
  });

  it('draws its faults from a seed', async () => {
    const statuses = async () => {
      const { url } = await start({ faults: { seed: 7, rateLimited: 0.3, unavailable: 0.3 } });
      const seen: number[] = [];
      for (let n = 0; n < 20; n++) seen.push((await post(url)).status);
      await stub?.stop();
      return seen;
    };
    const first = await statuses();
    expect(new Set(first)).toEqual(new Set([200, 429, 503]));
    expect(await statuses()).toEqual(first);
  });

  it('gives a value that fits where a schema is asked for', async () => {
    const { url } = await start();
    const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 3 } }, required: ['n'] };
    const body = { response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } };
    const answer = (await (await post(url, body)).json()) as { choices: { message: { content: string } }[] };
    expect(answer.choices[0]?.message.content).toBe('{"n":3}');
  });

  it('stands still until it is released', async () => {
    const { url, next, release } = await start({ answer: () => 'one two three four five six' });
    next({ kind: 'stall', afterTokens: 4 });
    const response = await post(url, streamed);
    const reader = response.body?.getReader();
    let text = '';
    while (!text.includes('four')) text += new TextDecoder().decode((await reader?.read())?.value);
    expect(text).not.toContain('five');
    release();
    while (!text.includes('[DONE]')) text += new TextDecoder().decode((await reader?.read())?.value);
    expect(text).toContain('five');
  });
});
