// What decides an answer is in its hash, what it costs follows the table, and JSON is found in an answer or said to be missing.
import { describe, expect, it } from 'vitest';
import { guessPromptTokens, loadTokenCounter } from '../../../../src/steps/llm/count-tokens.ts';
import { usdOf } from '../../../../src/steps/llm/llm-price.ts';
import { type DecidingParts, promptHash } from '../../../../src/steps/llm/prompt-hash.ts';
import { checkSchema, readJsonAnswer } from '../../../../src/steps/llm/read-json-answer.ts';

const parts: DecidingParts = {
  provider: 'acme',
  baseUrl: 'http://a/v1',
  model: 'm',
  messages: [{ role: 'user', content: 'x' }],
  schema: { name: 's', schema: { type: 'object', properties: { a: { type: 'string' } } } },
  json: 'schema',
  maxTokens: 10,
  temperature: 0,
  seed: 1,
};

describe('the hash of a prompt', () => {
  it('is SHA-256, the same for the same, whatever the order of keys', () => {
    const turned = { properties: { a: { type: 'string' } }, type: 'object' } as const;
    expect(promptHash(parts)).toMatch(/^[0-9a-f]{64}$/);
    expect(promptHash({ ...parts, schema: { name: 's', schema: turned } })).toBe(promptHash(parts));
  });

  it.each<Partial<DecidingParts>>([
    { provider: 'other' },
    { baseUrl: 'http://b/v1' },
    { model: 'n' },
    { messages: [{ role: 'system', content: 'x' }] },
    { messages: [{ role: 'user', content: 'y' }] },
    { schema: undefined },
    { json: 'object' },
    { maxTokens: 11 },
    { temperature: 0.5 },
    { seed: 2 },
  ])('is another with %j', (change) => {
    expect(promptHash({ ...parts, ...change })).not.toBe(promptHash(parts));
  });
});

describe('the cost of a call', () => {
  it('counts cached tokens at their own price, to a millionth of a dollar', () => {
    const usage = { promptTokens: 1_000, completionTokens: 100, cachedTokens: 400 };
    expect(usdOf(usage, { prompt: 2, cached: 0.5, completion: 10 })).toBe(0.0024);
    expect(usdOf(usage, { prompt: 2, completion: 10 })).toBe(0.003);
    expect(usdOf({ ...usage, cachedTokens: 5_000 }, { prompt: 2, cached: 0, completion: 10 })).toBe(0.001);
  });

  it('is that of the reference: three objects, 13,800 and 5,700 tokens', () => {
    const usage = { promptTokens: 13_800, completionTokens: 5_700, cachedTokens: 0 };
    expect(usdOf(usage, { prompt: 3, completion: 15 })).toBeCloseTo(0.0414 + 0.0855, 6);
  });

  it('is guessed beforehand rather too high than too low', async () => {
    const counter = await loadTokenCounter();
    for (const content of [
      'Write the page anew so that it reads well.',
      'export async function readAll(path: string): Promise<string[]> { return []; }',
      '仕様を確認してください。',
    ]) {
      const messages = [{ role: 'user' as const, content }];
      expect(guessPromptTokens(messages)).toBeGreaterThanOrEqual(counter.ofMessages(messages));
    }
  });
});

describe('JSON in an answer', () => {
  const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };

  it.each([
    '{"n": 1}',
    '```json\n{"n": 1}\n```',
    'Here it is:\n\n```\n{"n": 1}\n```\nDone.',
    '```JSON\r\n{"n": 1}\r\n```',
  ])('is found in %j', async (text) => {
    expect(await readJsonAnswer(text, schema)).toEqual({ ok: true, data: { n: 1 } });
  });

  it.each([
    ['{"n": 1', /it is not JSON/],
    ['', /it is not JSON/],
    ['{"n": "one"}', /^n: /],
    ['{}', /^n: /],
    ['[]', /object/],
  ])('is not in %j, and it says why', async (text, problem) => {
    expect(await readJsonAnswer(text, schema)).toMatchObject({ ok: false, problem: expect.stringMatching(problem) });
  });

  it('is not asked for by a schema that cannot be checked', () => {
    expect(() => checkSchema({ type: 'object', propertees: {} })).toThrow(/propertees/);
  });
});
