// What a provider's refusal, silence or half an answer means for the step: the class of its error, in words without secrets.
import { retryAfterMs } from '../retry-after.ts';
import type { SecretMask } from '../secret-mask.ts';
import { StepError } from '../step-error.ts';

interface Asked {
  name: string;
  model: string;
  maxTokens: number;
  rateLimitKey: string;
  provider: { timeoutMs: number };
}

/** Characters of what the provider says that are kept. */
const longestWords = 500;

/** `hasBegun`: a part of the answer had come. */
export async function failureOf(
  thrown: unknown,
  asked: Asked,
  mask: SecretMask,
  hasBegun: boolean,
): Promise<StepError> {
  const { APIError, APIConnectionError } = await import('openai');
  if (thrown instanceof APIError && !(thrown instanceof APIConnectionError)) {
    const said = { status: thrown.status, code: thrown.code, type: thrown.type, headers: thrown.headers };
    return refusal({ ...said, words: wordsOf(thrown.message, mask) }, asked);
  }
  if (hasBegun) return cutAnswer(asked, wordsOf(rootOf(thrown), mask));
  // Without the cause: what failed may quote what was sent.
  const message = `${asked.name} cannot be reached: ${wordsOf(rootOf(thrown), mask)}`;
  return new StepError('transient', message, { name: 'ProviderUnreachable' });
}

interface Refusal {
  status: number | undefined;
  code: string | null | undefined;
  type: string | undefined;
  headers: Headers | undefined;
  words: string;
}

function refusal({ status, code, type, headers, words }: Refusal, asked: Asked): StepError {
  const { name, model } = asked;
  const fatal = (error: string, message: string, scope?: 'run') =>
    new StepError('fatal', message, { name: error, scope, ...(status ? { details: { status } } : {}) });
  const isLimit = status === 429 || (status === undefined && `${code} ${type}`.includes('rate_limit'));
  if (isLimit && (code === 'insufficient_quota' || type === 'insufficient_quota')) {
    return fatal('QuotaExhausted', `${name} refuses: the account has nothing left (${words})`, 'run');
  }
  if (isLimit) {
    const waitMs = waitOf(headers);
    return new StepError('rate_limited', `${name} asks for quiet (429): ${words}`, {
      name: 'RateLimited',
      key: asked.rateLimitKey,
      ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    });
  }
  if (status === 401) return fatal('InvalidApiKey', `${name} does not accept the API key (401): ${words}`, 'run');
  if (status === 403) return fatal('PermissionDenied', `${name} does not allow this (403): ${words}`);
  if (status === 404)
    return fatal('NotFound', `${name} does not know the model ${model} or the address (404): ${words}`);
  // Within a stream errors have no status.
  if (status === undefined || status >= 500 || [408, 409, 425].includes(status)) {
    const message = `${name} fails (${status ?? 'while it answered'}): ${words}`;
    return new StepError('transient', message, { name: 'ProviderUnavailable' });
  }
  if (status < 400) return fatal('Redirected', `${name} answers with a redirect (${status}), which is not followed`);
  return fatal('InvalidRequest', `${name} refuses the request (${status}): ${words}`);
}

/** Milliseconds; the header that some providers send for shorter waits comes first. */
function waitOf(headers: Headers | undefined): number | undefined {
  const exact = Number(headers?.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(exact) && exact >= 0) return Math.ceil(exact);
  return retryAfterMs(headers?.get('retry-after') ?? undefined, headers?.get('date') ?? undefined);
}

export function timedOut({ name, provider }: Asked): StepError {
  const message = `${name} has not answered within ${provider.timeoutMs} ms`;
  return new StepError('transient', message, { name: 'ProviderTimeout' });
}

export function cutAnswer({ name }: Asked, words?: string): StepError {
  const message = `the answer of ${name} broke off${words === undefined ? ' before its end' : `: ${words}`}`;
  return new StepError('transient', message, { name: 'AnswerCut' });
}

/** Why an answer that ended is none; undefined where it is one. */
export function endedFor(finish: string, refused: string, { name, maxTokens }: Asked): StepError | undefined {
  if (finish === 'length') {
    const message = `the answer of ${name} is longer than max_tokens (${maxTokens}) allows, and was cut there`;
    return new StepError('fatal', message, { name: 'AnswerTooLong' });
  }
  if (finish === 'content_filter') {
    return new StepError('fatal', `the content filter of ${name} kept the answer back`, { name: 'ContentFiltered' });
  }
  if (refused !== '') {
    const message = `the model of ${name} refuses to answer: ${refused.slice(0, longestWords)}`;
    return new StepError('fatal', message, { name: 'Refused' });
  }
  return undefined;
}

function wordsOf(text: string, mask: SecretMask): string {
  const clean = mask.text(text).replace(/\s+/g, ' ').trim();
  return clean.length <= longestWords ? clean : `${clean.slice(0, longestWords)}…`;
}

/** Whether the request may have been read: the connection was there, and broke, or what came back was no answer. */
export function wentOut(thrown: unknown): boolean {
  const root = innermost(thrown);
  if (root instanceof SyntaxError) return true;
  const code = root instanceof Error && 'code' in root ? String(root.code) : '';
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(code) || code.startsWith('HPE_');
}

function innermost(thrown: unknown): unknown {
  let at = thrown;
  for (let depth = 0; depth < 5 && at instanceof Error && at.cause instanceof Error; depth++) at = at.cause;
  return at;
}

/** The innermost cause says what happened; what is around it says `fetch failed`. */
function rootOf(thrown: unknown): string {
  const at = innermost(thrown);
  if (!(at instanceof Error)) return String(at);
  const parts = 'errors' in at && Array.isArray(at.errors) ? at.errors : [];
  const [first] = parts;
  return at.message === '' && first instanceof Error ? first.message : at.message;
}
