// The settings of language models: what is asked by default, where it is, and that no key is shown.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeSettings } from '../../../src/config/describe-settings.ts';
import { loadSettings } from '../../../src/config/load-settings.ts';

let configDir: string;
beforeEach(() => {
  configDir = mkdtempSync(join(tmpdir(), 'cronwright-llm-'));
});
afterEach(() => rmSync(configDir, { recursive: true }));

async function llmOf(text: string, env: Record<string, string> = {}) {
  writeFileSync(join(configDir, 'cronwright.yaml'), text);
  const settings = await loadSettings({ configDir, env });
  return { ...settings.llm, settings };
}
const problemsOf = (text: string, env?: Record<string, string>) =>
  llmOf(text, env).then(
    () => [],
    (error: { problems: object[] }) => error.problems,
  );
const two = `llm:
  default: cloud
  providers:
    cloud: { api_key: KEY, model: large, tenant_api_keys: { acme: ACME_KEY }, prices: { large: { prompt: 2, completion: 8 } } }
    local: { base_url: http://127.0.0.1:11434/v1, api_key: none, model: small }
`;

describe('the settings of language models', () => {
  it('ask no model where there is no provider, and the only one where there is one', async () => {
    expect(await llmOf('')).toMatchObject({ default: 'template', providers: {}, estimatePerItem: 0.05 });
    expect(await llmOf('llm: { providers: { x: { model: m } } }')).toMatchObject({ default: 'x' });
  });

  it('have several providers, of which the environment may choose the default', async () => {
    const fromFile = await llmOf(two);
    expect(fromFile.default).toBe('cloud');
    expect(fromFile.providers.cloud).toMatchObject({
      baseUrl: 'https://api.openai.com/v1',
      apiKey: 'KEY',
      tenantApiKeys: { acme: 'ACME_KEY' },
      maxTokens: 4_096,
      timeoutMs: 120_000,
      maxTokensField: 'max_completion_tokens',
      prices: { large: { prompt: 2, completion: 8 } },
    });
    expect(fromFile.providers.local).toMatchObject({ apiKey: 'none', maxTokensField: 'max_tokens' });
    const chosen = await llmOf(two, { CRONWRIGHT_LLM_DEFAULT: 'local' });
    expect(chosen.default).toBe('local');
    const shown = describeSettings(chosen.settings).find(({ key }) => key === 'llm.default');
    expect(shown).toEqual({ key: 'llm.default', value: 'local', source: 'environment' });
    expect((await llmOf(two, { CRONWRIGHT_LLM_DEFAULT: 'template' })).default).toBe('template');
  });

  it('say which variable names no provider', async () => {
    expect(await problemsOf(two, { CRONWRIGHT_LLM_DEFAULT: 'nobody' })).toEqual([
      {
        path: 'CRONWRIGHT_LLM_DEFAULT',
        message: 'there is no such provider',
        got: 'nobody',
        expected: 'one of: cloud, local, template',
      },
    ]);
  });

  it('take a base URL from the environment, which may be absent until it is needed', async () => {
    const text = 'llm: { default: template, providers: { x: { model: m, base_url: { env: LLM_URL } } } }';
    expect((await llmOf(text)).providers.x).not.toHaveProperty('baseUrl');
    expect((await llmOf(text, { LLM_URL: 'http://10.0.0.1/v1' })).providers.x?.baseUrl).toBe('http://10.0.0.1/v1');
    for (const LLM_URL of ['10.0.0.1/v1', 'http://me:hunter2@10.0.0.1/v1']) {
      const problems = JSON.stringify(await problemsOf(text, { LLM_URL }));
      expect(problems).toContain('the variable LLM_URL is not an HTTP URL without user and password');
      expect(problems).not.toContain('hunter2');
    }
  });

  it('load from docs/LLM.md', async () => {
    const page = readFileSync(new URL('../../../docs/LLM.md', import.meta.url), 'utf8');
    const [, block = ''] = /```yaml\n([\s\S]*?)```/.exec(page) ?? [];
    const { default: chosen, providers } = await llmOf(block);
    expect(chosen).toBe('openai');
    expect(Object.keys(providers)).toEqual(['openai', 'local']);
  });

  it('are shown without the text of headers, and a key in the wrong place is not repeated', async () => {
    const text =
      'llm: { providers: { x: { model: m, api_key: none, headers: { x-a: hunter2, x-b: { secret: S } } } } }';
    const shown = JSON.stringify(describeSettings((await llmOf(text)).settings));
    expect(shown).not.toContain('hunter2');
    expect(shown).toContain('"x-a":"***","x-b":{"secret":"S"}');
    const wrong = await problemsOf('llm: { providers: { x: { model: m, api_key: sk-hunter2hunter2 } } }');
    expect(wrong).toHaveLength(1);
    expect(JSON.stringify(wrong)).not.toContain('hunter2');
  });
});
