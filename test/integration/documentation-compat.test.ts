// The older routes of documentation jobs over HTTP: who may ask, whose jobs are told, and in which words.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createWorld,
  type Daemon,
  enqueueRun,
  sql,
  startDaemon,
  testPipeline,
  testStep,
  type World,
} from '../support/http-world.ts';

const token = 'a-token-of-the-operator';
const pipelineOf = (tenant: string) =>
  testPipeline('db-docs', {
    tenant,
    inputs: {
      objects: { type: 'array', required: false },
      mode: { type: 'string', required: false },
      max_retries: { type: 'integer', required: false },
      user_id: { type: 'string', required: false },
      user_email: { type: 'string', required: false },
    },
    steps: [
      testStep('find', [], { uses: 'docs.pending' }),
      testStep('write', ['find'], { uses: 'docs.describe_object' }),
    ],
  });
const other = testPipeline('other');
const ours = pipelineOf('acme');
const theirs = pipelineOf('umbrella');

let test: TestDatabase;
let world: World;
let daemon: Daemon;

beforeAll(async () => {
  test = await createTestDatabase('postgres');
  world = await createWorld(test.db, [ours, theirs, other]);
  daemon = await startDaemon(world, { token });
});
afterAll(async () => {
  await daemon?.stop();
  await test?.close();
});

const ask = async (method: string, path = '', { tenant = 'acme', body, bearer = token }: Asked = {}) => {
  const headers = {
    'cronwright-tenant': tenant,
    'content-type': 'application/json',
    ...(bearer === '' ? {} : { authorization: `Bearer ${bearer}` }),
  };
  const given = body === undefined ? {} : { body: JSON.stringify(body) };
  const answer = await fetch(`${daemon.url}/api/documentation/jobs${path}`, { method, headers, ...given });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
};
interface Asked {
  tenant?: string;
  body?: unknown;
  /** Empty: none. */
  bearer?: string;
}
const jobsOf = async (query: string, asked?: Asked) => {
  const { body } = await ask('GET', query, asked);
  return (body.items as { jobId: string; status: string }[]).map(({ jobId, status }) => `${jobId} ${status}`);
};

describe('the older routes of documentation jobs', () => {
  it('want the token of the operator, like all others', async () => {
    const { id } = await enqueueRun(test.db, ours);
    const wants: readonly (readonly [string, string])[] = [
      ['POST', ''],
      ['GET', ''],
      ['GET', `/${id}`],
      ['POST', `/${id}/pause`],
      ['POST', `/${id}/resume`],
      ['DELETE', `/${id}`],
    ];
    for (const [method, path] of wants) {
      const body = method === 'POST' ? { body: {} } : {};
      for (const bearer of ['', 'wrong']) {
        expect((await ask(method, path, { ...body, bearer })).status, `${method} ${path}`).toBe(401);
      }
    }
    expect((await ask('GET', `/${id}`)).body).toMatchObject({ status: 'queued', organization: 'acme' });
  });

  it('start a run with what was asked for, and say whose it is', async () => {
    const by = { triggeredByUserId: 'u-1', triggeredByUserEmail: 'ada@example.org' };
    const body = { objectIds: ['s.a', 's.b'], options: { regenerateAll: true, maxRetries: 5 }, ...by };
    const started = await ask('POST', '', { body });
    expect(started).toMatchObject({ status: 202, body: { status: 'queued' } });
    const id = String(started.body.jobId);
    const [run] = await sql<{ inputs: unknown }>(test.db, 'select inputs from cronwright.runs where id = $1', [id]);
    expect(run?.inputs).toEqual({
      ...{ objects: ['s.a', 's.b'], mode: 'regenerate_all', max_retries: 5 },
      ...{ user_id: 'u-1', user_email: 'ada@example.org' },
    });
    expect((await ask('GET', `/${id}`)).body).toMatchObject({ totalObjects: 2, ...by, errorLog: [] });
    const modeOf = async (options: object) => {
      const { jobId } = (await ask('POST', '', { body: { options } })).body;
      const text = "select inputs->>'mode' as mode from cronwright.runs where id = $1";
      return (await sql<{ mode: string }>(test.db, text, [jobId]))[0]?.mode;
    };
    expect(await modeOf({ skipExisting: true })).toBe('skip_existing');
    expect(await modeOf({ skipExisting: false })).toBe('regenerate_all');
    expect(await modeOf({})).toBe('skip_existing');
  });

  it('tell nobody of the jobs of another tenant, and nothing of runs of other pipelines', async () => {
    const mine = (await enqueueRun(test.db, ours)).id;
    const foreign = (await enqueueRun(test.db, theirs)).id;
    const unlike = (await enqueueRun(test.db, other)).id;
    for (const [method, path] of [
      ['GET', `/${foreign}`],
      ['POST', `/${foreign}/pause`],
      ['DELETE', `/${foreign}`],
    ] as const) {
      expect((await ask(method, path, method === 'POST' ? { body: {} } : {})).status, `${method} ${path}`).toBe(404);
    }
    expect((await ask('DELETE', `/${unlike}`, { tenant: 'default' })).status).toBe(404);
    expect(await jobsOf('')).toContain(`${mine} queued`);
    expect(await jobsOf('')).not.toContain(`${foreign} queued`);
    expect(await jobsOf('?organization=umbrella')).toEqual([`${foreign} queued`]);
    expect(await jobsOf('', { tenant: 'nobody' })).toEqual([]);
  });

  it('tell how far a job is, and when it will be over by the average of its objects', async () => {
    const { id } = await enqueueRun(test.db, ours);
    await sql(test.db, "update cronwright.queue set state = 'running', started_at = now() where run_id = $1", [id]);
    const todo = ['a', 'b', 'c', 'd'].map((name) => ({ id: `s.${name}`, name }));
    const put = (step: string, item: number, state: string, seconds: number | null, more: { output?: object } = {}) =>
      sql(
        test.db,
        `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, error, started_at,
          finished_at, rate_limited_ms)
        values ($1, $2, $3::int4, 'acme', $4, 1, 0, 1, $5, $6, now(), now() + $7::float8 * interval '1 second', 0)`,
        [
          ...[id, step, item, state, more.output === undefined ? null : JSON.stringify(more.output)],
          ...[state === 'failed' ? '{"name": "ServerError", "message": "it is down"}' : null, seconds],
        ],
      );
    await put('find', -1, 'completed', 0, { output: { todo, skipped: [{ id: 's.e', name: 'e' }] } });
    await put('write', 0, 'completed', 10);
    await put('write', 1, 'failed', 20);
    await put('write', 2, 'running', null);
    const asked = Date.now();
    const { body } = await ask('GET', `/${id}`);
    expect(body).toMatchObject({
      ...{ status: 'processing', totalObjects: 5, processedObjects: 1, failedObjects: 1, skippedObjects: 1 },
      ...{ progressPercentage: 60, averageProcessingTimeMs: 15_000 },
      ...{ currentObjectId: 's.c', currentObjectName: 'c', startedAt: expect.stringMatching(/^20/), completedAt: null },
      errorLog: [{ objectId: 's.b', error: 'ServerError', message: 'it is down' }],
    });
    // Two objects are left.
    const end = Date.parse(String(body.estimatedCompletionTime));
    expect(end).toBeGreaterThanOrEqual(asked + 30_000);
    expect(end).toBeLessThanOrEqual(Date.now() + 30_000);
  });

  it('pause, resume and cancel, and list by status', async () => {
    const { id } = await enqueueRun(test.db, ours);
    expect(await ask('POST', `/${id}/pause`, { body: {} })).toMatchObject({ status: 200, body: { status: 'paused' } });
    expect(await jobsOf('?status=paused')).toEqual([`${id} paused`]);
    expect(await ask('POST', `/${id}/resume`, { body: {} })).toMatchObject({ status: 200, body: { status: 'queued' } });
    expect(await ask('DELETE', `/${id}`)).toMatchObject({ status: 200, body: { status: 'cancelled', success: true } });
    expect(await jobsOf('?status=cancelled,failed')).toEqual([`${id} cancelled`]);
    expect((await ask('POST', `/${id}/resume`, { body: {} })).status).toBe(409);
  });
});
