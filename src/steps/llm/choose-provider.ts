// Which provider a request goes to, with whose key: from the settings, the tenant and what the request says.
import { type LlmProvider, type LlmSettings, noModel } from '../../config/llm-settings.ts';
import { StepError } from '../step-error.ts';
import type { LlmMessage, LlmRequest } from './llm-request.ts';

export interface ChosenProvider {
  name: string;
  provider: LlmProvider & { baseUrl: string };
  model: string;
}

/** Undefined: the request is answered by its template. Throws a fatal `UnknownProvider` or `MissingBaseUrl`. */
export function chooseProvider(settings: LlmSettings, request: LlmRequest): ChosenProvider | undefined {
  const name = request.provider ?? settings.default;
  if (name === noModel) return undefined;
  const provider = Object.hasOwn(settings.providers, name) ? settings.providers[name] : undefined;
  if (provider === undefined) {
    const known = [...Object.keys(settings.providers), noModel].join(', ');
    const message = `there is no provider ${JSON.stringify(name).slice(0, 100)} under \`llm.providers\`, expected one of: ${known}`;
    throw new StepError('fatal', message, { name: 'UnknownProvider' });
  }
  const { baseUrl } = provider;
  if (baseUrl === undefined) {
    const message = `the base URL of provider ${name} is in the variable ${provider.baseUrlFrom}, which is not set`;
    throw new StepError('fatal', message, { name: 'MissingBaseUrl', scope: 'run' });
  }
  return { name, provider: { ...provider, baseUrl }, model: request.model ?? provider.model };
}

/** Where its key is kept: the name of a secret; undefined: it needs none. Throws a fatal `MissingApiKey`. */
export function secretOfKey({ name, provider }: ChosenProvider, tenant: string): string | undefined {
  const own = Object.hasOwn(provider.tenantApiKeys, tenant) ? provider.tenantApiKeys[tenant] : undefined;
  const secret = own ?? provider.apiKey;
  if (secret === undefined) throw missingKey(name, tenant);
  return secret === 'none' ? undefined : secret;
}

export type FindSecret = (name: string) => Promise<string | undefined>;

/** Throws a fatal `MissingApiKey`: no item of a fan-out can do better. */
export async function readKey(
  { name }: ChosenProvider,
  tenant: string,
  secret: string | undefined,
  find: FindSecret,
): Promise<string | undefined> {
  if (secret === undefined) return undefined;
  const key = (await find(secret))?.trim();
  if (!key) throw missingKey(name, tenant, secret);
  // What no header can hold would be quoted by the error of whoever builds the header.
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  const message = `the API key of provider ${name} (secret ${secret}) is no visible ASCII text`;
  throw new StepError('fatal', message, { name: 'InvalidApiKey', scope: 'run' });
}

export async function readHeaders(
  { name, provider }: ChosenProvider,
  find: FindSecret,
): Promise<Record<string, string>> {
  const read = async ([header, value]: [string, string | { secret: string }]) => {
    if (typeof value === 'string') return [header, value] as const;
    const found = (await find(value.secret))?.trim();
    if (found && /^[\x20-\x7e]*$/.test(found)) return [header, found] as const;
    const message = `header ${header} of provider ${name}: there is no secret ${value.secret}, or it is no visible ASCII text`;
    throw new StepError('fatal', message, { name: 'MissingSecret', scope: 'run' });
  };
  return Object.fromEntries(await Promise.all(Object.entries(provider.headers).map(read)));
}

/** What the model is sent: its role, how JSON is wanted where the provider does not take a schema, what was said, the question. */
export function messagesOf(
  { provider }: ChosenProvider,
  request: LlmRequest,
  said: readonly LlmMessage[],
): LlmMessage[] {
  const { system, schema, messages } = request;
  const wanted = schema !== undefined && provider.json !== 'schema' ? [jsonInWords(schema.schema)] : [];
  return [{ role: 'system', content: system }, ...wanted, ...said, ...messages];
}

function jsonInWords(schema: object): LlmMessage {
  const content = `Answer with one JSON value that fits this JSON Schema, and with nothing else.\n\n${JSON.stringify(schema)}`;
  return { role: 'system', content };
}

function missingKey(name: string, tenant: string, secret?: string): StepError {
  const where = secret === undefined ? `api_key of llm.providers.${name}` : `secret ${secret}`;
  const message = `No API key configured for provider ${name} (tenant ${tenant}: ${where})`;
  return new StepError('fatal', message, { name: 'MissingApiKey', scope: 'run' });
}
