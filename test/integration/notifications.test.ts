// Notifications with real engines and receivers: through restarts, receivers that are down, several nodes, and without secrets in what is kept.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { retryDelivery } from '../../src/control/retry-delivery.ts';
import type { Pipeline, StepDefinition } from '../../src/domain/pipeline.ts';
import type { Events } from '../../src/observe/events.ts';
import { listOutbox } from '../../src/reads/list-outbox.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  type Script,
  startEngineWorld,
  transient,
} from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const token = 'the-token-nobody-may-see';
const env = { CRONWRIGHT_SECRET_HOOK: secret, CRONWRIGHT_SECRET_TOKEN: token };

interface Received {
  id: string;
  message: { type: string; timestamp: string; data: Record<string, unknown> };
  headers: Record<string, string>;
}

let test: TestDatabase;
let script: Script;
const worlds: EngineWorld[] = [];
const servers: Server[] = [];
beforeAll(async () => {
  test = await createTestDatabase('postgres');
});
afterAll(() => test.close());
beforeEach(async () => {
  script = createScript();
  for (const table of ['outbox', 'queue', 'runs', 'step_runs', 'history', 'logs', 'pipelines', 'nodes']) {
    await sql(test.db, `delete from cronwright.${table}`);
  }
});
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A receiver that checks every message; `answer` may refuse it. */
async function receive(
  answer: (response: ServerResponse, count: number) => unknown = (response) => response.end(),
  port = 0,
) {
  const received: Received[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const headers = request.headers as Record<string, string>;
    const message = new Webhook(secret).verify(body, headers) as Received['message'];
    received.push({ id: headers['webhook-id'] ?? '', message, headers });
    answer(response, received.length);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const taken = (server.address() as AddressInfo).port;
  return { url: `http://127.0.0.1:${taken}/`, port: taken, received };
}

async function startWorld(options: Partial<Parameters<typeof startEngineWorld>[0]> = {}): Promise<EngineWorld> {
  const world = await startEngineWorld({ db: test.db, script, pipelines: [], env, ...options });
  worlds.push(world);
  return world;
}

const tellStep = (url: string, overrides: Partial<StepDefinition> = {}) =>
  testStep('tell', ['work'], {
    uses: 'notify.webhook',
    with: {
      url,
      secret: '${{ secrets.HOOK }}',
      type: 'work.done',
      headers: { Authorization: 'Bearer ${{ secrets.TOKEN }}' },
      data: { said: '${{ steps.work.output }}', run: '${{ run.id }}' },
    },
    ...overrides,
  });
const telling = (url: string, said: unknown = {}): Pipeline =>
  testPipeline('telling', { steps: [testStep('work', [], { uses: 'test.do', with: { said } }), tellStep(url)] });
const failing = testPipeline('failing', { steps: [testStep('work', [], { uses: 'test.do' })] });
const tellFailure = (url: string) => [
  {
    uses: 'notify.webhook',
    with: {
      url,
      secret: '${{ secrets.HOOK }}',
      type: 'run.${{ run.state }}',
      data: {
        run: '${{ run.id }}',
        text: '${{ run.pipeline }}: ${{ run.error.message }} at ${{ run.error.step }}',
        more: '${{ run.more_failed }}',
        token: '${{ secrets.TOKEN }}',
      },
    },
  },
];

const outbox = async () => (await listOutbox(test.db, { tenant: null, limit: 100 })).items;

describe('a step that notifies through the outbox', () => {
  it('lets the run go on, and its message arrives once, with secrets that nothing has kept', async () => {
    const { url, received } = await receive();
    // What comes from outside is data, also where it looks like an expression.
    const said = 'injected: $' + '{{ secrets.TOKEN }}';
    const world = await startWorld({ pipelines: [telling(url, '${{ "injected: $" + "{{ secrets.TOKEN }}" }}')] });
    const heard: string[] = [];
    for (const name of ['notification.delivered', 'step.finished', 'step.retried'] as const) {
      world.events.on(name, (event) => heard.push(JSON.stringify([name, event])));
    }
    const id = await world.start('telling');
    expect((await world.reached(id)).state).toBe('completed');
    await eventually(async () =>
      expect(await outbox()).toMatchObject([{ state: 'delivered', attempts: 1, run_id: id }]),
    );
    expect(received).toHaveLength(1);
    const [{ message, headers, id: webhookId }] = received as [Received];
    expect(message).toMatchObject({ type: 'work.done', data: { run: id, said: { said } } });
    expect(headers.authorization).toBe(`Bearer ${token}`);
    expect(webhookId).toBe((await outbox())[0]?.id);
    const kept = [];
    for (const table of ['outbox', 'runs', 'step_runs', 'history', 'logs', 'pipelines']) {
      kept.push(await sql(test.db, `select * from cronwright.${table}`));
    }
    const everything = JSON.stringify(kept) + heard.join();
    expect(everything).toContain('secrets.TOKEN');
    for (const value of [secret, secret.slice(6), token]) expect(everything).not.toContain(value);
    expect(heard.join()).toContain('notification.delivered');
  });

  it('puts a call there for each item of a fan-out', async () => {
    const { url, received } = await receive();
    const pipeline = testPipeline('telling', {
      steps: [
        testStep('work', [], { uses: 'test.do' }),
        tellStep(url, { foreach: { items: ['a', 'b'], maxParallel: 2, onItemError: 'fail' } }),
      ],
    });
    const world = await startWorld({ pipelines: [pipeline] });
    const id = await world.start('telling');
    await world.reached(id);
    await eventually(async () => expect(received).toHaveLength(2));
    expect(new Set(received.map((one) => one.id)).size).toBe(2);
  });

  it('says so where the input computes with a secret, or takes it from env', async () => {
    const { url } = await receive();
    const work = testStep('work', [], { uses: 'test.do' });
    const retry = { initialMs: 1, multiplier: 1, maxMs: 1, jitter: 0, maxRetries: 0, on: [] };
    const given = tellStep(url).with;
    const computing = tellStep(url, { retry, with: { ...given, data: { n: '${{ size(secrets.TOKEN) }}' } } });
    const byEnv = tellStep(url, {
      retry,
      env: { T: '${{ secrets.TOKEN }}' },
      with: { ...given, data: { n: '${{ env.T }}' } },
    });
    const world = await startWorld({
      pipelines: [
        testPipeline('computing', { steps: [work, computing] }),
        testPipeline('by-env', { steps: [work, byEnv] }),
      ],
    });
    const first = await world.reached(await world.start('computing'));
    expect(first.error?.message).toContain('may name a secret (secrets.NAME), and nothing more');
    const second = await world.reached(await world.start('by-env'));
    expect(second.error?.message).toContain('cannot come by way of env (T)');
    expect(await outbox()).toEqual([]);
  });

  it('is delivered after a restart to a receiver that was down, under the same id', async () => {
    const { url, port } = await receive();
    const gone = servers.pop();
    await new Promise((resolve) => gone?.close(resolve));
    const first = await startWorld({ pipelines: [telling(url)] });
    const retried: Events['notification.retried'][] = [];
    first.events.on('notification.retried', (event) => retried.push(event));
    await first.reached(await first.start('telling'));
    await eventually(async () => expect(retried).toHaveLength(1));
    expect(retried[0]).toMatchObject({
      stepType: 'notify.webhook',
      attempts: 1,
      error: expect.stringContaining('ECONNREFUSED'),
    });
    expect(retried[0]?.delayMs).toBeGreaterThanOrEqual(5_000);
    await first.stop();
    const { received } = await receive(undefined, port);
    await startWorld({ pipelines: [telling(url)] });
    await eventually(async () =>
      expect(await outbox()).toMatchObject([{ state: 'delivered', attempts: 2, error: null }]),
    );
    expect(received.map((one) => one.id)).toEqual([retried[0]?.id]);
  });

  it('gives up at once where the receiver says that it is gone, until somebody wants it again', async () => {
    const { url, received } = await receive((response) => response.writeHead(410).end(`no more ${token}`));
    const world = await startWorld({ pipelines: [telling(url)] });
    const failed: Events['notification.failed'][] = [];
    world.events.on('notification.failed', (event) => failed.push(event));
    const id = await world.start('telling');
    expect((await world.reached(id)).state).toBe('completed');
    await eventually(async () => expect(failed).toHaveLength(1));
    expect(await outbox()).toMatchObject([
      {
        state: 'failed',
        attempts: 1,
        next_at: null,
        error: { name: 'WebhookGone', details: { status: 410, body: 'no more ***' } },
      },
    ]);
    expect(received).toHaveLength(1);
    // The failure of a notification is told by nobody but the log, the metrics and the list.
    const [call] = await outbox();
    expect(await outbox()).toHaveLength(1);
    const request = { tenant: 'default', id: call?.id ?? '', actor: 'ada' };
    expect(await retryDelivery(world.engine.control, request)).toEqual({ id: call?.id, state: 'pending' });
    await eventually(async () => expect(received).toHaveLength(2));
    await eventually(async () => expect(failed).toHaveLength(2));
    expect(new Set(received.map((one) => one.id)).size).toBe(1);
    await expect(retryDelivery(world.engine.control, { ...request, tenant: 'other' })).rejects.toThrow(
      'there is no call',
    );
    await sql(test.db, `update cronwright.outbox set state = 'delivered'`);
    await expect(retryDelivery(world.engine.control, request)).rejects.toThrow('the call is delivered');
  });

  it('waits as long as the receiver asks', async () => {
    const { url } = await receive((response) => response.writeHead(429, { 'retry-after': '600' }).end());
    const world = await startWorld({ pipelines: [telling(url)] });
    const retried: Events['notification.retried'][] = [];
    world.events.on('notification.retried', (event) => retried.push(event));
    await world.start('telling');
    await eventually(async () => expect(retried).toHaveLength(1));
    expect(retried[0]?.delayMs).toBeGreaterThanOrEqual(600_000);
  });

  it('is delivered once by two nodes that share the database', async () => {
    const { url, received } = await receive();
    const pipelines = [telling(url)];
    const [one, other] = [await startWorld({ pipelines }), await startWorld({ pipelines })];
    const ids = await Promise.all(Array.from({ length: 30 }, (_, i) => (i % 2 ? one : other).start('telling')));
    for (const id of ids) await one.reached(id);
    await eventually(async () => {
      const delivered = (await outbox()).filter((call) => call.state === 'delivered');
      expect(delivered).toHaveLength(30);
    });
    expect(received).toHaveLength(30);
    expect(new Set(received.map((each) => each.id)).size).toBe(30);
  });

  it('is made again by another node where its own hangs, and what that one says later changes nothing', async () => {
    let hung: ServerResponse | undefined;
    const { url, received } = await receive((response, count) => {
      if (count === 1) hung = response;
      else response.end();
    });
    const pipelines = [telling(url)];
    const one = await startWorld({ pipelines });
    await one.reached(await one.start('telling'));
    await eventually(async () => expect(hung).toBeDefined());
    const failed: Events['notification.failed'][] = [];
    one.events.on('notification.failed', (event) => failed.push(event));
    // Its lease is over.
    await sql(test.db, 'update cronwright.outbox set next_at = now()');
    await startWorld({ pipelines });
    await eventually(async () => expect(await outbox()).toMatchObject([{ state: 'delivered', attempts: 2 }]));
    const said = new Promise((resolve) => one.events.on('step.finished', resolve));
    hung?.writeHead(410).end();
    await said;
    await one.stop();
    expect(failed).toEqual([]);
    expect(await outbox()).toMatchObject([{ state: 'delivered', attempts: 2 }]);
    expect(new Set(received.map((each) => each.id)).size).toBe(1);
  });
});

describe('on_failure of the settings', () => {
  it('tells of a run that failed, once, and of no other end', async () => {
    const { url, received } = await receive();
    const completing = testPipeline('completing', { steps: [testStep('fine', [], { uses: 'test.do' })] });
    const world = await startWorld({ pipelines: [failing, completing], onFailure: tellFailure(url) });
    await world.reached(await world.start('completing'));
    script.failures.set('work', [fatal('the disk is full'), fatal(), transient()]);
    const dry = await world.start('failing', { dryRun: true });
    expect((await world.reached(dry)).state).toBe('failed');
    script.failures.set('work', [fatal('the disk is full')]);
    const id = await world.start('failing');
    expect((await world.reached(id)).state).toBe('failed');
    await eventually(async () => expect(received).toHaveLength(1));
    expect(received[0]?.message).toMatchObject({
      type: 'run.failed',
      data: { run: id, text: 'failing: step work: the disk is full at work', more: 0, token },
    });
    await eventually(async () =>
      expect(await outbox()).toMatchObject([{ state: 'delivered', step: 'on_failure', run_id: id }]),
    );
    const kept = JSON.stringify(await sql(test.db, 'select * from cronwright.outbox'));
    for (const value of [secret, token]) expect(kept).not.toContain(value);
  });

  it('is no flood where many runs fail, and causes nothing where it fails itself', async () => {
    const { url, received } = await receive((response) => response.writeHead(400).end());
    const world = await startWorld({ pipelines: [failing], onFailure: tellFailure(url) });
    script.failures.set(
      'work',
      Array.from({ length: 50 }, () => fatal()),
    );
    const ids = await Promise.all(Array.from({ length: 50 }, () => world.start('failing')));
    for (const id of ids) expect((await world.reached(id)).state).toBe('failed');
    await eventually(async () => expect(await outbox()).toContainEqual(expect.objectContaining({ state: 'failed' })));
    const rows = await outbox();
    // Two a minute, and the test may see the minute change.
    expect(rows.length).toBeLessThanOrEqual(4);
    expect(received.length).toBeLessThanOrEqual(2);
    const sums = rows.flatMap((row) => row.sum_of ?? []);
    expect(sums.reduce((sum, one) => sum + one, 0)).toBeGreaterThanOrEqual(49);
    // What is due at the end of the minute comes now: it tells of all of them.
    await sql(test.db, `update cronwright.outbox set next_at = now() where state = 'pending'`);
    await startWorld();
    const tellsOf = rows.find((row) => row.sum_of !== null)?.sum_of ?? 0;
    await eventually(async () => expect(received.map((one) => one.message.data.more)).toContain(tellsOf - 2));
  });

  it('tells of a dead letter', async () => {
    const { url, received } = await receive();
    const world = await startWorld({ pipelines: [failing], onFailure: tellFailure(url), workers: 0 });
    // Claimed for the third time by a node that is never heard of again.
    const held = await world.start('failing', { runAt: new Date(Date.now() + 3_600_000) });
    await sql(
      test.db,
      `update cronwright.queue set state = 'running', run_at = null, token = 3, claims = 3, lease_until = now() - interval '1 minute',
        started_at = now() - interval '2 minutes'`,
    );
    expect((await world.reached(held)).state).toBe('dead_letter');
    await eventually(async () => expect(received).toHaveLength(1));
    expect(received[0]?.message).toMatchObject({ type: 'run.dead_letter', data: { run: held } });
  });
});
