// Step http.request: one request, its answer as output, its failures in the classes that retries go by.
import { type Artifact, defineStep, isMediaType, retryAfterMs, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { type Response, send, shownUrl } from './send.ts';

const methods = ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const readingMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** What the transport itself says. */
const forbiddenHeaders: ReadonlySet<string> = new Set([
  ...['connection', 'content-length', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
]);
/** Bytes of a body that stay in the output; a larger one becomes an artifact, as an output holds 1 MB. */
const mostInOutput = 500_000;
/** Characters of a body that an error tells. */
const excerptCharacters = 1_000;

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const status = z.union([z.int().min(100).max(599), z.string().regex(/^[1-5]xx$/, 'expected a status or 2xx, 3xx, …')]);
const header = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected the name of a header')
  .refine((name) => !forbiddenHeaders.has(name.toLowerCase()), 'this header is set by the transport');

const input = z
  .strictObject({
    url: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
    method: z.enum(methods).default('GET'),
    headers: z.record(header, scalar).default({}),
    query: z.record(z.string(), scalar).default({}).describe('Added to the query of the URL.'),
    json: z.json().optional().describe('Body, sent as application/json.'),
    body: z.string().optional().describe('Body, sent as it is.'),
    timeout: z.int().min(1).max(600_000).default(30_000).describe('Milliseconds for all of it, redirects included.'),
    max_bytes: z.int().min(0).max(67_108_864).default(8_388_608).describe('Bytes of the body, unpacked.'),
    follow_redirects: z
      .union([z.boolean(), z.int().min(0).max(5)])
      .default(true)
      .describe('At most 5.'),
    expect_status: z.union([status, z.array(status).min(1)]).default('2xx'),
  })
  .refine((value) => value.json === undefined || value.body === undefined, { message: 'give json or body, not both' })
  .refine((value) => !readingMethods.has(value.method) || (value.json === undefined && value.body === undefined), {
    message: 'GET, HEAD and OPTIONS have no body',
  });

const output = z.object({
  status: z.int().describe('0 where a dry run did not send the request.'),
  headers: z.record(z.string(), z.string()).describe('Names in lower case; set-cookie is left out.'),
  body: z.string().optional().describe('A body that is text but not JSON.'),
  json: z.json().optional().describe('A body that is JSON.'),
  artifact: z
    .object({ id: z.string(), name: z.string(), media_type: z.string(), size: z.int(), sha256: z.string() })
    .optional()
    .describe('Where the body went that is binary or larger than 500 kB.'),
  url: z.string().describe('Where the answer came from.'),
  duration_ms: z.number(),
});

export const request = defineStep({
  description: 'Sends an HTTP request; private addresses are refused unless the host allows them.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'keyed',
  irreversible: 'what a request other than GET, HEAD and OPTIONS set off, only its receiver can take back',
  isolation: 'inline',
  weight: 'light',
  rateLimitKey: ({ url }) => `http:${new URL(url).host}`,
  async run(ctx, given) {
    const url = new URL(given.url);
    for (const [name, value] of Object.entries(given.query)) url.searchParams.append(name, String(value));
    if (ctx.dryRun && !readingMethods.has(given.method)) {
      ctx.log.info(`dry run: would send ${given.method} ${shownUrl(url)}`);
      return { status: 0, headers: {}, url: shownUrl(url), duration_ms: 0 };
    }
    const startedAt = performance.now();
    const response = await sendWithin(ctx, url, given);
    const duration = Math.round(performance.now() - startedAt);
    const failure = failureOf(response, given);
    if (failure) throw failure;
    const { status, headers, url: from } = response;
    return { status, headers, ...(await bodyForOutput(ctx, response)), url: from, duration_ms: duration };
  },
});

async function sendWithin(ctx: StepContext, url: URL, given: z.output<typeof input>): Promise<Response> {
  const deadline = AbortSignal.timeout(given.timeout);
  const limit = given.follow_redirects;
  try {
    return await send(
      { url, method: given.method, headers: headersOf(ctx, given), body: bodyOf(given) },
      {
        signal: AbortSignal.any([ctx.signal, deadline]),
        lookup: ctx.lookup,
        maxRedirects: typeof limit === 'number' ? limit : limit ? 5 : 0,
        maxBytes: given.max_bytes,
      },
    );
  } catch (cause) {
    if (ctx.signal.aborted) throw ctx.signal.reason;
    const what = `${given.method} ${shownUrl(url)}`;
    if (deadline.aborted) {
      throw new StepError('transient', `${what} took longer than ${given.timeout} ms`, { name: 'TimeoutError' });
    }
    if (cause instanceof StepError) throw cause;
    // The host classifies by the code of the cause: connection errors are transient, certificates are not.
    throw new Error(`${what} failed`, { cause });
  }
}

function headersOf(ctx: StepContext, given: z.output<typeof input>): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': 'cronwright', 'accept-encoding': 'gzip, deflate, br' };
  if (ctx.traceparent !== undefined) headers.traceparent = ctx.traceparent;
  if (!readingMethods.has(given.method)) headers['idempotency-key'] = ctx.idempotencyKey;
  if (given.json !== undefined) headers['content-type'] = 'application/json';
  for (const [name, value] of Object.entries(given.headers)) headers[name.toLowerCase()] = String(value);
  return headers;
}

function bodyOf(given: z.output<typeof input>): string | undefined {
  return given.json === undefined ? given.body : JSON.stringify(given.json);
}

/** 429 waits, 5xx and 408 are tried again, everything else that was not expected is final. */
function failureOf(response: Response, given: z.output<typeof input>): StepError | undefined {
  const { status, headers, body } = response;
  const wanted = Array.isArray(given.expect_status) ? given.expect_status : [given.expect_status];
  if (wanted.some((one) => one === status || one === `${Math.floor(status / 100)}xx`)) return undefined;
  const message = `${given.method} ${response.url} answered ${status}, expected ${wanted.join(' or ')}`;
  const excerpt = body.kind === 'binary' ? '' : body.text.slice(0, excerptCharacters);
  const details = { status, body: excerpt };
  if (status === 429) {
    const wait = retryAfterMs(headers['retry-after'], headers.date);
    return new StepError('rate_limited', message, {
      name: 'RateLimited',
      details,
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
    });
  }
  const isTransient = status === 408 || status >= 500;
  return new StepError(isTransient ? 'transient' : 'fatal', message, { name: 'HttpStatusError', details });
}

async function bodyForOutput(ctx: StepContext, { body, headers, url }: Response) {
  if (body.bytes === 0) return {};
  if (body.kind !== 'binary' && body.bytes <= mostInOutput) {
    return body.kind === 'json' ? { json: body.value as z.output<typeof output>['json'] } : { body: body.text };
  }
  const name = decodeURIComponent(new URL(url).pathname.split('/').at(-1) ?? '') || 'body';
  const mediaType = mediaTypeOf(headers['content-type'] ?? '');
  const content = body.kind === 'binary' ? body.content : body.text;
  const stored: Artifact = await ctx.artifacts.put({ name, mediaType, content });
  const { id, size, sha256 } = stored;
  return { artifact: { id, name: stored.name, media_type: stored.mediaType, size, sha256 } };
}

/** Peers send what they like; what cannot be kept as it is loses its parameters, then its name. */
function mediaTypeOf(contentType: string): string {
  const plain = contentType.split(';')[0]?.trim() ?? '';
  return [contentType, plain].find(isMediaType) ?? 'application/octet-stream';
}
