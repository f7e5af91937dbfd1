// Heads that cannot be written, over HTTP: the answer is a problem, and the fault is an event.
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { guardedResponse } from '../../../src/http/guarded-response.ts';
import { textResponse } from '../../../src/http/response.ts';
import { createEventBus } from '../../../src/observe/events.ts';

const unsound = 'text/html\r\nx: y';

describe('a head that cannot be written', () => {
  const crashes: unknown[] = [];
  const printed = vi.spyOn(console, 'error');
  let close = () => {};
  afterEach(() => {
    close();
    crashes.length = 0;
    printed.mockClear();
  });

  async function serve(answer: () => Response | Promise<Response>): Promise<string> {
    const events = createEventBus();
    events.on('service.crashed', (event) => crashes.push(event));
    const server = createAdaptorServer({
      fetch: answer,
      serverOptions: { ServerResponse: guardedResponse(events) },
    });
    close = () => server.close();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const stream = () => ReadableStream.from([Buffer.from('a'), Buffer.from('b')]) as ReadableStream<Uint8Array>;

  it.each([
    ['of a text', () => textResponse('secret', unsound)],
    ['of a text that came later', async () => textResponse('secret', unsound)],
    ['of a stream', async () => textResponse(stream(), unsound, 200, { 'content-length': '2', etag: '"x"' })],
    ['without a body', async () => textResponse(null, 'text/plain', 303, { location: '/ü→' })],
  ])('%s is answered by a problem, and told', async (_, answer) => {
    const url = await serve(answer);
    const response = await fetch(`${url}/some/path?query=1`, { redirect: 'manual' });
    expect(response).toMatchObject({ status: 500, statusText: 'Internal Server Error' });
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(response.headers.get('etag')).toBeNull();
    expect(await response.json()).toMatchObject({ code: 'internal', instance: '/some/path' });
    expect(crashes).toMatchObject([{ service: 'http', error: expect.stringMatching(/^\/some\/path: Invalid char/) }]);
    expect(printed).not.toHaveBeenCalled();
    const again = await fetch(`${url}/again`, { method: 'HEAD', redirect: 'manual' });
    expect([again.status, await again.text()]).toEqual([500, '']);
  });

  it('is the only one that is touched', async () => {
    const url = await serve(async () => textResponse(stream(), 'text/plain', 200, { 'content-length': '2' }));
    expect(await (await fetch(url)).text()).toBe('ab');
    expect(crashes).toEqual([]);
  });
});
