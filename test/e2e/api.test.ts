// A walk through the API of a real daemon on PostgreSQL, with a token; and no secret in anything it ever said.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

interface Run {
  id: string;
  state: string;
  pipeline: string;
  schedule: string | null;
  origin: string;
  requested: string | null;
  progress: number;
  parent_id: string | null;
  created_at: string;
  error: { name: string; message: string; step?: string } | null;
}
interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

const secrets = {
  token: 'Tok3n-of-the-walk',
  database: 'Passw0rd-of-the-database',
  connection: 'Passw0rd-of-a-connection',
  fromEnvironment: 'Passw0rd-in-the-environment',
  key: 'K3y-of-a-service',
};

let folder: DaemonFolder;
let database: TestDatabase;
let daemon: Daemon;
let flag: string;

const pipelines = () => `
id: tick
inputs: { n: { type: integer, default: 1 } }
steps:
  - { id: rest, uses: wait.sleep, with: { duration: 1ms } }
---
id: greet
steps:
  - { id: hello, uses: shell.run, with: { script: 'echo "hello $KEY"' }, env: { KEY: "\${{ secrets.API_KEY }}" } }
  - { id: rest, uses: wait.sleep, with: { duration: 1ms } }
---
id: stumble
steps:
  - { id: first, uses: shell.run, with: { script: "echo once" } }
  - { id: second, uses: shell.run, with: { script: "test -e ${flag}" }, retry: { max_retries: 0 } }
---
id: ask
steps:
  - { id: rows, uses: sql.query, with: { connection: warehouse, text: "select 1" }, retry: { max_retries: 0 } }
---
id: endless
schedules:
  - { id: yearly, cron: "0 2 1 1 *", timezone: Europe/Berlin, overlap: skip }
steps:
  - { id: rest, uses: wait.sleep, with: { duration: 1h } }
`;

beforeAll(async () => {
  folder = await createDaemonFolder();
  flag = join(folder.path, 'flag');
  database = await createTestDatabase('postgres');
  const configDir = join(folder.path, 'config');
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  await writeFile(
    join(configDir, 'cronwright.yaml'),
    `connections:
  warehouse: { url: "postgres://ada:${secrets.connection}@127.0.0.1:1/warehouse" }
  lake: { env: LAKE_URL }
secrets: { API_KEY: { env: ACME_KEY } }
log: { level: debug }
`,
  );
  await writeFile(join(configDir, 'pipelines/all.yaml'), pipelines());
  const url = new URL(database.url ?? '');
  url.password = secrets.database;
  daemon = await startDaemon({
    dataDir: await folder.dataDir('walk', { empty: true }),
    configDir,
    token: secrets.token,
    env: {
      DATABASE_URL: url.href,
      CRONWRIGHT_TOKEN: secrets.token,
      LAKE_URL: `postgres://bob:${secrets.fromEnvironment}@127.0.0.1:1/lake`,
      ACME_KEY: secrets.key,
    },
  });
});

afterAll(async () => {
  await daemon?.kill();
  await database?.close();
  await folder?.remove();
});

async function start(id: string, body: unknown = {}): Promise<string> {
  return (await daemon.post<{ id: string }>(`/pipelines/${id}/runs`, body)).id;
}

async function inState(id: string, ...states: string[]): Promise<Run> {
  const look = async () => {
    const run = await daemon.get<Run>(`/runs/${id}`);
    return states.includes(run.state) ? run : undefined;
  };
  return eventually(`run ${id} ${states}`, look, 30_000, () => daemon.output().slice(-2_000));
}

async function allRuns(query: string, limit: number, between: () => Promise<unknown> = async () => {}): Promise<Run[]> {
  const runs: Run[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page<Run> = await daemon.get(`/runs?${query}&limit=${limit}${cursor && `&cursor=${cursor}`}`);
    expect(page.items.length).toBeLessThanOrEqual(limit);
    runs.push(...page.items);
    cursor = page.next_cursor;
    await between();
  }
  return runs;
}

describe('runs over the API', () => {
  it('starts one, tells its steps, its dense events and its log', async () => {
    const id = await start('greet');
    const run = await inState(id, 'completed', 'failed');
    expect(run).toMatchObject({ state: 'completed', pipeline: 'greet', origin: 'api', progress: 100, error: null });
    const steps = await daemon.get<Page<{ step: string; state: string; attempts: number }>>(`/runs/${id}/steps`);
    expect(steps.items).toMatchObject([
      { step: 'hello', state: 'completed', attempts: 1 },
      { step: 'rest', state: 'completed', attempts: 1 },
    ]);
    const events = await daemon.get<Page<{ seq: number; event: string }>>(`/runs/${id}/events`);
    expect(events.items.map(({ seq }) => seq)).toEqual(events.items.map((_, i) => i + 1));
    expect(events.items.at(0)?.event).toBe('run.enqueued');
    expect(events.items.at(-1)?.event).toBe('run.completed');
    const later = await daemon.get<Page<{ seq: number }>>(`/runs/${id}/events?after=2&limit=1`);
    expect(later.items.map(({ seq }) => seq)).toEqual([3]);
    const logs = await daemon.get<Page<{ step: string; text: string; stream: string }>>(`/runs/${id}/logs`);
    expect(logs.items).toContainEqual(expect.objectContaining({ step: 'hello', stream: 'stdout', text: 'hello ***' }));
    expect((await daemon.get<Page<unknown>>(`/runs/${id}/checkpoints`)).items).toHaveLength(2);
    expect((await daemon.get<Page<unknown>>(`/runs/${id}/artifacts`)).items).toEqual([]);
  });

  it('answers the same for the same Idempotency-Key, and 409 for another body under it', async () => {
    const ask = (n: number) => ({ method: 'POST', json: { inputs: { n } }, headers: { 'idempotency-key': 'once' } });
    const first = await daemon.ask('/api/v1/pipelines/tick/runs', ask(1));
    const again = await daemon.ask('/api/v1/pipelines/tick/runs', ask(1));
    expect(first.status).toBe(202);
    expect(again.body).toEqual(first.body);
    expect((await daemon.ask('/api/v1/pipelines/tick/runs', ask(2))).status).toBe(409);
  });

  it('takes 1,000 at once, completes them all, and pages through them without a double or a hole', async () => {
    const from = new Date(Date.now() - 1_000).toISOString();
    const runs = Array.from({ length: 1_000 }, (_, n) => ({ inputs: { n } }));
    const { count, ids } = await daemon.post<{ count: number; ids: string[] }>('/pipelines/tick/runs/batch', { runs });
    expect(count).toBe(1_000);
    expect(new Set(ids).size).toBe(1_000);
    const look = async () => {
      const { depth } = await daemon.get<{ depth: number }>('/queue');
      return depth === 0 ? true : undefined;
    };
    await eventually('the queue is empty', look, 60_000);

    // New runs arrive between the pages: they are newer than the first page and must shift nothing.
    const listed = await allRuns('pipeline=tick&state=completed', 137, () => start('tick'));
    const seen = listed.map(({ id }) => id).filter((id) => ids.includes(id));
    expect(seen).toEqual([...ids].sort().reverse());
    expect(new Set(listed.map(({ id }) => id)).size).toBe(listed.length);
    const window = await allRuns(`pipeline=tick&from=${from}`, 500);
    expect(window.every((run) => run.created_at >= from)).toBe(true);
    expect((await allRuns(`pipeline=tick&to=${from}`, 500)).every((run) => run.created_at < from)).toBe(true);
  });

  it('filters by state, origin, pipeline and schedule', async () => {
    const { items: byOrigin } = await daemon.get<Page<Run>>('/runs?origin=api&limit=500');
    expect(byOrigin.length).toBeGreaterThan(0);
    expect(byOrigin.every(({ origin }) => origin === 'api')).toBe(true);
    expect((await daemon.get<Page<Run>>('/runs?origin=backfill')).items).toEqual([]);
    const { items: both } = await daemon.get<Page<Run>>('/runs?state=completed,failed&pipeline=greet');
    expect(both.map(({ pipeline }) => pipeline)).toEqual(both.map(() => 'greet'));
    expect(both.length).toBeGreaterThan(0);
    expect((await daemon.get<Page<Run>>('/runs?schedule=endless.yearly')).items).toEqual([]);
    expect((await daemon.ask('/api/v1/runs?cursor=nonsense')).status).toBe(400);
    expect((await daemon.ask('/api/v1/runs?colour=red')).status).toBe(400);
  });

  it('cancels what waits at once and what runs soon, and refuses what has ended', async () => {
    const later = await start('tick', { run_at: '2199-01-01T00:00:00Z' });
    expect((await daemon.get<Run>(`/runs/${later}`)).state).toBe('scheduled');
    const waiting = await daemon.ask(`/api/v1/runs/${later}/cancel`, { method: 'POST', json: { reason: 'no' } });
    expect(waiting).toMatchObject({ status: 200, body: { state: 'cancelled' } });

    const id = await start('endless');
    await inState(id, 'running');
    const running = await daemon.ask(`/api/v1/runs/${id}/cancel`, { method: 'POST', json: { reason: 'enough' } });
    expect(running).toMatchObject({ status: 202, body: { requested: 'cancel' } });
    await inState(id, 'cancelled');
    const again = await daemon.ask(`/api/v1/runs/${id}/cancel`, { method: 'POST', json: {} });
    expect(again.status).toBe(409);
    expect(again.text).toContain('cancelled');
  });

  it('retries from the step that failed, in a new run', async () => {
    const id = await start('stumble');
    const failed = await inState(id, 'failed', 'completed');
    expect(failed).toMatchObject({ state: 'failed', error: { step: 'second' } });
    await writeFile(flag, '');
    const retried = await daemon.post<{ id: string; kept_steps: string[] }>(`/runs/${id}/retry`);
    expect(retried.kept_steps).toEqual(['first']);
    expect(await inState(retried.id, 'completed', 'failed')).toMatchObject({
      state: 'completed',
      origin: 'retry',
      parent_id: id,
    });
    const logs = await daemon.get<Page<{ text: string }>>(`/runs/${retried.id}/logs`);
    expect(logs.items.map(({ text }) => text)).not.toContain('once');
    expect((await daemon.ask(`/api/v1/runs/${retried.id}/retry`, { method: 'POST', json: {} })).status).toBe(409);
  });
});

describe('schedules over the API', () => {
  it('pauses, resumes and triggers one by its overlap policy', async () => {
    const { items } = await daemon.get<Page<{ id: string; state: string }>>('/schedules');
    expect(items).toMatchObject([{ id: 'endless.yearly', state: 'active' }]);
    const fires = await daemon.get<{ items: { at: string }[] }>('/schedules/endless.yearly/next?count=3');
    expect(fires.items).toHaveLength(3);
    const paused = await daemon.post('/schedules/endless.yearly/pause', { reason: 'holiday' });
    expect(paused).toMatchObject({ state: 'paused', next_at: null, paused: { reason: 'holiday' } });
    expect(await daemon.post('/schedules/endless.yearly/resume')).toMatchObject({ state: 'active', paused: null });

    const { id } = await daemon.post<{ id: string }>('/schedules/endless.yearly/trigger');
    const second = await daemon.ask('/api/v1/schedules/endless.yearly/trigger', { method: 'POST', json: {} });
    expect(second.status).toBe(409);
    const forced = await daemon.post<{ id: string }>('/schedules/endless.yearly/trigger', { force: true });
    for (const one of [forced.id, id]) {
      expect((await daemon.get<Run>(`/runs/${one}`)).schedule).toBe('endless.yearly');
      await daemon.post(`/runs/${one}/cancel`);
      await inState(one, 'cancelled');
    }
    expect((await daemon.ask('/api/v1/schedules/endless.yearly/occurrences')).status).toBe(200);
  });

  it('computes the next fires of 20 of the known cases', async () => {
    const lines = (await readFile(join(packageRoot, 'test/fixtures/cron-cases.jsonl'), 'utf8')).trim().split('\n');
    const cases = lines.map((line) => JSON.parse(line) as CronCase);
    const some = ['next', 'invalid', 'never', 'not_at'].flatMap((kind) => {
      const known = cases.filter((one) => one.kind === kind);
      const wanted = { next: 12, invalid: 4, never: 2, not_at: 2 }[kind] ?? 0;
      return Array.from({ length: wanted }, (_, i) => known[Math.floor((i * known.length) / wanted)]);
    });
    expect(some).toHaveLength(20);
    for (const one of some) if (one) await expectCase(one);
  });
});

interface CronCase {
  kind: 'next' | 'invalid' | 'never' | 'not_at';
  expression: string;
  timezone: string;
  from: string;
  expect: string[];
  not_at?: string;
}

async function expectCase({ kind, expression, timezone, from, expect: wanted, not_at }: CronCase): Promise<void> {
  const json = { expression, timezone, from, count: Math.max(1, wanted.length) };
  const { status, body } = await daemon.ask('/api/v1/cron/next', { method: 'POST', json });
  const { occurrences = [] } = body as { occurrences?: string[] };
  const times = occurrences.map((text) => Date.parse(text));
  expect({ expression, status }).toEqual({ expression, status: kind === 'invalid' ? 400 : 200 });
  if (kind === 'next') expect({ expression, times }).toEqual({ expression, times: wanted.map((at) => Date.parse(at)) });
  if (kind === 'never') expect({ expression, times }).toEqual({ expression, times: [] });
  if (kind === 'not_at') expect(times).not.toContain(Date.parse(String(not_at)));
  if (kind === 'not_at') expect(times).toHaveLength(1);
}

describe('the daemon over the API', () => {
  it('tells queue, nodes, stats and pipelines', async () => {
    expect(await daemon.get('/queue')).toMatchObject({ depth: 0, by_state: {}, ready: 0, blocked: 0 });
    const nodes = await daemon.get<Page<{ state: string; workers: number }>>('/nodes');
    expect(nodes.items).toMatchObject([{ state: 'live', workers: 4, in_flight: 500 }]);
    const stats = await daemon.get<{ completed: number; failed: number; total: number }>('/stats');
    expect(stats.completed).toBeGreaterThan(1_000);
    expect(stats.failed).toBe(1);
    const { items } = await daemon.get<Page<{ id: string }>>('/pipelines');
    expect(items.map(({ id }) => id)).toEqual(['ask', 'endless', 'greet', 'stumble', 'tick']);
  });

  it('describes itself in OpenAPI 3.1: every reference leads somewhere, every path is served', async () => {
    const document = (await daemon.ask('/api/openapi.json')).body as OpenApi;
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(document.info).toMatchObject({ title: 'Cronwright', version: expect.any(String) });
    for (const reference of references(document)) expect(resolve(document, reference), reference).toBeDefined();
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ path, method, ...operation })),
    );
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const { path, method, responses, parameters = [] } of operations) {
      expect(
        Object.keys(responses).some((status) => status.startsWith('2') || status === '101'),
        `${method} ${path}`,
      ).toBe(true);
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = parameters.filter((one) => one.in === 'path').map(({ name }) => name);
      expect(declared.sort(), path).toEqual(named.sort());
      if (method !== 'get' || named.length > 0) continue;
      // Two answers have no end: a stream is served as soon as its head is there, a WebSocket asks for an upgrade.
      if ('101' in responses) expect((await daemon.ask(path)).status, path).toBe(426);
      else if (isStream(responses)) expect(await statusOfStream(path), path).toBe(200);
      else expect((await daemon.ask(path)).status, path).toBe(200);
    }
    expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(routes.map((path) => `/api/v1${path}`)));
  });

  async function statusOfStream(path: string): Promise<number> {
    const leave = new AbortController();
    const { status } = await fetch(daemon.url + path, {
      headers: { authorization: `Bearer ${secrets.token}` },
      signal: leave.signal,
    });
    leave.abort();
    return status;
  }

  it('measures everything of the core set', async () => {
    const { text } = await daemon.ask('/metrics');
    for (const name of coreMetrics) expect(text, name).toMatch(new RegExp(`^# TYPE cronwright_${name} `, 'm'));
    expect(text).toMatch(/^cronwright_runs_total\{[^}]*pipeline="tick"[^}]*result="success"[^}]*\} \d{4}$/m);
    expect(text).not.toMatch(/run_id=|[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });
});

describe('the secrets of this walk', () => {
  it('are in no answer and in no line of the log, not even where a connection fails or a program prints them', async () => {
    const failed = await inState(await start('ask'), 'failed', 'completed');
    expect(failed).toMatchObject({ state: 'failed', error: { step: 'rows' } });
    await daemon.get(`/runs/${failed.id}/events`);
    await daemon.get(`/runs/${failed.id}/steps`);
    await daemon.get(`/runs/${failed.id}/logs`);
    for (const page of ['/', '/runs', '/schedules', `/runs/${failed.id}`])
      expect((await daemon.ask(page)).status).toBe(200);
    const config = await daemon.ask('/api/v1/config');
    expect(config.text).toContain('ada:***@127.0.0.1:1/warehouse');
    expect(config.text).toContain('postgres:***@');
    expect((await daemon.stop()).code).toBe(0);

    for (const [name, secret] of Object.entries(secrets)) {
      const answers = daemon.answers.filter(({ text, headers }) =>
        `${text}${JSON.stringify(headers)}`.includes(secret),
      );
      expect(
        answers.map(({ text }) => text.slice(0, 300)),
        `${name} in an answer`,
      ).toEqual([]);
      const lines = daemon.output().split('\n');
      expect(
        lines.filter((line) => line.includes(secret)),
        `${name} in the log`,
      ).toEqual([]);
    }
  });
});

interface OpenApi {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
}
interface Operation {
  operationId: string;
  responses: Record<string, unknown>;
  parameters?: { in: string; name: string }[];
}

/** Whether it answers with a stream that goes on. */
function isStream(responses: Operation['responses']): boolean {
  return JSON.stringify(responses).includes('"text/event-stream"');
}

function references(node: unknown): string[] {
  if (typeof node !== 'object' || node === null) return [];
  const own = '$ref' in node && typeof node.$ref === 'string' ? [node.$ref] : [];
  return [...own, ...Object.values(node).flatMap(references)];
}

function resolve(document: unknown, reference: string): unknown {
  expect(reference).toMatch(/^#\//);
  const names = reference.slice(2).split('/');
  return names.reduce((node: unknown, name) => (node as Record<string, unknown> | undefined)?.[name], document);
}

const routes = [
  '/pipelines',
  '/pipelines/{id}',
  '/pipelines/{id}/runs',
  '/pipelines/{id}/runs/batch',
  '/schedules',
  '/schedules/{id}',
  '/schedules/{id}/occurrences',
  '/schedules/{id}/next',
  '/schedules/{id}/pause',
  '/schedules/{id}/resume',
  '/schedules/{id}/trigger',
  '/runs',
  '/runs/{id}',
  '/runs/{id}/steps',
  '/runs/{id}/events',
  '/runs/{id}/logs',
  '/runs/{id}/artifacts',
  '/runs/{id}/cancel',
  '/runs/{id}/retry',
  '/queue',
  '/nodes',
  '/stats',
  '/config',
  '/events',
  '/ws',
  '/outbox',
  '/cron/next',
];

const coreMetrics = [
  'runs_total',
  'run_duration_seconds',
  'run_queue_wait_seconds',
  'runs_active',
  'queue_depth',
  'schedule_lag_seconds',
  'schedule_next_fire_timestamp_seconds',
  'occurrences_total',
  'step_attempts_total',
  'step_duration_seconds',
  'step_retries_total',
  'leases_lost_total',
  'dead_letters',
  'scheduler_last_tick_timestamp_seconds',
  'db_query_duration_seconds',
  'http_request_duration_seconds',
  'build_info',
];
