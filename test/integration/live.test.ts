// The live stream over HTTP, from real engines on one PostgreSQL, heard by clients that are not ours.
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import type { HttpServer } from '../../src/http/create-http-server.ts';
import type { HttpContext } from '../../src/http/http-context.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  gate,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import { enqueueRun, testPipeline, testStep } from '../support/http-world.ts';
import { type LiveClient, openSocket, readEvents } from '../support/live-clients.ts';
import { createWorldServer } from '../support/world-server.ts';

const steps = ['fetch', 'build', 'publish'].map((id, i, all) =>
  testStep(id, i === 0 ? [] : [all[i - 1] as string], { uses: 'test.do' }),
);
const plain = testPipeline('plain', { steps });
const other = testPipeline('other', { steps });

/** An engine with a server of its own. */
interface Node {
  world: EngineWorld;
  script: Script;
  server: HttpServer;
  queries: string[];
}

describe('the live stream', () => {
  let test: TestDatabase;
  let a: Node;
  let b: Node;
  const clients: { close(): void }[] = [];

  async function startNode(db = test.db, live: HttpContext['live'] = {}, token?: string): Promise<Node> {
    const script = createScript();
    const world = await startEngineWorld({ db, script, pipelines: [plain, other] });
    const server = serverOf(world, db, live, token);
    await server.start();
    return { world, script, server, queries: [] };
  }

  function serverOf(world: EngineWorld, db: TestDatabase['db'], live: HttpContext['live'], token?: string): HttpServer {
    return createWorldServer({ ...world, db }, { live: { pollMs: 200, ...live }, token });
  }

  async function stopNode(node: Node): Promise<void> {
    await node.server.stop();
    await node.world.stop();
  }

  function keep<Client extends { close(): void }>(client: Client): Client {
    clients.push(client);
    return client;
  }

  const ended = (id: string) => (event: { run_id: string | null; event: string }) =>
    event.run_id === id && event.event === 'run.completed';

  async function stored(id: string): Promise<{ seq: number; event: string }[]> {
    const { items } = await runEvents(test.db, 'default', id, { after: 0, limit: 500 });
    return items.map(({ seq, event }) => ({ seq, event }));
  }

  function told(client: LiveClient, id: string): { seq: number | null; event: string }[] {
    return client.heard.filter((one) => one.run_id === id).map(({ seq, event }) => ({ seq, event }));
  }

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    a = await startNode();
    b = await startNode();
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
  });
  afterAll(async () => {
    await stopNode(a);
    await stopNode(b);
    await test.close();
  });

  it('tells the whole life of a run on the node that carries it out, in order and once, over both transports', async () => {
    const sse = keep(await readEvents(`${a.server.url}/api/v1/events`));
    const ws = keep(await openSocket(`${a.server.url}/api/v1/ws`));
    // Both nodes take what is ready: the other one would now and then be first.
    b.world.engine.pauseClaims(true);
    const id = await a.world.start('plain');
    for (const client of [sse, ws]) {
      await client.hears(ended(id));
      expect(told(client, id)).toEqual(await stored(id));
    }
    b.world.engine.pauseClaims(false);
    const [first] = sse.heard;
    expect(first).toMatchObject({
      event: 'run.enqueued',
      seq: 1,
      tenant: 'default',
      pipeline: 'plain',
      actor: 'tester',
    });
    expect(first).toMatchObject({ to: 'pending', data: { origin: 'api', schedule: null, parent_id: null } });
    expect(sse.heard.find((one) => one.event === 'run.claimed')?.node).toBe(a.world.engine.node.id);
  });

  it('tells at one node what another enqueued and carried out, in order and once', async () => {
    const sse = keep(await readEvents(`${b.server.url}/events`));
    const ws = keep(await openSocket(`${b.server.url}/ws`));
    const ids = await Promise.all(Array.from({ length: 20 }, () => a.world.start('plain')));
    for (const client of [sse, ws]) {
      for (const id of ids) {
        await client.hears(ended(id));
        expect(told(client, id)).toEqual(await stored(id));
      }
    }
  });

  it('puts a run that moves from node to node in order, wherever it is listened to', async () => {
    const c = await startNode();
    const listening = await Promise.all(
      [a, b].map(async ({ server }) => keep(await readEvents(`${server.url}/api/v1/events?pipeline=other`))),
    );
    const gates = [a, b, c].map(({ script }) => gate(script, 'publish'));
    const id = await c.world.start('other');
    const first = await Promise.race(gates.map(({ entered }, i) => entered.then(() => i)));
    if (first !== 2) {
      // Another node was faster; it gives the run back all the same.
      await Promise.all([a, b].map(({ world }) => world.engine.abortRuns()));
    }
    await stopNode(c);
    for (const { open } of gates) open();
    for (const heard of listening) {
      await heard.hears(ended(id));
      expect(told(heard, id)).toEqual(await stored(id));
      expect(heard.heard.filter((one) => one.event === 'run.claimed').length).toBeGreaterThan(1);
    }
  });

  it('looks for what is missing before it tells what a worker did to a run from elsewhere', async () => {
    const alone = await createTestDatabase('postgres');
    const node = await startNode(alone.db, { pollMs: 3_600_000 });
    const heard = keep(await readEvents(`${node.server.url}/api/v1/events`));
    await heard.hears(ended(await node.world.start('plain')));
    // Nobody here is told of it.
    const { id } = await enqueueRun(alone.db, plain, { actor: 'anna' });
    await heard.hears(ended(id), 10_000);
    expect(heard.numbers(id)).toEqual(heard.numbers(id).map((_, i) => i + 1));
    expect(heard.heard.find((one) => one.run_id === id)).toMatchObject({ event: 'run.enqueued', actor: 'anna' });
    heard.close();
    await stopNode(node);
    await alone.close();
  });

  it('tells what is written without a worker, such as a cancel', async () => {
    const heard = keep(await readEvents(`${a.server.url}/api/v1/events`));
    const elsewhere = keep(await readEvents(`${b.server.url}/api/v1/events`));
    const id = await a.world.start('plain', { runAt: new Date(Date.now() + 3_600_000) });
    await cancelRun(a.world.engine.control, { tenant: 'default', id, actor: 'anna', reason: 'not now' });
    for (const client of [heard, elsewhere]) {
      const event = await client.hears((one) => one.run_id === id && one.event === 'run.cancelled');
      expect(event).toMatchObject({ seq: 2, actor: 'anna', reason: 'not now', from: 'scheduled' });
      expect(told(client, id).map((one) => one.event)).toEqual(['run.enqueued', 'run.cancelled']);
    }
  });

  describe('filters', () => {
    it('lets through only what was asked for', async () => {
      const of = (query: string) => readEvents(`${a.server.url}/api/v1/events?${query}`).then(keep);
      const [pipeline, names, tenant, all] = await Promise.all([
        of('pipeline=other'),
        of('event=run.,step.failed'),
        of('tenant=nobody'),
        of('tenant=*'),
      ]);
      const id = await a.world.start('plain');
      const mine = await of(`run=${id.toUpperCase()}`);
      const otherId = await a.world.start('other');
      await all.hears(ended(id));
      await all.hears(ended(otherId));
      await pipeline.hears(ended(otherId));
      await names.hears(ended(otherId));
      expect(new Set(pipeline.heard.map((one) => one.pipeline))).toEqual(new Set(['other']));
      expect(names.heard.every((one) => one.event.startsWith('run.'))).toBe(true);
      expect(tenant.heard).toEqual([]);
      expect(mine.heard.every((one) => one.run_id === id)).toBe(true);
    });

    it('can be changed on a WebSocket', async () => {
      const ws = keep(await openSocket(`${a.server.url}/api/v1/ws?event=step.event.nothing`));
      const first = await a.world.start('plain');
      await a.world.reached(first);
      ws.send({ type: 'subscribe', pipeline: 'other' });
      await ws.says('subscribed');
      const second = await a.world.start('plain');
      const third = await a.world.start('other');
      await ws.hears(ended(third));
      ws.send({ type: 'unsubscribe' });
      await ws.says('unsubscribed');
      const before = ws.heard.length;
      await a.world.reached(await a.world.start('other'));
      ws.send({ type: 'ping' });
      await ws.says('pong');
      expect(ws.heard).toHaveLength(before);
      expect(new Set(ws.heard.map((one) => one.run_id))).toEqual(new Set([third]));
      expect([first, second]).not.toContain(ws.heard[0]?.run_id);
    });
  });

  describe('resumption', () => {
    it('goes on after the last event without a hole, while events go on', async () => {
      const first = keep(await readEvents(`${b.server.url}/api/v1/events`));
      const ids: string[] = [];
      let isOver = false;
      const starting = (async () => {
        while (!isOver) ids.push(await a.world.start('plain'));
      })();
      await first.hears((one) => one.event === 'run.completed');
      first.close();
      const gone = ids.length;
      await eventually(async () => expect(ids.length).toBeGreaterThan(gone + 20));
      const cursor = first.cursor as string;
      const second = keep(await readEvents(`${a.server.url}/api/v1/events`, { 'last-event-id': cursor }));
      const socket = keep(await openSocket(`${b.server.url}/api/v1/ws?last_event_id=${cursor}`));
      const back = ids.length;
      await eventually(async () => expect(ids.length).toBeGreaterThan(back + 20));
      isOver = true;
      await starting;
      for (const client of [second, socket]) {
        for (const id of ids) await client.hears(ended(id));
        for (const id of ids) {
          const numbers = new Set([...first.numbers(id), ...client.numbers(id)]);
          expect([...numbers].sort((x, y) => x - y)).toEqual((await stored(id)).map((one) => one.seq));
          // One connection is told each of them once, in order.
          expect(client.numbers(id)).toEqual([...new Set(client.numbers(id))].sort((x, y) => x - y));
        }
      }
    });

    it('begins at an instant', async () => {
      const from = new Date().toISOString();
      const id = await a.world.start('plain');
      await a.world.reached(id);
      const heard = keep(await readEvents(`${a.server.url}/api/v1/events?from=${from}&run=${id}`));
      await heard.hears(ended(id));
      expect(told(heard, id)).toEqual(await stored(id));
    });

    it('says so where history no longer reaches back', async () => {
      const short = serverOf(a.world, test.db, { historyMs: 1_000 });
      await short.start();
      const heard = keep(await readEvents(`${short.url}/api/v1/events?from=2020-01-01T00:00:00Z`));
      const said = await heard.hears((one) => one.event === 'stream.truncated');
      expect(said.data).toMatchObject({ asked_from: '2020-01-01T00:00:00.000Z', begins_at: expect.any(String) });
      await heard.hears((one) => one.event === 'run.completed');
      await short.stop();
    });

    it('gives a cursor that is taken again, however long ago it begins', async () => {
      const query = 'from=0001-01-01T00:00:00Z&event=alert.';
      const sse = keep(await readEvents(`${a.server.url}/api/v1/events?${query}`));
      const ws = keep(await openSocket(`${a.server.url}/api/v1/ws?${query}`));
      expect(ws.cursor).toBe(sse.cursor);
      const headers = { 'last-event-id': sse.cursor as string };
      expect(keep(await readEvents(`${a.server.url}/api/v1/events?event=alert.`, headers)).cursor).toBe(sse.cursor);
      // The header that a WebSocket's upgrade has counts as well.
      expect(keep(await openSocket(`${a.server.url}/api/v1/ws?event=alert.`, headers)).cursor).toBe(sse.cursor);
    });

    it('does not begin in the future', async () => {
      const from = new Date(Date.now() + 3_600_000).toISOString();
      const answer = await fetch(`${a.server.url}/api/v1/events?from=${from}`);
      expect([answer.status, await answer.json()]).toMatchObject([
        400,
        { problems: [{ path: 'query.from', got: from, expected: expect.stringContaining('not after') }] },
      ]);
      await expect(openSocket(`${a.server.url}/api/v1/ws?from=${from}`)).rejects.toThrow('400');
    });

    it.each(['nonsense', 'WyJsaXZlIiwiMSJd'])('refuses the cursor %s', async (cursor) => {
      const headers = { 'last-event-id': cursor };
      await expect(readEvents(`${a.server.url}/api/v1/events`, headers)).rejects.toThrow('HTTP 400');
      await expect(openSocket(`${a.server.url}/api/v1/ws`, headers)).rejects.toThrow('400');
      const answer = await fetch(`${a.server.url}/api/v1/events`, { headers });
      expect(await answer.json()).toMatchObject({ problems: [{ path: 'header.Last-Event-ID', got: cursor }] });
      const refused = await upgrade(`${a.server.url}/api/v1/ws`, headers);
      expect(JSON.parse(refused.body)).toMatchObject({ problems: [{ path: 'header.Last-Event-ID', got: cursor }] });
    });
  });

  describe('alerts', () => {
    it('ride along without a number', async () => {
      const heard = keep(await readEvents(`${a.server.url}/api/v1/events`));
      const ws = keep(await openSocket(`${a.server.url}/api/v1/ws`));
      a.world.events.emit('config.rejected', { problems: 2, text: 'password: hunter2' });
      a.world.events.emit('clock.jumped', { byMs: 299_000 });
      a.world.events.emit('clock.jumped', { byMs: -301_000 });
      for (const client of [heard, ws]) {
        const jump = await client.hears((one) => one.event === 'alert.clock.jumped');
        expect(jump).toMatchObject({ seq: null, run_id: null, data: { by_ms: -301_000 } });
        expect(client.heard.map((one) => one.event)).toEqual(['alert.config.rejected', 'alert.clock.jumped']);
        expect(JSON.stringify(client.heard)).not.toContain('hunter2');
      }
    });
  });

  describe('a slow client', () => {
    /** Reads nothing after the head. */
    async function stuck(url: string, headers: string[]): Promise<Socket> {
      const { hostname, port, pathname, search } = new URL(url);
      const socket = connect(Number(port), hostname);
      socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}\r\n${headers.join('\r\n')}\r\n\r\n`);
      await new Promise((resolve) => socket.once('data', resolve));
      socket.pause();
      return socket;
    }

    it('is dropped with a code, and the others go on', async () => {
      const tight = serverOf(a.world, test.db, { maxBacklogBytes: 20_000 });
      await tight.start();
      const ends: { transport: string; reason: string }[] = [];
      const off = a.world.events.on('live.ended', (end) => ends.push(end));
      const good = keep(await readEvents(`${tight.url}/api/v1/events`));
      const sse = await stuck(`${tight.url}/api/v1/events`, []);
      const ws = keep(await openSocket(`${tight.url}/api/v1/ws`));
      ws.ws.pause();
      const reason = 'x'.repeat(1_000_000);
      let count = 0;
      await eventually(async () => {
        a.world.events.emit('schedule.broken', { schedule: 'a.b', tenant: 'default', error: reason });
        count += 1;
        const dropped = ends.filter((end) => end.reason !== 'left').map((end) => `${end.transport} ${end.reason}`);
        expect(dropped.sort()).toEqual(['sse too_slow', 'websocket too_slow']);
      });
      await eventually(async () => expect(good.heard).toHaveLength(count));
      ws.ws.resume();
      sse.destroy();
      off();
      await tight.stop();
    });

    it('hears the code when it reads on', async () => {
      const tight = serverOf(a.world, test.db, { maxBacklogBytes: 20_000 });
      await tight.start();
      const sse = await stuck(`${tight.url}/api/v1/events`, []);
      const ws = keep(await openSocket(`${tight.url}/api/v1/ws`));
      ws.ws.pause();
      const backlog = 'x'.repeat(1_000_000);
      for (let i = 0; i < 12; i += 1) {
        a.world.events.emit('schedule.broken', { schedule: 'a.b', tenant: 'default', error: backlog });
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
      const closed = once(sse, 'close');
      ws.ws.resume();
      let text = '';
      sse.on('data', (chunk) => {
        text = (text + chunk).slice(-2_000);
      });
      sse.resume();
      expect(await ws.closed).toEqual([4408, 'too slow']);
      await closed;
      expect(text).toContain('event: dropped\ndata: {"code":"too_slow"}');
      await tight.stop();
    });
  });

  describe('who may listen', () => {
    it('refuses a wrong token, and takes the right one and its cookie', async () => {
      const token = 'a-token-of-a-test';
      const closed = serverOf(a.world, test.db, {}, token);
      await closed.start();
      const urls = [`${closed.url}/api/v1/events`, `${closed.url}/api/v1/ws`] as const;
      for (const headers of [{}, { authorization: 'Bearer wrong' }] as Record<string, string>[]) {
        await expect(readEvents(urls[0], headers)).rejects.toThrow('HTTP 401');
        await expect(openSocket(urls[1], headers)).rejects.toThrow('401');
      }
      const authorization = `Bearer ${token}`;
      keep(await readEvents(urls[0], { authorization }));
      keep(await openSocket(urls[1], { authorization }));
      const login = await fetch(`${closed.url}/login`, {
        method: 'POST',
        redirect: 'manual',
        body: new URLSearchParams({ token }),
      });
      const cookie = login.headers.get('set-cookie')?.split(';')[0] as string;
      keep(await readEvents(urls[0], { cookie }));
      keep(await openSocket(urls[1], { cookie }));
      await closed.stop();
    });

    it.each(['http://evil.example', 'null'])('refuses the origin %s', async (origin) => {
      await expect(openSocket(`${a.server.url}/ws`, { origin })).rejects.toThrow('403');
      expect((await fetch(`${a.server.url}/events`, { headers: { origin } })).status).toBe(403);
    });

    it('refuses a foreign host', async () => {
      await expect(openSocket(`${a.server.url}/ws`, { host: 'evil.example' })).rejects.toThrow('403');
    });

    it('tells why an upgrade is refused, as a problem', async () => {
      const answer = await upgrade(`${a.server.url}/api/v1/ws?pipline=x`);
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body)).toMatchObject({ code: 'invalid_input', problems: [{ path: 'query.pipline' }] });
      expect((await upgrade(`${a.server.url}/api/v1/nothing`)).status).toBe(404);
      const plainly = await fetch(`${a.server.url}/api/v1/ws`);
      expect([plainly.status, plainly.headers.get('upgrade')]).toEqual([426, 'websocket']);
    });

    it('closes on a message that it does not understand, and says what was wrong', async () => {
      for (const message of ['no json', '[]', { type: 'dance' }, { type: 'subscribe', pipline: 'x' }]) {
        const ws = keep(await openSocket(`${a.server.url}/api/v1/ws`));
        ws.send(message);
        expect((await ws.says('error')).code).toBe('invalid_input');
        expect((await ws.closed)[0]).toBe(1008);
      }
      for (const field of [
        { last_event_id: 'nonsense' },
        { event: 'bogus.' },
        { tenant: 'BAD T' },
        { run: 'nope' },
        { pipeline: ',' },
        { from: '2999-01-01T00:00:00Z' },
      ]) {
        const ws = keep(await openSocket(`${a.server.url}/api/v1/ws`));
        ws.send({ type: 'subscribe', ...field });
        const { code, problems } = await ws.says('error');
        expect({ code, problems }).toMatchObject({
          code: 'invalid_input',
          problems: [{ path: `message.${Object.keys(field)[0]}` }],
        });
      }
      const ws = keep(await openSocket(`${a.server.url}/api/v1/ws`));
      ws.send({ type: 'subscribe', pipeline: 'x'.repeat(100_000) });
      expect((await ws.closed)[0]).toBe(1009);
    });
  });

  it('answers a client that offers another protocol as if it had not', async () => {
    const body = await new Promise<string>((resolve, reject) => {
      const asking = request(`${a.server.url}/api/v1/cron/next`, {
        method: 'POST',
        headers: {
          connection: 'Upgrade, HTTP2-Settings',
          upgrade: 'h2c',
          'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA',
          'content-type': 'application/json',
        },
      });
      asking.on('error', reject);
      asking.on('response', (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve(text));
      });
      asking.end(JSON.stringify({ expression: '0 0 1 1 *', count: 1 }));
    });
    expect(JSON.parse(body)).toHaveProperty('occurrences');
  });

  it('asks the database nothing while nobody listens', async () => {
    const names: string[] = [];
    const db = createPostgres({ url: test.url as string, onQuery: (name) => names.push(name) });
    const server = serverOf(a.world, db, { pollMs: 20 });
    await server.start();
    const asked = () => names.filter((name) => /history|run_ids|enqueued/.test(name)).length;
    await a.world.reached(await a.world.start('plain'));
    expect(asked()).toBe(0);
    const client = await readEvents(`${server.url}/api/v1/events`);
    await eventually(async () => expect(asked()).toBeGreaterThan(4));
    client.close();
    let before = -1;
    await eventually(async () => {
      const now = asked();
      const isStill = now === before;
      before = now;
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(isStill && asked() === now).toBe(true);
    });
    await server.stop();
    await db.close();
  });

  it('ends all connections at once when the daemon stops', async () => {
    const server = serverOf(a.world, test.db, {});
    await server.start();
    const response = await fetch(`${server.url}/api/v1/events`);
    const reading = response.text();
    const ws = await openSocket(`${server.url}/api/v1/ws`);
    const from = performance.now();
    await server.stop();
    expect(performance.now() - from).toBeLessThan(1_500);
    expect(await ws.closed).toEqual([1001, 'the daemon stops']);
    expect(await reading).toContain('event: hello');
  });
});

function upgrade(url: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const asking = request(url, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    });
    asking.on('error', reject);
    asking.on('response', (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    asking.end();
  });
}
