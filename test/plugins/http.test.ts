// http.request against real servers on the loopback, and the addresses it must not reach.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { send } from '../../plugins/http/send.ts';
import { createAbortError } from '../../src/steps/abort-reason.ts';
import { isAllowedByHost, isPublicAddress } from '../../src/steps/allowed-address.ts';
import { type Lookup, reachableAddresses } from '../../src/steps/reachable-addresses.ts';
import { retryAfterMs } from '../../src/steps/retry-after.ts';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

interface Peer {
  url: string;
  port: number;
  requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
}

/** A server that keeps what it was asked. */
async function serve(answer: RequestListener, address = '127.0.0.1', port = 0): Promise<Peer> {
  const requests: Peer['requests'] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers, body });
    answer(request, response);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, address, resolve));
  const taken = (server.address() as AddressInfo).port;
  return { url: `http://${address}:${taken}`, port: taken, requests };
}

const allowPrivateHosts = ['127.0.0.0/8'];
const request = (input: Record<string, unknown>, overrides: Overrides = {}) =>
  runStep('http.request', input, { allowPrivateHosts, ...overrides });

describe('http.request', () => {
  it('gives status, headers and parsed JSON', async () => {
    const peer = await serve((_request, response) => {
      response.setHeader('set-cookie', 'session=secret');
      response.setHeader('content-type', 'application/problem+json; charset=utf-8');
      response.end('{"a":[1]}');
    });
    const ran = await request({
      url: `${peer.url}/x?a=1`,
      query: { b: 'ü&', c: 2, d: true },
      headers: { 'X-Own': 'yes' },
    });
    const output = outputOf(ran);
    expect(output).toMatchObject({ status: 200, json: { a: [1] }, url: `${peer.url}/x?a=1&b=%C3%BC%26&c=2&d=true` });
    expect(output.headers).toMatchObject({ 'content-type': 'application/problem+json; charset=utf-8' });
    expect(JSON.stringify(output)).not.toContain('session');
    expect(peer.requests[0]).toMatchObject({ method: 'GET', headers: { 'x-own': 'yes', 'user-agent': 'cronwright' } });
    expect(peer.requests[0]?.headers).not.toHaveProperty('idempotency-key');
    expect(peer.requests[0]?.headers).not.toHaveProperty('traceparent');
  });

  it('sends JSON with its idempotency key and trace', async () => {
    const peer = await serve((_request, response) => response.end('plain'));
    const ran = await request(
      { url: peer.url, method: 'POST', json: { a: null } },
      { idempotencyKey: 'key-1', traceparent: '00-ab-cd-01' },
    );
    expect(outputOf(ran)).toMatchObject({ body: 'plain' });
    expect(peer.requests[0]).toMatchObject({
      method: 'POST',
      body: '{"a":null}',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'key-1', traceparent: '00-ab-cd-01' },
    });
  });

  it.each([
    [404, 'fatal', 'HttpStatusError'],
    [401, 'fatal', 'HttpStatusError'],
    [408, 'transient', 'HttpStatusError'],
    [500, 'transient', 'HttpStatusError'],
    [503, 'transient', 'HttpStatusError'],
    [429, 'rate_limited', 'RateLimited'],
  ])('takes %i for %s', async (status, errorClass, name) => {
    const peer = await serve((_request, response) => response.writeHead(status, { 'retry-after': '7' }).end('because'));
    const error = errorOf(await request({ url: peer.url }));
    expect(error).toMatchObject({ class: errorClass, name, details: { status, body: 'because' } });
    expect(error.message).toBe(`GET ${peer.url}/ answered ${status}, expected 2xx`);
    expect(error.retryAfterMs).toBe(status === 429 ? 7_000 : undefined);
  });

  it('accepts the statuses it was told to', async () => {
    const peer = await serve((_request, response) => response.writeHead(404).end());
    expect(outputOf(await request({ url: peer.url, expect_status: [200, 404] })).status).toBe(404);
    expect(outputOf(await request({ url: peer.url, expect_status: '4xx' })).status).toBe(404);
    expect(errorOf(await request({ url: peer.url, expect_status: ['5xx', 200] })).message).toContain(
      'expected 5xx or 200',
    );
  });

  it('takes connection errors and its own timeout for transient', async () => {
    const peer = await serve((_request, response) => response.socket?.destroy());
    expect(errorOf(await request({ url: peer.url }))).toMatchObject({
      class: 'transient',
      message: expect.stringContaining('failed: '),
    });
    const silent = await serve(() => {});
    expect(errorOf(await request({ url: silent.url, timeout: 60 }))).toMatchObject({
      class: 'transient',
      name: 'TimeoutError',
      message: `GET ${silent.url}/ took longer than 60 ms`,
    });
    const halting = await serve((_request, response) =>
      response.writeHead(200, { 'content-length': 10 }).write('half'),
    );
    expect(errorOf(await request({ url: halting.url, timeout: 100 }))).toMatchObject({ name: 'TimeoutError' });
    const broken = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': 10 }).write('half');
      setTimeout(() => response.socket?.destroy(), 20);
    });
    expect(errorOf(await request({ url: broken.url }))).toMatchObject({ class: 'transient' });
    const closed = servers.at(-1);
    closed?.closeAllConnections();
    await new Promise((resolve) => closed?.close(resolve));
    expect(errorOf(await request({ url: broken.url }))).toMatchObject({
      class: 'transient',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('ends when its signal aborts', async () => {
    const silent = await serve(() => {});
    const controller = new AbortController();
    const running = request({ url: silent.url }, { signal: controller.signal });
    await expect.poll(() => silent.requests.length).toBe(1);
    controller.abort(createAbortError('cancelled'));
    expect((await running).result).toMatchObject({ kind: 'cancelled', abandoned: false });
  });

  it('unpacks bodies, and counts them unpacked', async () => {
    const peer = await serve((incoming, response) => {
      const size = Number(incoming.url?.slice(1));
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(size)));
    });
    expect(outputOf(await request({ url: `${peer.url}/10` })).body).toBe('x'.repeat(10));
    expect(errorOf(await request({ url: `${peer.url}/50000000` }))).toMatchObject({
      name: 'BodyTooLarge',
      class: 'fatal',
    });
    expect(errorOf(await request({ url: `${peer.url}/11`, max_bytes: 10 })).name).toBe('BodyTooLarge');
  });

  it.each([
    ['image/png; a', 'image/png'],
    ['häh', 'application/octet-stream'],
    ['image/png; a=b', 'image/png; a=b'],
  ])('keeps a body of type %j as %s', async (sent, kept) => {
    const peer = await serve((_, response) => {
      response.setHeader('content-type', sent).end(Buffer.from([0x89, 0x50, 0xff, 0]));
    });
    expect(outputOf(await request({ url: peer.url }))).toMatchObject({ artifact: { media_type: kept } });
  });

  it('makes artifacts of bodies that are binary or large', async () => {
    const peer = await serve((incoming, response) => {
      response.setHeader('content-type', incoming.url === '/big.txt' ? 'text/plain' : 'image/png');
      response.end(incoming.url === '/big.txt' ? 'y'.repeat(600_000) : Buffer.from([0x89, 0x50, 0xff, 0]));
    });
    const big = await request({ url: `${peer.url}/big.txt` });
    expect(outputOf(big)).toMatchObject({ artifact: { name: 'big.txt', media_type: 'text/plain', size: 600_000 } });
    expect(outputOf(big)).not.toHaveProperty('body');
    const binary = await request({ url: `${peer.url}/` });
    expect(outputOf(binary)).toMatchObject({ artifact: { name: 'body', size: 4 } });
    expect([...(binary.recorded.artifacts[0]?.content ?? [])]).toEqual([0x89, 0x50, 0xff, 0]);
  });

  it('has no body for HEAD and 204', async () => {
    const peer = await serve((incoming, response) =>
      response.writeHead(incoming.method === 'HEAD' ? 200 : 204, { 'content-encoding': 'gzip' }).end(),
    );
    for (const method of ['HEAD', 'GET']) {
      const output = outputOf(await request({ url: peer.url, method }));
      expect(Object.keys(output).sort()).toEqual(['duration_ms', 'headers', 'status', 'url']);
    }
  });

  it('says when a peer promises JSON and does not keep it', async () => {
    const peer = await serve((_request, response) =>
      response.setHeader('content-type', 'application/json').end('<html>'),
    );
    expect(errorOf(await request({ url: peer.url }))).toMatchObject({
      name: 'InvalidJson',
      class: 'transient',
      details: { body: '<html>' },
    });
  });

  it('turns user and password into a header and shows them nowhere', async () => {
    const peer = await serve((_request, response) => response.writeHead(403).end());
    const url = peer.url.replace('//', '//me:p%40ss@');
    const ran = await request({ url });
    expect(peer.requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`);
    expect(JSON.stringify([ran.result, ran.recorded])).not.toMatch(/p%40ss|p@ss/);
  });

  it('sends in a dry run only what changes nothing', async () => {
    const peer = await serve((_request, response) => response.end());
    expect(outputOf(await request({ url: peer.url, method: 'DELETE' }, { dryRun: true }))).toMatchObject({
      status: 0,
      url: `${peer.url}/`,
    });
    expect(peer.requests).toEqual([]);
    expect(outputOf(await request({ url: peer.url }, { dryRun: true })).status).toBe(200);
  });

  it.each([
    [{ url: 'ftp://example.com' }, 'http or https'],
    [{ url: 'http://x', json: 1, body: 'x', method: 'POST' }, 'not both'],
    [{ url: 'http://x', body: 'x' }, 'have no body'],
    [{ url: 'http://x', headers: { Host: 'y' } }, 'set by the transport'],
    [{ url: 'http://x', headers: { 'a b': 'y' } }, 'name of a header'],
    [{ url: 'http://x', follow_redirects: 6 }, 'follow_redirects'],
    [{ url: 'http://x', expect_status: '6xx' }, 'expect_status'],
    [{ url: 'http://x', verb: 'GET' }, 'verb'],
  ])('refuses %j', async (input, says) => {
    expect(errorOf(await request(input))).toMatchObject({
      name: 'ValidationError',
      message: expect.stringContaining(says),
    });
  });
});

describe('redirects', () => {
  const redirect =
    (status: number, location: string): RequestListener =>
    (_request, response) =>
      response.writeHead(status, { location }).end();

  it.each([
    [301, 'GET', 'GET', ''],
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [303, 'PUT', 'GET', ''],
    [307, 'POST', 'POST', 'body'],
    [308, 'PUT', 'PUT', 'body'],
  ])('%i turns %s into %s', async (status, method, becomes, body) => {
    const peer = await serve((incoming, response) => {
      if (incoming.url === '/from') redirect(status, '/to')(incoming, response);
      else response.end('there');
    });
    const sent = method === 'GET' ? {} : { body: 'body' };
    expect(outputOf(await request({ url: `${peer.url}/from`, method, ...sent }))).toMatchObject({
      body: 'there',
      url: `${peer.url}/to`,
    });
    expect(peer.requests[1]).toMatchObject({ method: becomes, body, url: '/to' });
  });

  it('keeps credentials with their origin', async () => {
    const other = await serve((_request, response) => response.end('there'));
    const peer = await serve((incoming, response) =>
      redirect(302, incoming.url === '/near' ? '/far' : other.url)(incoming, response),
    );
    const headers = { Authorization: 'Bearer x', Cookie: 'a=b', 'X-Api-Key': 'k', Accept: 'text/plain' };
    outputOf(await request({ url: `${peer.url}/near`, headers }));
    expect(peer.requests[1]?.headers).toMatchObject({ authorization: 'Bearer x', 'x-api-key': 'k' });
    expect(other.requests[0]?.headers).toMatchObject({ accept: 'text/plain' });
    for (const name of ['authorization', 'cookie', 'x-api-key'])
      expect(other.requests[0]?.headers).not.toHaveProperty(name);
  });

  it('ends after five, or as many as it was told', async () => {
    const peer = await serve((_request, response) => response.writeHead(302, { location: '/again' }).end());
    expect(errorOf(await request({ url: peer.url }))).toMatchObject({ name: 'TooManyRedirects', class: 'fatal' });
    expect(peer.requests).toHaveLength(6);
    expect(errorOf(await request({ url: peer.url, follow_redirects: 1 })).name).toBe('TooManyRedirects');
    expect(peer.requests).toHaveLength(8);
    expect(outputOf(await request({ url: peer.url, follow_redirects: false, expect_status: '3xx' }))).toMatchObject({
      status: 302,
      headers: { location: '/again' },
    });
  });

  it('checks every hop', async () => {
    const inner = await serve((_request, response) => response.end('internal'), '127.0.0.3');
    const peer = await serve(redirect(302, inner.url), '127.0.0.2');
    expect(errorOf(await request({ url: peer.url }, { allowPrivateHosts: ['127.0.0.2'] }))).toMatchObject({
      name: 'AddressRefused',
      class: 'fatal',
    });
    expect(inner.requests).toEqual([]);
    const file = await serve(redirect(302, 'file:///etc/passwd'));
    expect(errorOf(await request({ url: file.url })).message).toContain('protocol is file, expected http or https');
  });
});

describe('addresses', () => {
  it.each([
    '127.0.0.1',
    '127.9.9.9',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '100.100.100.200',
    '0.0.0.0',
    '168.63.129.16',
    '192.0.0.8',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '192.0.2.1',
    '::',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'fd00:ec2::254',
    'fc00::1',
    'fec0::1',
    'ff02::1',
    '2001:db8::1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '::127.0.0.1',
    '::ffff:0:127.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::1',
    '2002:7f00:1::',
    '2001::1',
    '100::1',
    '4000::1',
    'nonsense',
    '',
  ])('%s is not public', (address) => expect(isPublicAddress(address)).toBe(false));

  it.each([
    '8.8.8.8',
    '1.1.1.1',
    '172.32.0.1',
    '2606:4700::1111',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true));

  it.each([
    'http://127.0.0.1',
    'http://0177.0.0.1',
    'http://2130706433',
    'http://0x7f.1',
    'http://127.1',
    'http://①②⑦.0.0.1',
    'http://0',
    'http://[::1]',
    'http://[::ffff:7f00:1]',
    'http://[64:ff9b::7f00:1]',
    'http://localhost',
    'http://169.254.169.254/latest',
  ])('refuses %s unless it is allowed', async (url) => {
    expect(errorOf(await request({ url, timeout: 5_000 }, { allowPrivateHosts: [] }))).toMatchObject({
      name: 'AddressRefused',
      class: 'fatal',
    });
  });

  it('allows hosts by name, by name and port, and by range', () => {
    const target = { hostname: 'Build.Internal', port: 8080, address: '10.0.0.7' };
    const allowed = (...settings: string[]) => isAllowedByHost(settings, target);
    expect([
      allowed('build.internal'),
      allowed('build.internal:8080'),
      allowed('10.0.0.0/8'),
      allowed(' BUILD.internal. '),
    ]).toEqual([true, true, true, true]);
    expect([
      allowed(),
      allowed('build.internal:80'),
      allowed('internal'),
      allowed('10.1.0.0/16'),
      allowed('10.0.0.0/99'),
      allowed('fd00::/8'),
    ]).toEqual(Array(6).fill(false));
    expect(isAllowedByHost(['[::1]:80'], { hostname: '[::1]', port: 80, address: '::1' })).toBe(true);
    expect(isAllowedByHost(['127.0.0.0/8'], { hostname: 'x', port: 80, address: '::ffff:127.0.0.1' })).toBe(true);
  });

  const hop = (url: string) => ({ url: new URL(url), method: 'GET', headers: {}, body: undefined });
  const options = (lookup: Lookup, allowPrivateHosts: string[]) => ({
    lookup: (hostname: string, port: number) => reachableAddresses(hostname, port, { allowPrivateHosts, lookup }),
    signal: AbortSignal.timeout(5_000),
    maxRedirects: 5,
    maxBytes: 1_000,
  });

  it('looks a name up once and stays with that address, whatever the name says next', async () => {
    const outer = await serve((_request, response) => response.end('outer'), '127.0.0.2');
    const inner = await serve((_request, response) => response.end('inner'), '127.0.0.1', outer.port);
    const answers = ['127.0.0.2', '127.0.0.1'];
    let lookups = 0;
    const lookup = async () => [{ address: answers[lookups++] ?? '127.0.0.1', family: 4 }];
    const response = await send(hop(`http://rebind.test:${outer.port}/`), options(lookup, ['127.0.0.2/32']));
    expect(response.body).toMatchObject({ text: 'outer' });
    expect(outer.requests[0]?.headers.host).toBe(`rebind.test:${outer.port}`);
    expect([lookups, inner.requests.length]).toEqual([1, 0]);
  });

  it('checks a name anew after a redirect to itself', async () => {
    const outer = await serve(
      (_request, response) => response.writeHead(302, { location: '/again' }).end(),
      '127.0.0.2',
    );
    const inner = await serve((_request, response) => response.end('inner'), '127.0.0.1', outer.port);
    const answers = ['127.0.0.2', '127.0.0.1'];
    const lookup = async () => [{ address: answers.shift() ?? '', family: 4 }];
    await expect(
      send(hop(`http://rebind.test:${outer.port}/`), options(lookup, ['127.0.0.2/32'])),
    ).rejects.toMatchObject({ name: 'AddressRefused' });
    expect(inner.requests).toEqual([]);
  });

  it('refuses a name that has one private address among public ones', async () => {
    const lookup = async () => [
      { address: '8.8.8.8', family: 4 },
      { address: '::ffff:10.0.0.1', family: 6 },
    ];
    await expect(send(hop('http://both.test/'), options(lookup, []))).rejects.toMatchObject({ name: 'AddressRefused' });
  });
});

describe('Retry-After', () => {
  it.each([
    ['120', undefined, 120_000],
    [' 0 ', undefined, 0],
    ['Wed, 21 Oct 2015 07:28:10 GMT', 'Wed, 21 Oct 2015 07:28:00 GMT', 10_000],
    ['Wed, 21 Oct 2015 07:28:00 GMT', undefined, 0],
    ['soon', undefined, undefined],
    ['', undefined, undefined],
    [undefined, undefined, undefined],
  ])('%s (peer: %s) is %s ms', (value, date, ms) => expect(retryAfterMs(value, date)).toBe(ms));
});
