// Step notify.email: one mail by SMTP, its failures in the classes that retries go by.
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import type { SendMailOptions } from 'nodemailer';
import { z } from 'zod';
import { deliveryInput, deliveryOutput, goesToOutbox, madeAt } from './delivery.ts';
import { mailFailure } from './mail-failure.ts';

const line = z.string().regex(/^[^\r\n]*$/, 'expected one line');
const address = line
  .min(3)
  .max(320)
  .regex(/@/, 'expected an address such as ops@example.com or "Ops <ops@example.com>"');
const addresses = z.union(
  [address, z.array(address).min(1).max(100)],
  'expected an address such as ops@example.com or "Ops <ops@example.com>", or a list of them',
);

const smtp = z
  .strictObject({
    url: z
      .string()
      .regex(/^smtps?:\/\/./, 'expected smtp://user:password@host:587 or smtps://…')
      .optional()
      .describe('All of it in one; keep it as a secret.')
      .meta({ 'x-cronwright-secret': true }),
    host: line.min(1).optional(),
    port: z.int().min(1).max(65_535).optional().describe('Default: 465 with `tls: always`, else 587.'),
    tls: z
      .enum(['always', 'starttls', 'none'])
      .default('starttls')
      .describe('always: TLS from the start. starttls: required before anything is sent. none: in the clear.'),
    ca: z
      .string()
      .regex(/^-----BEGIN CERTIFICATE-----/, 'expected a certificate in PEM')
      .optional()
      .describe("Whoever signed the server's certificate, where that is no public authority."),
    user: line.optional(),
    password: z.string().optional().meta({ 'x-cronwright-secret': true }),
  })
  .refine(({ url, host }) => (url === undefined) !== (host === undefined), 'give url or host')
  .refine(
    ({ user, password }) => (user === undefined) === (password === undefined),
    'give user and password, or neither',
  )
  .describe('The mail server. It is set by whoever writes the configuration, and may be at a private address.');

const input = z.strictObject({
  smtp,
  from: address,
  to: addresses,
  cc: addresses.optional(),
  bcc: addresses.optional(),
  reply_to: address.optional(),
  subject: line.min(1).max(500),
  text: z.string(),
  html: z.string().optional().describe('Shown instead of the text by programs that can.'),
  delivery: deliveryInput,
  timeout: z.int().min(1).max(60_000).default(30_000).describe('Milliseconds for one attempt.'),
});

const output = z.object({
  ...deliveryOutput,
  message_id: z.string().optional(),
  accepted: z.array(z.string()).optional().describe('Recipients that the server took.'),
  rejected: z.array(z.string()).optional().describe('Recipients that it refused while it took others.'),
});

type Input = z.output<typeof input>;

export const email = defineStep({
  description: 'Sends a mail.',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'keyed',
  irreversible: 'a mail that was sent stays sent',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    if (ctx.dryRun) {
      ctx.log.info(`dry run: would send "${given.subject}" to ${[given.to].flat().join(', ')}`);
      return { id: ctx.idempotencyKey, queued: false };
    }
    if (goesToOutbox(ctx, given.delivery)) return { ...(await ctx.outbox.put()), queued: true };
    return { id: ctx.idempotencyKey, queued: false, ...(await send(ctx, given)) };
  },
});

async function send(ctx: StepContext, given: Input) {
  const { createTransport } = await import('nodemailer');
  const deadline = AbortSignal.timeout(given.timeout);
  const transport = createTransport(serverOf(given));
  try {
    const signal = AbortSignal.any([ctx.signal, deadline]);
    const sent = await transport.sendMail({ ...mailOf(ctx, given), signal });
    const rejected = sent.rejected.map(addressOf);
    if (rejected.length > 0) ctx.log.warn(`the server refused ${rejected.join(', ')}`);
    return { message_id: sent.messageId, accepted: sent.accepted.map(addressOf), rejected };
  } catch (error) {
    if (ctx.signal.aborted) throw ctx.signal.reason;
    if (deadline.aborted) {
      throw new StepError('transient', `the mail server took longer than ${given.timeout} ms`, {
        name: 'TimeoutError',
      });
    }
    throw mailFailure(error);
  } finally {
    transport.close();
  }
}

function serverOf({ smtp: server, timeout }: Input) {
  const { url, host, tls, user, password } = server;
  const always = tls === 'always' || url?.startsWith('smtps:') === true;
  return {
    ...(url === undefined ? { host, port: server.port ?? (always ? 465 : 587) } : { url }),
    ...(user === undefined ? {} : { auth: { user, pass: password ?? '' } }),
    secure: always,
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    ...(server.ca === undefined ? {} : { tls: { ca: server.ca } }),
    connectionTimeout: timeout,
    greetingTimeout: timeout,
    socketTimeout: timeout,
    // Texts come from expressions: they are texts, whatever they look like.
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

function mailOf(ctx: StepContext, given: Input): SendMailOptions {
  const domain = /@([^\s<>@]+)>?\s*$/.exec(given.from)?.[1] ?? 'cronwright.invalid';
  const local = ctx.idempotencyKey.replace(/[^A-Za-z0-9-]+/g, '.');
  return {
    from: given.from,
    to: given.to,
    ...(given.cc === undefined ? {} : { cc: given.cc }),
    ...(given.bcc === undefined ? {} : { bcc: given.bcc }),
    ...(given.reply_to === undefined ? {} : { replyTo: given.reply_to }),
    subject: given.subject,
    text: given.text,
    ...(given.html === undefined ? {} : { html: given.html }),
    // The same at every attempt: mail programs show a message that arrives twice once.
    messageId: `<${local}@${domain}>`,
    date: madeAt(ctx),
    // RFC 3834: out-of-office replies do not answer it.
    headers: { 'auto-submitted': 'auto-generated' },
  };
}

function addressOf(recipient: string | { address: string }): string {
  return typeof recipient === 'string' ? recipient : recipient.address;
}
