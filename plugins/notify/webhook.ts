// Step notify.webhook: one message by the Standard Webhooks specification, signed, at most answered with 2xx.
import { defineStep, retryAfterMs, type StepContext, StepError } from 'cronwright/plugin';
import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import { deliveryInput, deliveryOutput, goesToOutbox, madeAt } from './delivery.ts';

/** What the transport and the signature say. */
const ownHeaders: ReadonlySet<string> = new Set([
  ...['connection', 'content-length', 'content-type', 'expect', 'host', 'keep-alive', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'webhook-id', 'webhook-timestamp', 'webhook-signature'],
]);
/** Characters of an answer that an error tells. */
const excerptCharacters = 500;

const keyRule =
  'expected whsec_ and base64 of at least 24 bytes, or a list of such keys, kept as secrets; ' +
  'echo whsec_$(openssl rand -base64 32) makes one';
const secret = z.string(keyRule).regex(/^(whsec_)?(?=(?:.{4})+$)[A-Za-z0-9+/]{32,}={0,2}$/, keyRule);
const header = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected the name of a header')
  .refine((name) => !ownHeaders.has(name.toLowerCase()), 'this header is set by the step itself');

const input = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
  secret: z
    .union([secret, z.array(secret).min(1).max(5)], keyRule)
    .describe('Signs the message. Several while a secret is changed: each makes a signature.')
    .meta({ 'x-cronwright-secret': true }),
  type: z
    .string()
    .regex(/^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/, 'expected words joined by dots, such as run.failed')
    .max(200)
    .describe('What happened.'),
  data: z.json().describe('Any JSON; sent as `data`.'),
  headers: z.record(header, z.string()).default({}).describe('Further headers.'),
  delivery: deliveryInput,
  timeout: z.int().min(1).max(60_000).default(15_000).describe('Milliseconds for one attempt.'),
});

const output = z.object({
  ...deliveryOutput,
  status: z.int().optional().describe('Of the answer; absent where none was asked for yet.'),
});

export const webhook = defineStep({
  description: 'Sends a signed webhook (Standard Webhooks).',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'keyed',
  irreversible: 'what was told stays told',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    if (ctx.dryRun) {
      ctx.log.info(`dry run: would send ${given.type} to ${shownUrl(given.url)}`);
      return { id: ctx.idempotencyKey, queued: false };
    }
    if (goesToOutbox(ctx, given.delivery)) return { ...(await ctx.outbox.put()), queued: true };
    const status = await send(ctx, given);
    return { id: ctx.idempotencyKey, queued: false, status };
  },
});

async function send(ctx: StepContext, given: z.output<typeof input>): Promise<number> {
  const body = JSON.stringify({ type: given.type, timestamp: madeAt(ctx).toISOString(), data: given.data });
  const deadline = AbortSignal.timeout(given.timeout);
  const what = `POST ${shownUrl(given.url)}`;
  try {
    const response = await ctx.fetch(given.url, {
      method: 'POST',
      headers: signedHeaders(ctx, given, body),
      body,
      // A signed message goes where it was addressed to, and nowhere else.
      redirect: 'manual',
      signal: AbortSignal.any([ctx.signal, deadline]),
    });
    const failure = response.ok ? undefined : failureOf(what, response, await excerptOf(response));
    if (failure) throw failure;
    await response.body?.cancel();
    return response.status;
  } catch (cause) {
    if (ctx.signal.aborted) throw ctx.signal.reason;
    if (deadline.aborted) {
      throw new StepError('transient', `${what} took longer than ${given.timeout} ms`, { name: 'TimeoutError' });
    }
    if (cause instanceof StepError) throw cause;
    // The host classifies by the code of the cause: connection errors are transient, certificates are not.
    throw new Error(`${what} failed`, { cause });
  }
}

function signedHeaders(ctx: StepContext, given: z.output<typeof input>, body: string): Record<string, string> {
  const id = ctx.idempotencyKey;
  const at = new Date();
  const secrets = Array.isArray(given.secret) ? given.secret : [given.secret];
  const headers: Record<string, string> = { 'user-agent': 'cronwright' };
  if (ctx.traceparent !== undefined) headers.traceparent = ctx.traceparent;
  for (const [name, value] of Object.entries(given.headers)) headers[name.toLowerCase()] = value;
  return {
    ...headers,
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': secrets.map((one) => new Webhook(one).sign(id, at, body)).join(' '),
  };
}

/** 429, 408, 425 and 5xx are tried again; 410 says "never again", and other answers are no better next time. */
function failureOf(what: string, response: Response, body: string): StepError {
  const { status, headers } = response;
  const wait = retryAfterMs(headers.get('retry-after') ?? undefined, headers.get('date') ?? undefined);
  const details = { details: { status, body }, ...(wait === undefined ? {} : { retryAfterMs: wait }) };
  const message = `${what} answered ${status}, expected 2xx`;
  if (status === 429) return new StepError('rate_limited', message, { name: 'RateLimited', ...details });
  if (status === 410) return new StepError('fatal', `${message}: it is gone`, { name: 'WebhookGone', ...details });
  const isTransient = status === 408 || status === 425 || status >= 500;
  const hint = status >= 300 && status < 400 ? '; redirects are not followed' : '';
  return new StepError(isTransient ? 'transient' : 'fatal', message + hint, { name: 'HttpStatusError', ...details });
}

async function excerptOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    // Leaving the loop ends the connection: nobody needs the rest.
    if (text.length >= excerptCharacters) break;
  }
  return text.slice(0, excerptCharacters);
}

/** For people: no user, password, query or fragment, any of which may be a credential. */
function shownUrl(text: string): string {
  const { origin, pathname } = new URL(text);
  return origin + pathname;
}
