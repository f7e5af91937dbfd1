// The example db-docs on one daemon that asks a local model: the reference run, what goes wrong, and the older routes all along.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobReport } from '../../../plugins/docs/job-figures.ts';
import { packageRoot } from '../../../src/base/package-root.ts';
import type { DocumentationJob } from '../../../src/reads/documentation-job.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../../support/database.ts';
import { type LlmFault, type LlmStub, startLlmStub } from '../../support/llm-stub.ts';

const objects = ['customer_lifetime_value', 'order_summary', 'revenue_forecast'];
const ids = ['sales.customer_lifetime_value', 'sales.order_summary', 'sales.revenue_forecast(integer, numeric)'];

let folder: DaemonFolder;
let warehouse: TestDatabase;
let own: TestDatabase;
let client: pg.Client;
let stub: LlmStub;
let daemon: Daemon;
let start: () => Promise<Daemon>;

beforeAll(async () => {
  [folder, own, warehouse, stub] = await Promise.all([
    createDaemonFolder(),
    createTestDatabase('postgres'),
    createTestDatabase('postgres', { migrate: false }),
    startLlmStub({ keys: ['key-1'] }),
  ]);
  client = new pg.Client({ connectionString: warehouse.url });
  await client.connect();
  await client.query(await readFile(join(packageRoot, 'examples/db-docs/warehouse.sql'), 'utf8'));
  const [configDir, dataDir] = [await makeConfig(), await folder.dataDir('db-docs', { empty: true })];
  const url = warehouse.url ?? '';
  const env = { WAREHOUSE_URL: url, DOCUMENTATION_URL: url, MODEL_KEY: 'key-1', DATABASE_URL: own.url ?? '' };
  start = () => startDaemon({ dataDir, configDir, env });
  daemon = await start();
});
afterAll(async () => {
  stub?.release();
  await daemon?.kill();
  await stub?.stop();
  await client?.end();
  await warehouse?.close();
  await own?.close();
  await folder?.remove();
});
beforeEach(() => {
  stub.requests.length = 0;
});

/** The example's own, with a model, and with a copy of the pipeline that asks one whose key nobody set. */
async function makeConfig(): Promise<string> {
  const path = join(folder.path, 'config');
  await cp(join(packageRoot, 'examples/db-docs/config'), path, { recursive: true });
  const pipeline = await readFile(join(path, 'pipelines/db-docs.yaml'), 'utf8');
  const keyless = pipeline
    .replace('id: db-docs', 'id: db-docs-keyless')
    .replace('cache: $', 'provider: keyless\n      cache: $');
  await writeFile(join(path, 'pipelines/db-docs-keyless.yaml'), keyless);
  const settings = await readFile(join(path, 'cronwright.yaml'), 'utf8');
  await writeFile(
    join(path, 'cronwright.yaml'),
    `${settings}
timing: { lease: 2s, heartbeat: 500ms, rescue: 500ms }
secrets: { MODEL_KEY: { env: MODEL_KEY } }
llm:
  default: local
  providers:
    local: { base_url: "${stub.url}", api_key: MODEL_KEY, model: m, prices: { m: { prompt: 3.5, completion: 20 } } }
    keyless: { base_url: "${stub.url}", api_key: NOT_THERE, model: m }
`,
  );
  return path;
}

let answers = 0;

/** A streamed answer that charges what it is told to; no two are the same. */
function charging(promptTokens: number, completionTokens: number): LlmFault {
  answers += 1;
  const usage = { prompt_tokens: promptTokens, completion_tokens: completionTokens };
  const base = { id: 'x', object: 'chat.completion.chunk', created: 0, model: 'm' };
  const events = [
    {
      ...base,
      choices: [{ index: 0, delta: { role: 'assistant', content: `Answer ${answers}.` }, finish_reason: null }],
    },
    { ...base, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
    { ...base, choices: [], usage: { ...usage, total_tokens: promptTokens + completionTokens } },
  ];
  return {
    kind: 'raw',
    body: `${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`,
  };
}

type Job = DocumentationJob & { errorLog: { objectId: string | null; error: string; message: string }[] };

const jobs = '/api/documentation/jobs';
const ask = async <Body>(method: string, path: string, json?: unknown): Promise<Body> => {
  const answer = await daemon.ask(`${jobs}${path}`, { method, ...(json === undefined ? {} : { json }) });
  if (answer.status >= 300) throw new Error(`${method} ${path} → ${answer.status} ${answer.text}`);
  return answer.body as Body;
};
const job = (id: string) => ask<Job>('GET', `/${id}`);
const create = async (options: object = { regenerateAll: true }) => {
  const by = { triggeredByUserId: 'u-7', triggeredByUserEmail: 'ada@example.org' };
  return (await ask<{ jobId: string }>('POST', '', { objectIds: objects, options, ...by })).jobId;
};
const until = (id: string, what: string, fits: (job: Job) => boolean) =>
  eventually(`${id} is ${what}`, async () => {
    const now = await job(id);
    return fits(now) ? now : undefined;
  });
const ended = (id: string) => until(id, 'over', ({ completedAt }) => completedAt !== null);
const asked = (count: number) => eventually(`${count} questions`, () => stub.requests.length >= count || undefined);
/** Which object and layer each question was about, in their order. */
const questions = () =>
  stub.requests.map(({ system, prompt }) => {
    const layer = /Your part is the (\w+)/.exec(system)?.[1];
    return `${(JSON.parse(prompt) as { name: string }).name} ${layer}`;
  });
const threeLayers = (name: string) => ['summary', 'columns', 'relations'].map((layer) => `${name} ${layer}`);

async function reportOf(id: string): Promise<JobReport> {
  const { items } = await daemon.get<{ items: { id: string; name: string }[] }>(`/runs/${id}/artifacts`);
  expect(items.map(({ name }) => name).sort()).toEqual(['db-docs-report.json', 'db-docs-report.md']);
  const json = items.find(({ name }) => name.endsWith('.json'));
  return (await daemon.ask(`/api/v1/runs/${id}/artifacts/${json?.id}`)).body as JobReport;
}
const stored = async (runId: string) => {
  const text =
    'select object_id, current, usd::float8 from documentation.object_documentation where run_id = $1 order by 1';
  return (await client.query(text, [runId])).rows;
};

describe('documenting three objects', () => {
  it('asks for approval, waits out rate limits, and charges 19,500 tokens for $0.1623 where $0.15 were expected', async () => {
    const each = [charging(1_600, 700), charging(1_500, 600), charging(1_500, 600)];
    const limited: LlmFault = { kind: 'rate_limited', retryAfterMs: 1_000 };
    stub.next(...each, limited, ...each, limited, ...each);
    const inputs = { objects, approve_above_usd: 0.1, user_id: 'u-7', user_email: 'ada@example.org' };
    const { id } = await daemon.post<{ id: string }>('/pipelines/db-docs/runs', { inputs });
    const wait = await eventually('the question', async () => {
      const { items } = await daemon.get<{ items: { run_id: string; message: string }[] }>('/waits');
      return items.find(({ run_id: runId }) => runId === id);
    });
    expect(wait.message).toBe('Document 3 objects for an expected $0.15 - $0.30?');
    expect(await until(id, 'asked', ({ message }) => message.startsWith('Waiting'))).toMatchObject({
      ...{ status: 'processing', totalObjects: 3, progressPercentage: 0, message: 'Waiting for approval of the cost' },
    });
    expect(stub.requests).toEqual([]);
    await daemon.post(`/runs/${id}/signal`, { decision: 'approve' });
    const seen = new Map<number, Job>();
    const messages = new Set<string>();
    const last = await until(id, 'over', (now) => {
      seen.set(now.progressPercentage, now);
      messages.add(now.message);
      return now.completedAt !== null;
    });
    expect([...seen.keys()]).toEqual([0, 33.3, 66.7, 100]);
    expect(seen.get(33.3)).toMatchObject({
      status: 'processing',
      processedObjects: 1,
      currentObjectId: ids[1],
      currentObjectName: 'order_summary',
      estimatedCompletionTime: expect.stringMatching(/^20/),
    });
    expect([...messages]).toContain('Documenting: order_summary: summary');
    // The object that met the limit is asked for again, and no other before it.
    expect(questions()).toEqual([
      ...threeLayers('customer_lifetime_value'),
      'order_summary summary',
      ...threeLayers('order_summary'),
      'revenue_forecast summary',
      ...threeLayers('revenue_forecast'),
    ]);
    expect(last).toMatchObject({
      ...{ status: 'completed', processedObjects: 3, failedObjects: 0, currentObjectId: null, message: 'completed' },
      ...{
        promptTokens: 13_800,
        completionTokens: 5_700,
        totalTokensUsed: 19_500,
        estimatedCost: 0.15,
        actualCost: 0.1623,
        errorLog: [],
      },
      ...{ triggeredByUserId: 'u-7', triggeredByUserEmail: 'ada@example.org', organization: 'default' },
    });
    const report = await reportOf(id);
    expect(report).toMatchObject({
      ...{ status: 'completed', total: 3, processed: 3, failed: 0, success_rate: 100, estimate_usd: 0.15 },
      ...{ usd: 0.1623, ratio: 1.082, started_by: { user_id: 'u-7', user_email: 'ada@example.org' } },
    });
    expect(report.layers.map(({ name, prompt_tokens: tokens }) => [name, tokens])).toEqual([
      ['summary', 4_800],
      ['columns', 4_500],
      ['relations', 4_500],
    ]);
    expect(await stored(id)).toEqual(ids.map((objectId) => ({ object_id: objectId, current: true, usd: 0.0541 })));
  });

  it('skips what is documented, and a rejected cost ends the run before anything is asked', async () => {
    const id = await create({ skipExisting: true });
    expect(await ended(id)).toMatchObject({
      ...{ status: 'completed', totalObjects: 3, skippedObjects: 3, processedObjects: 0, progressPercentage: 100 },
    });
    const inputs = { objects, mode: 'regenerate_all', approve_above_usd: 0 };
    const other = await daemon.post<{ id: string }>('/pipelines/db-docs/runs', { inputs });
    await eventually('the question', () =>
      daemon
        .ask(`/api/v1/runs/${other.id}/signal`, { method: 'POST', json: { decision: 'reject' } })
        .then(({ status }) => status === 200 || undefined),
    );
    expect(await ended(other.id)).toMatchObject({ status: 'failed', errorLog: [{ error: 'Rejected' }] });
    expect((await reportOf(other.id)).status).toBe('not_started');
    expect(stub.requests).toEqual([]);
  });

  it('fails the whole run at once where the key of the model is missing', async () => {
    const inputs = { objects, mode: 'regenerate_all' };
    const { id } = await daemon.post<{ id: string }>('/pipelines/db-docs-keyless/runs', { inputs });
    const run = await eventually('its end', async () => {
      const now = await daemon.get<{ state: string; error: { name: string; message: string } }>(`/runs/${id}`);
      return now.state === 'failed' ? now : undefined;
    });
    expect(run.error).toMatchObject({
      name: 'MissingApiKey',
      message: expect.stringMatching(/No API key configured for provider keyless/),
    });
    expect(await reportOf(id)).toMatchObject({ status: 'failed', processed: 0, failed: 1 });
    expect(stub.requests).toEqual([]);
  });

  it('counts one object as failed and goes on with the others', async () => {
    // The model refuses the second object; the third has no answer at first, and gets its retry.
    const ok: LlmFault = charging(10, 10);
    stub.next(ok, ok, ok, { kind: 'status', status: 400, message: 'no such thing' }, { kind: 'status', status: 503 });
    const id = await create({ regenerateAll: true, maxRetries: 1 });
    expect(await ended(id)).toMatchObject({
      ...{ status: 'completed', processedObjects: 2, failedObjects: 1, progressPercentage: 100 },
      errorLog: [{ objectId: ids[1], message: expect.stringContaining('no such thing') }],
    });
    const report = await reportOf(id);
    expect(report).toMatchObject({ success_rate: 66.7, errors: [{ object_id: ids[1] }] });
    expect(report.objects.map(({ status }) => status)).toEqual(['completed', 'failed', 'completed']);
    const { items } = await daemon.get<{ items: { event: string; data: { layer?: string } }[] }>(`/runs/${id}/events`);
    const failures = items.filter(({ event }) => event === 'step.event.layer_failed');
    expect(failures.map(({ data }) => data)).toMatchObject([
      { object_id: ids[1], layer: 'summary', class: 'fatal', duration_ms: expect.any(Number) },
      { object_id: ids[2], layer: 'summary', class: 'transient' },
    ]);
  });

  it('ends between objects where it is cancelled: what is done stays, what is left is not asked for', async () => {
    const ok = charging(10, 10);
    stub.next(ok, ok, ok, { kind: 'hang' });
    const id = await create();
    await asked(4);
    expect(await ask('DELETE', `/${id}`)).toMatchObject({ jobId: id, success: true });
    expect(await ended(id)).toMatchObject({ status: 'cancelled', processedObjects: 1, progressPercentage: 33.3 });
    stub.release();
    expect(questions().at(-1)).toBe('order_summary summary');
    expect((await stored(id)).map((row) => row.object_id)).toEqual([ids[0]]);
    expect((await reportOf(id)).objects.map(({ status }) => status)).toEqual([
      'completed',
      'not_processed',
      'not_processed',
    ]);
  });

  it('is paused before the next object, and resumed', async () => {
    stub.next({ kind: 'hang' });
    const id = await create();
    await asked(1);
    expect(await ask('POST', `/${id}/pause`, {})).toMatchObject({ success: true });
    stub.release();
    expect(await until(id, 'paused', ({ status }) => status === 'paused')).toMatchObject({
      ...{ processedObjects: 1, progressPercentage: 33.3, pausedAt: expect.stringMatching(/^20/) },
    });
    expect(stub.requests).toHaveLength(3);
    const paused = await ask<{ items: Job[] }>('GET', '?status=paused,failed&organization=default');
    expect(paused.items.map(({ jobId, status }) => [jobId, status])).toContainEqual([id, 'paused']);
    expect(await ask('POST', `/${id}/resume`, {})).toMatchObject({ success: true });
    expect(await ended(id)).toMatchObject({ status: 'completed', processedObjects: 3 });
    expect(questions()).toEqual(objects.flatMap(threeLayers));
  });

  it('goes on at the layer where a kill cut it off', async () => {
    const ok = charging(100, 10);
    stub.next(ok, ok, ok, ok, { kind: 'hang' }, ok, ok, ok, ok, ok);
    const id = await create();
    await asked(5);
    await daemon.kill();
    stub.release();
    daemon = await start();
    expect(await ended(id)).toMatchObject({ status: 'completed', processedObjects: 3, failedObjects: 0 });
    expect(questions()).toEqual([
      ...threeLayers('customer_lifetime_value'),
      ...['order_summary summary', 'order_summary columns', 'order_summary columns', 'order_summary relations'],
      ...threeLayers('revenue_forecast'),
    ]);
    expect(await stored(id)).toHaveLength(3);
    const { rows } = await client.query(
      'select count(*)::int4 as n from documentation.object_documentation where current',
    );
    expect(rows).toEqual([{ n: 3 }]);

    // Rolled back, its versions go, and those before them are current again.
    const undo = await daemon.post<{ id: string }>(`/runs/${id}/rollback`);
    await eventually('the rollback', async () => {
      const { state } = await daemon.get<{ state: string }>(`/runs/${undo.id}`);
      return state === 'rolled_back' || undefined;
    });
    expect(await stored(id)).toEqual([]);
    const text = 'select object_id from documentation.object_documentation where current order by 1';
    expect((await client.query(text)).rows.map((row) => row.object_id)).toEqual(ids);
  });

  it('says what is wrong with a request', async () => {
    const both = { objectIds: objects, options: { skipExisting: true, regenerateAll: true } };
    expect(await daemon.ask(jobs, { method: 'POST', json: both })).toMatchObject({
      status: 400,
      body: { problems: [{ path: 'options' }] },
    });
    expect(await daemon.ask(`${jobs}?status=done`)).toMatchObject({ status: 400 });
    expect(await daemon.ask(`${jobs}/0190a0a0-0000-7000-8000-000000000001`)).toMatchObject({ status: 404 });
    expect(
      await daemon.ask(jobs, { method: 'POST', json: {}, headers: { 'cronwright-tenant': 'other' } }),
    ).toMatchObject({ status: 404 });
  });
});
