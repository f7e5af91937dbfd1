// The example task-prompts on one daemon that asks a local model, by the older routes and in the older words all along.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { configWithModel, environmentFor } from '../../../examples/runner/model.ts';
import example from '../../../examples/task-prompts/example.ts';
import { packageRoot } from '../../../src/base/package-root.ts';
import { olderNames } from '../../../src/http/live/older-names.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../../support/daemon-process.ts';
import { openSocket, type SocketClient } from '../../support/live-clients.ts';
import { type LlmFault, type LlmStub, startLlmStub } from '../../support/llm-stub.ts';

interface State {
  id: string;
  state: string;
  phase: string | null;
  requested: string | null;
  created_at: string;
  started_at: string | null;
  phases: { id: string; name: string; state: string; attempts: number; duration_ms: number | null; error: unknown }[];
}

let folder: DaemonFolder;
let stub: LlmStub;
let daemon: Daemon;
let start: () => Promise<Daemon>;
const sockets: SocketClient[] = [];

beforeAll(async () => {
  [folder, stub] = await Promise.all([
    createDaemonFolder(),
    startLlmStub({ keys: ['key-1'], answer: example.model as never }),
  ]);
  const configDir = join(folder.path, 'config');
  const prices = { prompt: 2, cached: 0.5, completion: 8 };
  const model = { baseUrl: stub.url, apiKey: 'key-1', name: 'stub-1', prices };
  await configWithModel(join(packageRoot, 'examples/task-prompts/config'), configDir, model);
  const settings = join(configDir, 'cronwright.yaml');
  await writeFile(
    settings,
    `${await readFile(settings, 'utf8')}\ntiming: { lease: 2s, heartbeat: 300ms, rescue: 300ms }\n`,
  );
  const dataDir = await folder.dataDir('prompts');
  start = () => startDaemon({ dataDir, configDir, env: environmentFor(model) });
  daemon = await start();
});
afterAll(async () => {
  stub?.release();
  await daemon?.kill();
  await stub?.stop();
  await folder?.remove();
});
beforeEach(() => {
  stub.requests.length = 0;
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

async function ask<Body = State>(
  method: string,
  path: string,
  json?: unknown,
): Promise<{ status: number; body: Body }> {
  const { status, body } = await daemon.ask(`/api/pipeline${path}`, {
    method,
    ...(json === undefined ? {} : { json }),
  });
  return { status, body: body as Body };
}

/** What is kept of answers would be answered from there: every task is another. */
let tasks = 0;

async function startTask(): Promise<string> {
  tasks += 1;
  const inputs = { title: `Task ${tasks}`, description: `Customers create invoices of kind ${tasks}.` };
  const started = await ask('POST', '/start', { pipeline: 'task-prompts', inputs });
  expect(started.status).toBe(202);
  return started.body.id;
}

const stateOf = async (id: string) => (await ask('GET', `/${id}/state`)).body;

async function reaches(id: string, wanted: string): Promise<State> {
  let last: State | undefined;
  return eventually(
    `the run is ${wanted}`,
    async () => {
      last = await stateOf(id);
      return last.state === wanted ? last : undefined;
    },
    30_000,
    () => last,
  );
}

const plainly = (count: number): LlmFault[] => Array.from({ length: count }, () => ({ kind: 'no_usage' }) as const);

const asked = (count: number) =>
  eventually(`the model is asked ${count} times`, () => (stub.requests.length >= count ? true : undefined));

/** Categories that a model was asked for, by kind of question. */
function questions(begins: string): string[] {
  const own = stub.requests.filter(({ prompt }) => prompt.startsWith(begins));
  return own.map(({ prompt }) => /category (\w+)\./.exec(prompt)?.[1] ?? '');
}

async function listen(query = ''): Promise<SocketClient> {
  const socket = await openSocket(`${daemon.url}/ws?names=legacy&pipeline=task-prompts${query}`);
  sockets.push(socket);
  return socket;
}

const categories = ['DATA_MODEL', 'SERVICE', 'HTTP_API', 'TESTING'];

describe('the example task-prompts', () => {
  it('goes through its phases, pauses and goes on, and fails, in all eleven older words', async () => {
    const socket = await listen();
    // The first of the four enrichments waits.
    stub.next(...plainly(4), { kind: 'hang' });
    const id = await startTask();
    await asked(5);
    expect(await reaches(id, 'ENRICHING')).toMatchObject({
      phases: [{ state: 'COMPLETED' }, { state: 'RUNNING' }, {}],
    });
    // Of a run that a worker has just taken the step comes with its next heartbeat.
    await eventually('the run says so', async () => {
      const { legacy_phase: phase } = await daemon.get<{ legacy_phase: string }>(`/runs/${id}`);
      return phase === 'ENRICHING' ? true : undefined;
    });
    expect(await ask('PATCH', '/pause', { id, reason: 'lunch' })).toMatchObject({ status: 202 });
    stub.release();
    expect(await reaches(id, 'PAUSED')).toMatchObject({
      phases: [{ name: 'DECOMPOSING', state: 'COMPLETED' }, {}, {}],
    });
    expect((await ask('PATCH', '/resume', { id })).status).toBe(200);
    const { phases } = await reaches(id, 'COMPLETED');
    expect(phases.map(({ name, state }) => [name, state])).toEqual(
      ['DECOMPOSING', 'ENRICHING', 'GENERATING_PROMPTS'].map((name) => [name, 'COMPLETED']),
    );
    for (const { duration_ms: durationMs } of phases) expect(durationMs).toBeGreaterThan(0);

    await socket.hears(({ event, run_id }) => event === 'PIPELINE_COMPLETED' && run_id === id);
    const own = socket.heard.filter(({ run_id }) => run_id === id).map(({ event }) => event);
    expect(own.filter((name) => name.startsWith('PIPELINE_'))).toEqual(
      ['STARTED', 'PAUSED', 'RESUMED', 'COMPLETED'].map((word) => `PIPELINE_${word}`),
    );
    expect(own.filter((name) => name === 'PHASE_STARTED')).toHaveLength(3);
    expect(own.filter((name) => name === 'PHASE_COMPLETED')).toHaveLength(3);
    expect(own).toContain('CHECKPOINT_CREATED');
    // The part in the queue `decomposition` tells of them.
    const subtasks = socket.heard.filter(({ event }) => event === 'SUBTASK_GENERATED');
    expect(subtasks.map(({ data }) => (data as { category: string }).category)).toEqual(categories);

    stub.next({ kind: 'status', status: 400 });
    const failing = await startTask();
    const failed = await reaches(failing, 'FAILED');
    expect(failed.phases.map(({ state }) => state)).toEqual(['FAILED', 'SKIPPED', 'SKIPPED']);
    expect(failed.phases[0]?.error).toMatchObject({ class: 'fatal' });
    await socket.hears(({ event, run_id }) => event === 'PIPELINE_FAILED' && run_id === failing);
    expect(new Set(socket.heard.map(({ event }) => event))).toEqual(new Set(olderNames));
  });

  it('tells what has been in the older words, too, as server-sent events', async () => {
    const id = await startTask();
    const { created_at: from } = await reaches(id, 'COMPLETED');
    const stop = new AbortController();
    const path = `/events?names=legacy&run=${id}&from=${encodeURIComponent(from)}`;
    const reader = (await fetch(`${daemon.url}${path}`, { signal: stop.signal })).body?.getReader();
    let text = '';
    await eventually('the end of the run', async () => {
      text += Buffer.from((await reader?.read())?.value ?? []).toString();
      return text.includes('PIPELINE_COMPLETED') ? true : undefined;
    });
    stop.abort();
    const names = [...text.matchAll(/^event: ([A-Z_]+)$/gm)].map(([, name]) => name);
    expect(names[0]).toBe('PIPELINE_STARTED');
    expect(names.filter((name) => name?.startsWith('PHASE_'))).toEqual(
      [1, 2, 3].flatMap(() => ['PHASE_STARTED', 'PHASE_COMPLETED']),
    );
  });

  it('carries phases out in the queues of their own, enrichments beside each other', async () => {
    stub.next(...plainly(4), ...Array.from({ length: 4 }, () => ({ kind: 'hang' }) as const));
    const id = await startTask();
    // All four are asked for while none has an answer.
    await asked(8);
    const { items } = await daemon.get<{ items: { parent_id: string | null; queue: string; state: string }[] }>(
      '/runs?origin=parent&state=running',
    );
    const own = items.filter(({ parent_id: parent }) => parent === id);
    expect(own.map(({ queue }) => queue)).toEqual(['enrichment', 'enrichment', 'enrichment', 'enrichment']);
    expect((await daemon.get<{ queue: string }>(`/runs/${id}`)).queue).toBe('pipeline');
    stub.release();
    await reaches(id, 'COMPLETED');
    const children = await daemon.get<{ items: typeof items }>('/runs?origin=parent&limit=100');
    const queues = children.items.filter(({ parent_id: parent }) => parent === id).map(({ queue }) => queue);
    expect(queues.filter((queue) => queue === 'decomposition')).toHaveLength(1);
  });

  it('goes back to a checkpoint, and on from there', async () => {
    stub.next(...plainly(8), { kind: 'hang' });
    const id = await startTask();
    await asked(9);
    await reaches(id, 'GENERATING_PROMPTS');
    const { body } = await ask<{ items: { step: string; item: number | null }[] }>('GET', `/${id}/checkpoints`);
    expect(body.items.filter(({ item }) => item === null).map(({ step }) => step)).toEqual(['decompose', 'enrich']);
    expect((await ask('POST', '/rollback', { id, checkpoint: 'decompose' })).status).toBe(202);
    const paused = await reaches(id, 'PAUSED');
    expect(paused.phases.map(({ state }) => state)).toEqual(['COMPLETED', 'PENDING', 'PENDING']);
    stub.release();
    await ask('PATCH', '/resume', { id });
    await reaches(id, 'COMPLETED');
    expect(questions('Give the subtasks')).toEqual(categories);
  });

  it('goes on at the prompt it was at when its node was killed', async () => {
    stub.next(...plainly(10), { kind: 'hang' });
    const id = await startTask();
    await asked(11);
    await daemon.kill();
    stub.release();
    daemon = await start();
    const { phases } = await reaches(id, 'COMPLETED');
    expect(phases.map(({ state }) => state)).toEqual(['COMPLETED', 'COMPLETED', 'COMPLETED']);
    expect(questions('Give the subtasks')).toEqual(categories);
    expect(questions('Write the prompt')).toEqual(['DATA_MODEL', 'SERVICE', 'HTTP_API', 'HTTP_API', 'TESTING']);
    const { items } = await daemon.get<{ items: { name: string }[] }>(`/runs/${id}/artifacts`);
    expect(items.map(({ name }) => name).sort()).toEqual(
      ['data-model', 'http-api', 'service', 'testing'].map((name) => `prompt-${name}.md`),
    );
  });
});
