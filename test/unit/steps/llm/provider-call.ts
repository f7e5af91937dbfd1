// A call of a provider at an address, with what the tests of calls do not care about filled in.
import { type CallResult, callProvider, type ProviderCall } from '../../../../src/steps/llm/call-provider.ts';

export type CallOverrides = Partial<Omit<ProviderCall, 'provider'>> & { provider?: Partial<ProviderCall['provider']> };

export function callAt(baseUrl: string, { provider, ...overrides }: CallOverrides = {}): Promise<CallResult> {
  return callProvider({
    name: 'acme',
    provider: {
      baseUrl,
      tenantApiKeys: {},
      model: 'stub-1',
      maxTokens: 100,
      timeoutMs: 10_000,
      headers: {},
      stream: true,
      json: 'schema',
      maxTokensField: 'max_tokens',
      omit: [],
      prices: {},
      ...provider,
    },
    key: undefined,
    headers: {},
    model: 'stub-1',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Count.' },
    ],
    schema: undefined,
    maxTokens: 100,
    temperature: 0,
    seed: 1,
    rateLimitKey: 'llm:acme/KEY',
    signal: new AbortController().signal,
    onText: () => {},
    ...overrides,
  });
}

export function errorOf(result: CallResult): Error & { retryAfterMs?: number | undefined } {
  if (result.ok) throw new Error('it was answered');
  return result.error;
}
