// notify.webhook against real receivers that check the signature with the specification's own library.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it } from 'vitest';
import { createAbortError } from '../../src/steps/abort-reason.ts';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const otherSecret = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';

interface Received {
  headers: Record<string, string>;
  body: string;
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function receive(answer: RequestListener = (_request, response) => response.writeHead(204).end()) {
  const received: Received[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    received.push({ headers: request.headers as Record<string, string>, body });
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks?key=hidden`, received };
}

const data = { pipeline: 'reports', text: 'ü ${{ not an expression', list: [1, null] };
const send = (input: Record<string, unknown>, overrides: Overrides = {}) =>
  runStep(
    'notify.webhook',
    { secret, type: 'run.failed', data, delivery: 'now', ...input },
    { allowPrivateHosts: ['127.0.0.0/8'], secrets: [secret], ...overrides },
  );

describe('notify.webhook', () => {
  it('sends type, timestamp and data with a signature that the receiver can check', async () => {
    const { url, received } = await receive();
    const output = outputOf(await send({ url, headers: { 'X-Team': 'ops' } }, { idempotencyKey: 'run/step' }));
    expect(output).toEqual({ id: 'run/step', queued: false, status: 204 });
    const [{ headers, body }] = received as [Received];
    expect(new Webhook(secret).verify(body, headers)).toMatchObject({ type: 'run.failed', data });
    expect(headers).toMatchObject({ 'webhook-id': 'run/step', 'content-type': 'application/json', 'x-team': 'ops' });
    expect(() => new Webhook(otherSecret).verify(body, headers)).toThrow();
  });

  it('signs with each of several secrets, so that one can be changed without a gap', async () => {
    const { url, received } = await receive();
    outputOf(await send({ url, secret: [otherSecret, secret] }));
    const [{ headers, body }] = received as [Received];
    for (const one of [secret, otherSecret]) expect(new Webhook(one).verify(body, headers)).toMatchObject({ data });
  });

  it('only leaves the call in the outbox unless it is told to send it now', async () => {
    const { url, received } = await receive();
    const ran = await send({ url, delivery: undefined }, { idempotencyKey: 'k' });
    expect(outputOf(ran)).toMatchObject({ queued: true });
    expect(received).toEqual([]);
    expect(ran.recorded.outbox.size).toBe(1);
  });

  it('sends when the outbox calls it, with the time at which it was put there', async () => {
    const { url, received } = await receive();
    const delivery = { putAt: '2026-01-02T03:04:05.000Z' };
    outputOf(await send({ url, delivery: 'outbox' }, { delivery }));
    const [{ headers, body }] = received as [Received];
    expect(new Webhook(secret).verify(body, headers)).toMatchObject({ timestamp: delivery.putAt });
  });

  it('sends nothing in a dry run, and says what it would', async () => {
    const { url, received } = await receive();
    const ran = await send({ url, delivery: 'outbox' }, { dryRun: true });
    expect(outputOf(ran)).toMatchObject({ queued: false });
    expect(ran.recorded.log[0]?.message).toMatch(/would send run\.failed to http:.*\/hooks$/);
    expect([received.length, ran.recorded.outbox.size]).toEqual([0, 0]);
  });

  it.each([
    [410, 'WebhookGone', 'fatal'],
    [400, 'HttpStatusError', 'fatal'],
    [404, 'HttpStatusError', 'fatal'],
    [408, 'HttpStatusError', 'transient'],
    [425, 'HttpStatusError', 'transient'],
    [429, 'RateLimited', 'rate_limited'],
    [500, 'HttpStatusError', 'transient'],
    [503, 'HttpStatusError', 'transient'],
  ])('takes %i as %s, %s', async (status, name, errorClass) => {
    const { url } = await receive((_request, response) =>
      response.writeHead(status, { 'retry-after': '7' }).end(`because ${secret} ${'x'.repeat(100_000)}`),
    );
    const error = errorOf(await send({ url }));
    expect(error).toMatchObject({ name, class: errorClass, retryAfterMs: 7_000, details: { status } });
    const said = JSON.stringify(error);
    expect(said).toContain('because ***');
    expect(said.length).toBeLessThan(2_000);
    expect(said).not.toContain('hidden');
  });

  it('follows no redirect', async () => {
    const target = await receive();
    const { url } = await receive((_request, response) => response.writeHead(307, { location: target.url }).end());
    expect(errorOf(await send({ url }))).toMatchObject({
      class: 'fatal',
      message: expect.stringContaining('redirects'),
    });
    expect(target.received).toEqual([]);
  });

  it('reaches no private address that is not allowed', async () => {
    const { url, received } = await receive();
    const error = errorOf(await send({ url }, { allowPrivateHosts: [] }));
    expect(error).toMatchObject({ name: 'AddressRefused', class: 'fatal' });
    const byName = errorOf(await send({ url: url.replace('127.0.0.1', 'localhost') }, { allowPrivateHosts: [] }));
    expect(byName).toMatchObject({ name: 'AddressRefused', class: 'fatal' });
    expect(received).toEqual([]);
  });

  it('tries again where nobody answers, or not in time', async () => {
    const silent = await receive(() => {});
    expect(errorOf(await send({ url: silent.url, timeout: 100 }))).toMatchObject({
      name: 'TimeoutError',
      class: 'transient',
    });
    const { url } = await receive();
    servers.at(-1)?.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(errorOf(await send({ url }))).toMatchObject({ class: 'transient' });
  });

  it('ends at once when its run is cancelled', async () => {
    const controller = new AbortController();
    const { url } = await receive(() => controller.abort(createAbortError('cancelled')));
    expect((await send({ url }, { signal: controller.signal })).result.kind).toBe('cancelled');
  });

  it.each([
    ['a secret that is no key', { secret: 'whsec_short' }],
    ['a type of several words', { type: 'run failed' }],
    ['a header of its own', { headers: { 'Webhook-Id': 'x' } }],
    ['a URL that is not HTTP', { url: 'ftp://example.com' }],
  ])('refuses %s', async (_what, wrong) => {
    const error = errorOf(await send({ url: 'http://127.0.0.1:9', ...wrong }));
    expect(error).toMatchObject({ name: 'ValidationError', class: 'fatal' });
    expect(error.message).toMatch(/expected|set by the step/);
    expect(error.message).not.toMatch(/whsec_short|must match/);
  });
});
