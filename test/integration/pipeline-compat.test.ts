// /api/pipeline: what the older routes take and answer, and that they are guarded as those of today.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createWorld,
  type Daemon,
  sql,
  startDaemon,
  testPipeline,
  testStep,
  type World,
} from '../support/http-world.ts';

const labels = { decompose: 'Decomposing', enrich: 'Enriching', prompts: 'Generating prompts' };
const steps = Object.entries(labels).map(([id, label], i, all) =>
  testStep(id, i === 0 ? [] : [all[i - 1]?.[0] as string], { label }),
);
const prompts = testPipeline('prompts', { steps, inputs: { title: { type: 'string', required: true } } });

interface Answer {
  status: number;
  body: Record<string, unknown> & { id: string; problems: { path: string }[] };
}

describe('the older pipeline routes', () => {
  let test: TestDatabase;
  let world: World;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    world = await createWorld(test.db, [prompts]);
    daemon = await startDaemon(world);
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });

  async function ask(method: string, path: string, body?: unknown, headers = {}, url = daemon.url): Promise<Answer> {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = { 'content-type': 'application/json', ...headers };
    const response = await fetch(`${url}/api/pipeline${path}`, { method, headers: type, ...init });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  }
  const start = async () => (await ask('POST', '/start', { pipeline: 'prompts', inputs: { title: 'x' } })).body.id;
  const stateIs = (id: string, change: string) =>
    sql(test.db, `update cronwright.queue set ${change} where run_id = $1`, [id]);

  it('start a run and tell its state', async () => {
    const started = await ask('POST', '/start', { pipeline: 'prompts', inputs: { title: 'x' }, priority: 2 });
    expect(started).toMatchObject({
      status: 202,
      body: { pipeline: 'prompts', state: 'IDLE', phase: null, progress: 0 },
    });
    const { id } = started.body;
    expect((await ask('GET', `/${id}/state`)).body).toEqual(started.body);
    expect((await daemon.get(`/runs/${id}`)).body).toMatchObject({
      priority: 2,
      origin: 'api',
      inputs: { title: 'x' },
    });
  });

  it('pause and resume by the id in the body, with who and why', async () => {
    const id = await start();
    const paused = await ask('PATCH', '/pause', { id, reason: 'lunch' }, { 'cronwright-actor': 'maria' });
    expect(paused).toMatchObject({ status: 200, body: { state: 'PAUSED', requested: null } });
    const { body } = await daemon.get<{ items: object[] }>(`/runs/${id}/events`);
    expect(body.items.at(-1)).toMatchObject({ event: 'run.paused', actor: 'maria', reason: 'lunch' });
    expect(await ask('PATCH', '/resume', { id })).toMatchObject({ status: 200, body: { state: 'IDLE' } });
  });

  it('answer 202 where a worker has to obey, and list what can be rolled back to', async () => {
    const id = await start();
    await stateIs(id, "state = 'running', token = 1, started_at = now()");
    await sql(
      test.db,
      `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, rate_limited_ms, started_at, finished_at)
      values ($1, 'decompose', -1, 'default', 'completed', 1, 0, 1, '{"n": 1}', 0, now(), now())`,
      [id],
    );
    expect((await ask('GET', `/${id}/state`)).body).toMatchObject({
      state: 'ENRICHING',
      phases: [{ name: 'DECOMPOSING', state: 'COMPLETED' }, { state: 'PENDING' }, { state: 'PENDING' }],
    });
    expect(await ask('PATCH', '/pause', { id })).toMatchObject({ status: 202, body: { requested: 'pause' } });
    const { body } = await ask('GET', `/${id}/checkpoints`);
    expect(body).toMatchObject({ items: [{ step: 'decompose', state: 'completed', output: { n: 1 } }] });
    const unknown = await ask('POST', '/rollback', { id, checkpoint: 'nowhere' });
    expect(unknown).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    const back = await ask('POST', '/rollback', { id, checkpoint: 'decompose' });
    expect(back).toMatchObject({ status: 202, body: { id, requested: 'rollback' } });
  });

  it('count the clients of the live stream', async () => {
    const none = { connections: 0, subscriptions: 0, by_transport: { sse: 0, websocket: 0 } };
    expect((await ask('GET', '/stats')).body).toMatchObject({ ...none, runs: { completed: 0 } });
    const stop = new AbortController();
    const stream = await fetch(`${daemon.url}/events`, { signal: stop.signal });
    await stream.body?.getReader().read();
    const one = { connections: 1, subscriptions: 1, by_transport: { sse: 1, websocket: 0 } };
    expect((await ask('GET', '/stats')).body).toMatchObject(one);
    stop.abort();
  });

  it('say what is wrong with what they are given', async () => {
    const wrong = await ask('POST', '/start', { pipeline: 'prompts', inputs: {}, surprise: 1 });
    expect(wrong).toMatchObject({ status: 400, body: { code: 'invalid_input' } });
    expect((await ask('POST', '/start', { pipeline: 'prompts' })).body.problems).toMatchObject([
      { path: 'inputs.title' },
    ]);
    expect((await ask('POST', '/start', { pipeline: 'none' })).status).toBe(404);
    expect((await ask('PATCH', '/pause', {})).body.problems).toMatchObject([{ path: 'id' }]);
    expect((await ask('PATCH', '/pause', { id: 'nobody' })).status).toBe(404);
    expect((await ask('GET', '/nobody/state')).status).toBe(404);
    expect((await ask('PATCH', '/resume', { id: await start() })).status).toBe(409);
    expect((await ask('DELETE', '/pause')).status).toBe(405);
    const text = await fetch(`${daemon.url}/api/pipeline/pause`, { method: 'PATCH', body: 'id=1' });
    expect(text.status).toBe(415);
  });

  it('keep tenants apart', async () => {
    const id = await start();
    expect((await ask('GET', `/${id}/state`, undefined, { 'cronwright-tenant': 'acme' })).status).toBe(404);
    expect((await ask('PATCH', '/pause', { id }, { 'cronwright-tenant': 'acme' })).status).toBe(404);
  });

  it('need the token where there is one, and refuse a foreign page', async () => {
    const guarded = await startDaemon(world, { token: 'secret' });
    try {
      const id = await start();
      expect((await ask('GET', `/${id}/state`, undefined, {}, guarded.url)).status).toBe(401);
      expect((await ask('PATCH', '/pause', { id }, {}, guarded.url)).status).toBe(401);
      const bearer = { authorization: 'Bearer secret' };
      expect((await ask('PATCH', '/pause', { id }, bearer, guarded.url)).status).toBe(200);
    } finally {
      await guarded.stop();
    }
    expect((await ask('PATCH', '/pause', { id: 'x' }, { origin: 'https://evil.example' })).status).toBe(403);
  });

  it('stand in the description of the API', async () => {
    const document = (await (await fetch(`${daemon.url}/api/openapi.json`)).json()) as {
      paths: Record<string, object>;
    };
    const of = (path: string) => Object.keys(document.paths[`/api/pipeline${path}`] ?? {});
    expect([of('/start'), of('/pause'), of('/resume'), of('/rollback')]).toEqual([
      ['post'],
      ['patch'],
      ['patch'],
      ['post'],
    ]);
    expect([of('/{id}/state'), of('/{id}/checkpoints'), of('/stats')]).toEqual([['get'], ['get'], ['get']]);
  });
});
