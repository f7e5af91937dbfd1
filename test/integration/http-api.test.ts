import { request } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { apiRoutes } from '../../src/http/create-http-app.ts';
import { createHttpServer } from '../../src/http/create-http-server.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createWorld,
  type Daemon,
  enqueueRun,
  httpContextOf,
  sql,
  startDaemon,
  testPipeline,
  testSchedule,
  type World,
} from '../support/http-world.ts';

const nightly = testSchedule('docs', 'nightly', { timezone: 'America/New_York' });
const docs = testPipeline('docs', {
  inputs: { remote: { type: 'string', required: true } },
  schedules: [nightly],
});
const plain = testPipeline('plain');

describe('the HTTP API', () => {
  let test: TestDatabase;
  let world: World;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    world = await createWorld(test.db, [docs, plain]);
    daemon = await startDaemon(world);
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });
  beforeEach(async () => {
    for (const table of ['queue', 'runs', 'schedules', 'occurrences', 'idempotency_keys'])
      await sql(test.db, `delete from cronwright.${table}`);
    await sql(
      test.db,
      `insert into cronwright.schedules (tenant, id, pipeline, definition, enabled, cursor_at, next_at, version, created_at, updated_at)
      values ('default', $1, 'docs', $2::jsonb, true, now(), now() + interval '1 hour', 1, now(), now())`,
      [nightly.id, JSON.stringify(nightly)],
    );
    world.served.length = 0;
  });

  const raw = (path: string, init: RequestInit = {}) => fetch(daemon.url + path, init);
  const postRaw = (
    path: string,
    body: string,
    headers: Record<string, string> = { 'content-type': 'application/json' },
  ) => raw(`/api/v1${path}`, { method: 'POST', body, headers });

  describe('starting runs', () => {
    it('answers 202 with the id of a run that is there', async () => {
      const started = await daemon.post<{ id: string }>('/pipelines/docs/runs', {
        inputs: { remote: 'origin' },
        priority: 1,
      });
      expect(started.status).toBe(202);
      expect(started.headers.get('location')).toBe(`/api/v1/runs/${started.body.id}`);
      const shown = await daemon.get(`/runs/${started.body.id}`);
      expect(shown.body).toMatchObject({
        state: 'pending',
        legacy_state: 'queued',
        inputs: { remote: 'origin' },
        priority: 1,
        origin: 'api',
        actor: 'api',
      });
    });

    it('records who asked, from where and in which trace', async () => {
      const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
      const headers = { 'cronwright-actor': 'maria', 'cronwright-origin': 'cli', traceparent };
      const { body } = await daemon.post('/pipelines/plain/runs', {}, headers);
      expect((await daemon.get(`/runs/${body.id}`)).body).toMatchObject({ actor: 'maria', origin: 'cli', traceparent });
    });

    it('schedules a run for later', async () => {
      const { body } = await daemon.post('/pipelines/plain/runs', {
        run_at: '2099-01-01T00:00:00+01:00',
        dry_run: true,
      });
      expect(body).toMatchObject({ state: 'scheduled', run_at: '2098-12-31T23:00:00.000Z', dry_run: true });
    });

    it('tells every wrong input with its path', async () => {
      const { status, body } = await daemon.post('/pipelines/docs/runs', { inputs: { other: 1 } });
      expect(status).toBe(400);
      expect(body).toMatchObject({
        code: 'invalid_input',
        problems: [{ path: 'inputs.other' }, { path: 'inputs.remote', message: 'missing' }],
      });
      const wrong = await daemon.post('/pipelines/docs/runs', { priority: 11, run_at: 'tomorrow', surprise: true });
      expect((wrong.body.problems as { path: string }[]).map((one) => one.path).sort()).toEqual([
        'inputs.remote',
        'priority',
        'run_at',
        'surprise',
      ]);
    });

    it('answers 404 for a pipeline that is not there, or is another tenant’s', async () => {
      expect((await daemon.post('/pipelines/none/runs')).status).toBe(404);
      expect((await daemon.post('/pipelines/plain/runs', {}, { 'cronwright-tenant': 'acme' })).status).toBe(404);
    });

    it('answers a repeated Idempotency-Key alike, and another body under it with 409', async () => {
      const key = { 'idempotency-key': 'k-1' };
      const first = await daemon.post('/pipelines/plain/runs', { priority: 4 }, key);
      const again = await daemon.post('/pipelines/plain/runs', { priority: 4 }, key);
      expect(again).toMatchObject({ status: 202, body: first.body });
      const other = await daemon.post('/pipelines/plain/runs', { priority: 5 }, key);
      expect(other).toMatchObject({ status: 409, body: { code: 'conflict' } });
    });

    it('starts 10,000 runs in one request, and refuses one more than that', async () => {
      const runs = Array.from({ length: 10_000 }, () => ({}));
      const { status, body } = await daemon.post<{ count: number; ids: string[] }>('/pipelines/plain/runs/batch', {
        runs,
      });
      expect(status).toBe(202);
      expect(body.count).toBe(10_000);
      expect(new Set(body.ids).size).toBe(10_000);
      const [row] = await sql<{ n: number }>(test.db, 'select count(*) as n from cronwright.queue');
      expect(row?.n).toBe(10_000);
      expect((await daemon.post('/pipelines/plain/runs/batch', { runs: [...runs, {}] })).status).toBe(400);
    });

    it('says 429 and when to come back where the queue is full', async () => {
      const small = await startDaemon({ ...world, control: { ...world.control, liveRunsPerTenant: 1 } });
      try {
        expect((await small.post('/pipelines/plain/runs')).status).toBe(202);
        const full = await small.post('/pipelines/plain/runs');
        expect(full).toMatchObject({ status: 429, body: { code: 'limit_reached', limit: 1 } });
        expect(Number(full.headers.get('retry-after'))).toBeGreaterThan(0);
      } finally {
        await small.stop();
      }
    });
  });

  describe('runs', () => {
    it('are listed by page and filter', async () => {
      for (let i = 0; i < 5; i += 1) await enqueueRun(test.db, plain);
      const first = await daemon.get<{ items: { id: string }[]; next_cursor: string }>(
        '/runs?limit=3&state=pending,running',
      );
      expect(first.body.items).toHaveLength(3);
      const rest = await daemon.get<{ items: { id: string }[]; next_cursor: null }>(
        `/runs?limit=3&cursor=${first.body.next_cursor}`,
      );
      expect(rest.body.items).toHaveLength(2);
      expect(rest.body.next_cursor).toBe(null);
    });

    it.each([
      'limit=0',
      'limit=501',
      'limit=x',
      'state=done',
      'origin=moon',
      'from=yesterday',
      'sort=asc',
      'cursor=zzz',
    ])('are not listed by ?%s: 400 names the parameter', async (query) => {
      const { status, body } = await daemon.get<{ problems: { path: string }[] }>(`/runs?${query}`);
      expect(status).toBe(400);
      expect(body.problems[0]?.path).toBe(`query.${query.split('=')[0]}`);
    });

    it('are cancelled at once, and a second time with 409 that names both states', async () => {
      const run = await enqueueRun(test.db, plain);
      expect(await daemon.post(`/runs/${run.id}/cancel`, { reason: 'no need' })).toMatchObject({
        status: 200,
        body: { state: 'cancelled', requested: null },
      });
      expect(await daemon.post(`/runs/${run.id}/cancel`)).toMatchObject({
        status: 409,
        body: { state: 'cancelled', requested: 'cancelled' },
      });
      const events = await daemon.get<{ items: { event: string; reason: string }[] }>(`/runs/${run.id}/events`);
      expect(events.body.items.map((one) => one.event)).toEqual(['run.enqueued', 'run.cancelled']);
    });

    it('answer 202 to a cancel that a worker has to obey', async () => {
      const run = await enqueueRun(test.db, plain);
      await sql(test.db, "update cronwright.queue set state = 'running' where run_id = $1", [run.id]);
      expect(await daemon.post(`/runs/${run.id}/cancel`)).toMatchObject({
        status: 202,
        body: { state: 'running', requested: 'cancel' },
      });
      expect((await daemon.get(`/runs/${run.id}`)).body).toMatchObject({ requested: 'cancel' });
    });

    it('are retried as new runs', async () => {
      const run = await enqueueRun(test.db, plain);
      expect((await daemon.post(`/runs/${run.id}/retry`)).status).toBe(409);
      await daemon.post(`/runs/${run.id}/cancel`);
      const retried = await daemon.post(`/runs/${run.id}/retry`);
      expect(retried).toMatchObject({ status: 202, body: { parent_id: run.id } });
    });

    it.each([
      '',
      '/steps',
      '/events',
      '/logs',
      '/checkpoints',
      '/artifacts',
      '/artifacts/x',
    ])('that are not there answer 404 at %s', async (path) => {
      for (const id of ['nonsense', '01890000-0000-7000-8000-000000000000']) {
        expect(await daemon.get(`/runs/${id}${path}`)).toMatchObject({ status: 404, body: { code: 'not_found' } });
      }
    });

    it('give their artifacts as downloads that no browser runs', async () => {
      const run = await enqueueRun(test.db, plain);
      const id = '01890000-0000-7000-8000-00000000000a';
      await sql(test.db, 'delete from cronwright.artifacts');
      await sql(test.db, 'delete from cronwright.artifact_chunks');
      await sql(
        test.db,
        "insert into cronwright.artifacts values ($1, 'default', $2, 's', -1, 'päge \"1\".html', 'text/html', 8, 'abc', now())",
        [id, run.id],
      );
      await sql(
        test.db,
        "insert into cronwright.artifact_chunks values ($1, 0, 'default', $2), ($1, 1, 'default', $3)",
        [id, Buffer.from('<p>he'), Buffer.from('y</')],
      );
      const response = await raw(`/api/v1/runs/${run.id}/artifacts/${id}`);
      expect(await response.text()).toBe('<p>hey</');
      expect(response.headers.get('content-disposition')).toBe("attachment; filename*=UTF-8''p%C3%A4ge%20%221%22.html");
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(response.headers.get('content-type')).toBe('text/html');
      await sql(test.db, "update cronwright.artifacts set media_type = E'text/html\\r\\nx: y'");
      const unsound = await raw(`/api/v1/runs/${run.id}/artifacts/${id}`);
      expect(unsound.status).toBe(200);
      expect(unsound.headers.get('content-type')).toBe('application/octet-stream');
      expect(await unsound.text()).toBe('<p>hey</');
    });
  });

  describe('schedules', () => {
    it('are paused, resumed and started', async () => {
      const paused = await daemon.post(`/schedules/${nightly.id}/pause`, {
        reason: 'holiday',
        until: '2099-01-01T00:00:00Z',
      });
      expect(paused).toMatchObject({
        status: 200,
        body: { state: 'paused', paused: { reason: 'holiday', by: 'api' } },
      });
      const resumed = await daemon.post(`/schedules/${nightly.id}/resume`);
      expect(resumed).toMatchObject({ status: 200, body: { state: 'active', paused: null, skipped: 0 } });
      expect((await daemon.post(`/schedules/${nightly.id}/resume`)).status).toBe(409);
      const trigger = (body: unknown) => daemon.post(`/schedules/${nightly.id}/trigger`, body);
      expect((await trigger({})).status).toBe(400);
      expect(await trigger({ inputs: { remote: 'x' } })).toMatchObject({ status: 202, body: { schedule: nightly.id } });
      expect((await trigger({ inputs: { remote: 'x' } })).status).toBe(409);
      expect((await trigger({ inputs: { remote: 'x' }, force: true })).status).toBe(202);
    });

    it('tell when they fire, in their zone and in UTC', async () => {
      const { body } = await daemon.get(`/schedules/${nightly.id}/next?count=2&from=2026-03-07T12:00:00Z`);
      expect(body).toEqual({
        schedule: nightly.id,
        timezone: 'America/New_York',
        items: [
          {
            at: '2026-03-08T07:00:00.000Z',
            local: '2026-03-08T03:00:00-04:00',
            timezone: 'America/New_York',
            nominal_count: 1,
          },
          {
            at: '2026-03-09T06:00:00.000Z',
            local: '2026-03-09T02:00:00-04:00',
            timezone: 'America/New_York',
            nominal_count: 1,
          },
        ],
      });
    });

    it('account for a window', async () => {
      const { body } = await daemon.get(`/schedules/${nightly.id}/occurrences`);
      expect(body).toMatchObject({ items: [], summary: { total: 0 }, timezone: 'America/New_York' });
      expect(
        (await daemon.get(`/schedules/${nightly.id}/occurrences?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z`))
          .status,
      ).toBe(400);
    });
  });

  describe('the rest', () => {
    it('computes fire times of an expression', async () => {
      const { body } = await daemon.post('/cron/next', {
        expression: '0 2 * * *',
        timezone: 'Europe/Berlin',
        from: '2026-03-28T12:00:00Z',
        count: 2,
      });
      expect(body).toEqual({ occurrences: ['2026-03-29T01:00:00Z', '2026-03-30T00:00:00Z'] });
      expect((await daemon.post('/cron/next', { expression: '0 0 31 2 *', count: 5 })).body).toEqual({
        occurrences: [],
      });
      const wrong = await daemon.post('/cron/next', {
        expression: '0 25 * * *',
        timezone: 'Mars/Olympus',
        count: 1_001,
      });
      expect(wrong.status).toBe(400);
      expect((wrong.body.problems as { path: string }[]).map((one) => one.path)).toContain('count');
      const column = await daemon.post('/cron/next', { expression: '0 25 * * *' });
      expect(column.body.problems).toMatchObject([{ path: 'expression', column: 3 }]);
    });

    it('shows queue, nodes, statistics, pipelines and schedules', async () => {
      await enqueueRun(test.db, plain);
      expect((await daemon.get('/queue')).body).toMatchObject({ depth: 1, by_state: { pending: 1 } });
      expect((await daemon.get('/nodes')).body).toEqual({ items: [], next_cursor: null, in_force: null });
      expect((await daemon.get('/stats?hours=1')).body).toMatchObject({ total: 1, queued: 1 });
      expect((await daemon.get('/pipelines')).body).toMatchObject({
        items: [{ id: 'docs' }, { id: 'plain', live_runs: 1 }],
      });
      expect((await daemon.get('/pipelines/docs')).body).toMatchObject({
        id: 'docs',
        steps: [{ id: 'fetch' }, { id: 'build' }, { id: 'publish' }],
      });
      expect((await daemon.get('/schedules?pipeline=docs')).body).toMatchObject({ items: [{ id: nightly.id }] });
    });

    it('shows settings without their secrets', async () => {
      const response = await raw('/api/v1/config');
      const text = await response.text();
      expect(text).not.toContain('hunter2');
      expect(JSON.parse(text)).toMatchObject({
        port: 8080,
        token: '***',
        database_url: 'postgres://me:***@db.internal/app',
      });
    });

    it('says how it is to probes and scrapers', async () => {
      expect(await (await raw('/healthz')).json()).toMatchObject({ status: 'ok', node: 'test', version: '0.1.0' });
      expect((await raw('/readyz')).status).toBe(200);
      expect(await (await raw('/metrics')).text()).toBe('cronwright_build_info 1\n');
      const sick = await startDaemon(world, {
        readiness: async () => ({ ready: false, checks: { database: { ok: false, detail: 'gone' } } }),
      });
      const answer = await fetch(`${sick.url}/readyz`);
      expect(answer.status).toBe(503);
      expect(await answer.json()).toMatchObject({ ready: false, checks: { database: { detail: 'gone' } } });
      await sick.stop();
    });

    it('emits an event with the pattern of the route, never the path that was asked for', async () => {
      await daemon.get('/runs/whatever');
      await raw('/no/such/place');
      await raw('/healthz', { method: 'DELETE' });
      expect(world.served).toMatchObject([
        { route: '/api/v1/runs/{id}', method: 'GET', status: 404 },
        { route: 'unmatched', method: 'GET', status: 404 },
        { route: 'unmatched', method: 'other', status: 405 },
      ]);
      expect(world.served[0]?.seconds).toBeGreaterThan(0);
    });
  });

  describe('what is wrong', () => {
    it('is told as problem details with type, title, status, detail, instance, code and problems', async () => {
      const response = await raw('/api/v1/runs/none');
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(await response.json()).toEqual({
        type: 'urn:cronwright:problem:not_found',
        title: 'Not found',
        status: 404,
        detail: 'there is no run "none"',
        instance: '/api/v1/runs/none',
        code: 'not_found',
        problems: [],
      });
    });

    it('is 404 for unknown places and 405 with Allow for wrong methods', async () => {
      expect((await raw('/api/v1/nothing')).status).toBe(404);
      const wrong = await raw('/api/v1/pipelines/plain/runs', { method: 'DELETE' });
      expect(wrong.status).toBe(405);
      expect(wrong.headers.get('allow')).toBe('POST');
      expect(await wrong.json()).toMatchObject({ code: 'method_not_allowed' });
    });

    it('refuses a parameter that is not known, also where a route knows none', async () => {
      for (const path of ['/nodes', '/config', '/pipelines/plain', '/runs']) {
        const answer = await raw(`/api/v1${path}?nosuch=1`);
        expect(answer.status, path).toBe(400);
        expect(await answer.json(), path).toMatchObject({ problems: [{ path: 'query.nosuch', got: 'nosuch' }] });
      }
      expect((await postRaw('/pipelines/plain/runs?nosuch=1', '{}')).status).toBe(400);
      expect((await raw('/api/v1/nodes?')).status).toBe(200);
    });

    it('says of each place what was got and what was expected, in words of its own', async () => {
      const id = '01990000-0000-7000-8000-000000000000';
      const wrong: [string, unknown, object][] = [
        [`/runs/${id}/pause`, { reason: 5 }, { path: 'reason', got: '5', expected: 'text' }],
        [`/runs/${id}/priority`, { priority: 11 }, { path: 'priority', got: '11', expected: 'at most 10' }],
        [`/runs/${id}/priority`, {}, { path: 'priority', message: 'missing', got: 'nothing', expected: 'a number' }],
        [
          '/runs/bulk',
          { action: 'pause', filter: { ids: ['x'] } },
          { path: 'filter.ids[0]', got: '"x"', expected: 'a UUID' },
        ],
        [
          '/runs/bulk',
          { action: 'stop', filter: {} },
          { path: 'action', got: '"stop"', expected: expect.stringContaining('resume') },
        ],
        [
          `/runs/${id}/pause`,
          { reason: 'x'.repeat(1_001) },
          { path: 'reason', got: '1001 characters', expected: 'at most 1000 characters' },
        ],
        [
          `/runs/${id}/pause`,
          { reasn: 'x' },
          { path: 'reasn', message: 'unknown key; did you mean "reason"?', got: 'reasn', expected: 'one of: reason' },
        ],
        ['/pipelines/plain/runs', [], { path: 'body', got: '[]', expected: 'keys and values' }],
        [
          '/pipelines/plain/runs/batch',
          { runs: [{}, { priorty: 1 }] },
          { path: 'runs[1].priorty', message: 'unknown key; did you mean "priority"?' },
        ],
        ['/runs/wait', {}, { path: 'ids', got: 'nothing', expected: 'either ids or a filter' }],
        [
          '/pipelines/plain/runs',
          { run_at: 'tomorrow' },
          { path: 'run_at', got: '"tomorrow"', expected: 'an instant such as 2026-01-31T12:00:00Z' },
        ],
      ];
      for (const [path, given, problem] of wrong) {
        const { status, body } = await daemon.post<{ detail: string; problems: object[] }>(path, given);
        expect({ path, status, problems: body.problems }).toMatchObject({ path, status: 400, problems: [problem] });
        expect(body.detail).not.toMatch(/Invalid|Too (big|small)|received|undefined/);
      }
      expect((await daemon.post(`/runs/${id}/priority`, { priority: 11 })).body).toMatchObject({
        detail: 'priority: the value is too large (got 11, expected at most 10)',
      });
      expect((await daemon.get('/runs?limit=x')).body.problems).toMatchObject([
        { path: 'query.limit', got: '"x"', expected: 'a number' },
      ]);
    });

    it('tells mistakes of several kinds together, each path in one form', async () => {
      const wrong = { inputs: { remote: 5 }, priority: 'hi' };
      const pathsOf = async (path: string, given: unknown) => {
        const { body } = await daemon.post<{ problems: { path: string }[] }>(path, given);
        return body.problems.map((one) => one.path).sort();
      };
      expect(await pathsOf('/pipelines/docs/runs?dry=1', wrong)).toEqual(['inputs.remote', 'priority', 'query.dry']);
      const runs = [{ inputs: { remote: 'x' } }, wrong, { inputs: {} }];
      expect(await pathsOf('/pipelines/docs/runs/batch', { runs })).toEqual([
        'runs[1].inputs.remote',
        'runs[1].priority',
        'runs[2].inputs.remote',
      ]);
    });

    it('refuses a parameter that is given twice, and names it', async () => {
      for (const path of [
        '/runs?limit=1&limit=2',
        '/events?pipeline=a&tenant=x&pipeline=b',
        '/nodes?limit=1&limit=1',
      ]) {
        const answer = await raw(`/api/v1${path}`);
        expect(answer.status, path).toBe(400);
        const name = /\?(\w+)/.exec(path)?.[1];
        const problems = [{ path: `query.${name}`, message: 'given more than once', got: '2 times', expected: 'once' }];
        expect(await answer.json(), path).toMatchObject({ code: 'invalid_input', problems });
      }
    });

    it('is 415 without application/json', async () => {
      for (const headers of [
        { 'content-type': 'text/plain' },
        { 'content-type': 'application/x-www-form-urlencoded' },
      ]) {
        expect((await postRaw('/pipelines/plain/runs', '{}', headers)).status).toBe(415);
      }
    });

    it('is 400 with line and column where the body is not JSON', async () => {
      const response = await postRaw('/pipelines/plain/runs', '{\n  "priority": 3,\n  oops\n}');
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ problems: [{ line: 3, column: 3 }] });
      expect((await postRaw('/pipelines/plain/runs', '[]')).status).toBe(400);
      expect((await postRaw('/pipelines/plain/runs', '"text"')).status).toBe(400);
    });

    it('is 413 for a body that is too large, announced or not', async () => {
      const large = JSON.stringify({ inputs: { remote: 'x'.repeat(1_100_000) } });
      expect((await postRaw('/pipelines/docs/runs', large)).status).toBe(413);
      expect(await chunked('/api/v1/pipelines/docs/runs', large)).toBe(413);
      expect((await daemon.get('/queue')).status).toBe(200);
    });

    it('is 400 for what the database cannot store', async () => {
      expect((await daemon.post('/pipelines/docs/runs', { inputs: { remote: 'a\u0000b' } })).status).toBe(400);
      const run = await enqueueRun(test.db, plain);
      expect((await daemon.post(`/runs/${run.id}/cancel`, { reason: '\u0000' })).status).toBe(400);
      const deep = `{"inputs":{"remote":${'['.repeat(20_000)}${']'.repeat(20_000)}}}`;
      expect((await postRaw('/pipelines/docs/runs', deep)).status).toBe(400);
    });

    it('is 400 for headers that are wrong', async () => {
      expect((await daemon.get('/runs', { 'cronwright-tenant': 'No Such' })).status).toBe(400);
      expect((await daemon.post('/pipelines/plain/runs', {}, { 'cronwright-origin': 'schedule' })).status).toBe(400);
      expect((await daemon.post('/pipelines/plain/runs', {}, { 'idempotency-key': 'x'.repeat(201) })).status).toBe(400);
    });

    it('tells nothing of its insides where it is at fault itself', async () => {
      const broken = await startDaemon(world, {
        effectiveConfig: () => {
          throw new Error('password=hunter2 at /srv/secret.ts:1');
        },
      });
      const answer = await broken.get('/config');
      expect(answer.status).toBe(500);
      expect(JSON.stringify(answer.body)).not.toMatch(/hunter2|secret\.ts/);
      expect(world.heard).toContain('service.crashed');
      await broken.stop();
    });

    it('is a clear error where the port is taken', async () => {
      const port = Number(new URL(daemon.url).port);
      const second = createHttpServer({ context: httpContextOf(world), host: '127.0.0.1', port });
      await expect(second.start()).rejects.toThrow(`cannot listen on 127.0.0.1:${port}: another process listens there`);
      await second.stop();
    });

    /** Sends a body without saying how long it is. */
    function chunked(path: string, body: string): Promise<number | undefined> {
      return new Promise((resolve, reject) => {
        const sending = request(
          daemon.url + path,
          { method: 'POST', headers: { 'content-type': 'application/json' } },
          (response) => {
            response.resume();
            resolve(response.statusCode);
          },
        );
        sending.on('error', reject);
        for (let i = 0; i < body.length; i += 50_000) sending.write(body.slice(i, i + 50_000));
        sending.end();
      });
    }
  });

  describe('its description', () => {
    interface Operation {
      operationId: string;
      parameters: { name: string; in: string }[];
      responses: Record<string, unknown>;
    }

    interface Document {
      openapi: string;
      paths: Record<string, Record<string, Operation>>;
      components: { schemas: Record<string, unknown> };
    }

    it('is OpenAPI 3.1 and has every route that is served', async () => {
      const document = (await (await raw('/api/openapi.json')).json()) as Document;
      expect(document.openapi).toBe('3.1.0');
      const described = Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
      );
      expect(described.sort()).toEqual(apiRoutes.map((route) => `${route.method} ${route.path}`).sort());
      const operations = Object.values(document.paths).flatMap((methods) =>
        Object.values(methods).map((one) => one.operationId),
      );
      expect(new Set(operations).size).toBe(operations.length);
    });

    it('says of the live stream how it is resumed, and what a plain request for the WebSocket is told', async () => {
      const { paths } = (await (await raw('/api/openapi.json')).json()) as Document;
      for (const path of ['/api/v1/events', '/api/v1/ws']) {
        const headers = paths[path]?.get?.parameters.filter((one) => one.in === 'header').map((one) => one.name);
        expect(headers, path).toEqual(['Cronwright-Tenant', 'Last-Event-ID']);
      }
      expect(Object.keys(paths['/api/v1/ws']?.get?.responses ?? {})).toContain('426');
      expect(Object.keys(paths['/api/v1/events']?.get?.responses ?? {})).not.toContain('426');
    });

    it('refers only to schemas that it has, and describes instants as date-time', async () => {
      const text = await (await raw('/api/openapi.json')).text();
      const document = JSON.parse(text) as Document;
      const names = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1] ?? '');
      expect(names.length).toBeGreaterThan(10);
      for (const name of names) expect(Object.keys(document.components.schemas)).toContain(name);
      expect(document.components.schemas.Run).toMatchObject({
        properties: {
          created_at: { type: 'string', format: 'date-time' },
          finished_at: { type: ['string', 'null'], format: 'date-time' },
        },
      });
    });
  });

  it('stops while callers hold connections open, and can be started again', async () => {
    const server = createHttpServer({ context: httpContextOf(world), host: '127.0.0.1', port: 0 });
    await server.stop();
    await server.start();
    await server.start();
    await (await fetch(`${server.url}/healthz`)).text();
    const from = performance.now();
    await server.stop();
    await server.stop();
    expect(performance.now() - from).toBeLessThan(2_000);
    await server.start();
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    await server.stop();
  });
});
