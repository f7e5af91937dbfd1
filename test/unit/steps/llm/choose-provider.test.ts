// Which provider is asked, with whose key, and what is said where one of them is missing.
import { describe, expect, it } from 'vitest';
import type { LlmProvider, LlmSettings } from '../../../../src/config/llm-settings.ts';
import type { LlmRequest } from '../../../../src/steps/api.ts';
import { checkLlmRequest } from '../../../../src/steps/llm/check-llm-request.ts';
import {
  type ChosenProvider,
  chooseProvider,
  messagesOf,
  readHeaders,
  readKey,
  secretOfKey,
} from '../../../../src/steps/llm/choose-provider.ts';

const provider: LlmProvider = {
  baseUrl: 'http://127.0.0.1:1/v1',
  apiKey: 'KEY',
  tenantApiKeys: { acme: 'ACME' },
  model: 'usual',
  maxTokens: 10,
  timeoutMs: 1_000,
  headers: { 'x-plain': 'text', 'x-secret': { secret: 'HEADER' } },
  stream: true,
  json: 'schema',
  maxTokensField: 'max_tokens',
  omit: [],
  prices: {},
};
const { baseUrl: _baseUrl, ...noAddress } = provider;
const settings: LlmSettings = {
  default: 'one',
  keepAnswersMs: 1,
  estimatePerItem: 0.05,
  providers: {
    one: provider,
    keyless: { ...provider, apiKey: 'none', tenantApiKeys: {} },
    unset: { ...noAddress, baseUrlFrom: 'LLM_URL' },
  },
};
const request: LlmRequest = { system: 'Be brief.', messages: [{ role: 'user', content: 'Count.' }] };
const chosen = (name?: string): ChosenProvider => {
  const found = chooseProvider(settings, name === undefined ? request : { ...request, provider: name });
  if (!found) throw new Error('none was chosen');
  return found;
};
const find = async (name: string) => ({ KEY: 'sk-1\n', BAD: 'sk-1\nhunter2', HEADER: 'h', EMPTY: ' ' })[name];

describe('the provider', () => {
  it('is the default, or the one that is named, with its model or another', () => {
    expect(chosen()).toMatchObject({ name: 'one', model: 'usual' });
    expect(chooseProvider(settings, { ...request, provider: 'keyless', model: 'large' })).toMatchObject({
      name: 'keyless',
      model: 'large',
    });
    expect(chooseProvider(settings, { ...request, provider: 'template' })).toBeUndefined();
    expect(chooseProvider({ ...settings, default: 'template' }, request)).toBeUndefined();
  });

  it.each([
    ['nobody', 'UnknownProvider', /expected one of: one, keyless, unset, template/],
    ['constructor', 'UnknownProvider', /there is no provider "constructor"/],
    ['unset', 'MissingBaseUrl', /LLM_URL, which is not set/],
  ])('%s is %s', (name, error, message) => {
    const choose = () => chooseProvider(settings, { ...request, provider: name });
    expect(choose).toThrow(message);
    expect(choose).toThrow(expect.objectContaining({ name: error, class: 'fatal' }));
  });
});

describe('the key', () => {
  it('is the tenant’s own, that of the provider, or none where none is needed', async () => {
    expect(secretOfKey(chosen(), 'acme')).toBe('ACME');
    expect(secretOfKey(chosen(), 'default')).toBe('KEY');
    expect(secretOfKey(chosen('keyless'), 'default')).toBeUndefined();
    expect(await readKey(chosen(), 'default', 'KEY', find)).toBe('sk-1');
    expect(await readKey(chosen('keyless'), 'default', undefined, find)).toBeUndefined();
  });

  it.each(['NOBODY', 'EMPTY'])('that is missing (%s) ends the whole step', async (secret) => {
    const missing = { name: 'MissingApiKey', class: 'fatal', scope: 'run' };
    await expect(readKey(chosen(), 'acme', secret, find)).rejects.toMatchObject(missing);
    await expect(readKey(chosen(), 'acme', secret, find)).rejects.toThrow(
      `No API key configured for provider one (tenant acme: secret ${secret})`,
    );
  });

  it('that no setting names is missing, too', () => {
    const { apiKey: _apiKey, ...without } = chosen().provider;
    const bare = { ...chosen(), provider: { ...without, tenantApiKeys: {} } };
    expect(() => secretOfKey(bare, 'default')).toThrow(/^No API key configured for provider one /);
  });

  it('that fits no header is refused without being repeated', async () => {
    const error = await readKey(chosen(), 'default', 'BAD', find).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ name: 'InvalidApiKey', scope: 'run' });
    expect(String(error)).not.toContain('hunter2');
  });

  it('may be in other headers', async () => {
    expect(await readHeaders(chosen(), find)).toEqual({ 'x-plain': 'text', 'x-secret': 'h' });
    await expect(readHeaders(chosen(), async () => undefined)).rejects.toMatchObject({ name: 'MissingSecret' });
  });
});

describe('the messages', () => {
  const said = [{ role: 'user' as const, content: 'Before.' }];

  it('are what the model is, what was said, and the question', () => {
    const sent = messagesOf(chosen(), request, said);
    expect(sent.map(({ content }) => content)).toEqual(['Be brief.', 'Before.', 'Count.']);
  });

  it('say in words which JSON is wanted where the provider takes no schema', () => {
    const one = { ...chosen(), provider: { ...chosen().provider, json: 'object' as const } };
    const sent = messagesOf(one, { ...request, schema: { name: 's', schema: { type: 'integer' } } }, []);
    expect(sent[1]).toEqual({ role: 'system', content: expect.stringContaining('{"type":"integer"}') });
    expect(sent[1]?.content).toContain('JSON');
  });
});

describe('a request', () => {
  it.each<[object, RegExp]>([
    [{ system: '' }, /system is "", expected a text/],
    [{ messages: [] }, /messages is \[\]/],
    [{ messages: [{ role: 'robot', content: 'x' }] }, /messages is .*robot/],
    [{ maxTokens: 0.5 }, /maxTokens is 0.5/],
    [{ temperature: 9 }, /temperature is 9, expected 0 to 2/],
    [{ seed: 'x' }, /seed is "x"/],
    [{ schema: { type: 'object' } }, /schema is/],
    [{ conversation: 5 }, /conversation is 5, expected a text/],
  ])('with %j is refused', (change, message) => {
    const check = () => checkLlmRequest({ ...request, ...change } as LlmRequest);
    expect(check).toThrow(message);
    expect(check).toThrow(expect.objectContaining({ name: 'InvalidRequest', class: 'fatal' }));
  });

  it('is taken as it is otherwise', () => {
    expect(() => checkLlmRequest({ ...request, temperature: 0, seed: -1, maxTokens: 1 })).not.toThrow();
  });
});
