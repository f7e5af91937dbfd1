// Opens an example: what it works on is made in a folder, and a daemon of its own runs its pipelines.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../src/base/package-root.ts';
import { type Daemon, startDaemon } from '../../test/support/daemon-process.ts';
import type { Api, Example, FinishedRun, OpenWait, PreparedExample, RunToStart } from '../example.ts';
import { configWithModel, environmentFor, type Model } from './model.ts';

export interface OpenExample {
  readonly prepared: PreparedExample;
  readonly api: Api;
  /** Of the daemon that runs now: another one after `restart`. */
  readonly daemon: () => Daemon;
  start(run: RunToStart): Promise<StartedRun>;
  /** Answers what it asks, as `prepared.answer` says, until it has ended. */
  finish(run: StartedRun, withinMs?: number): Promise<FinishedRun>;
  /** Ends the daemon as `kill -9` does and starts it anew on what it left behind. */
  killAndRestart(): Promise<void>;
  close(): Promise<void>;
}

export interface StartedRun {
  id: string;
  tenant: string;
}

export interface OpenOptions {
  /** Empty; everything of the example is below it. */
  dir: string;
  postgresUrl?: string | undefined;
  model?: Model | undefined;
  /** Over the example's own. */
  env?: Readonly<Record<string, string>>;
}

const ended = new Set(['completed', 'failed', 'cancelled', 'rolled_back', 'dead_letter']);

export async function openExample(example: Example, options: OpenOptions): Promise<OpenExample> {
  const { dir, model } = options;
  const world = join(dir, 'world');
  const dataDir = join(dir, 'daemon', 'data');
  await mkdir(world, { recursive: true });
  await mkdir(dataDir, { recursive: true });
  const shipped = join(packageRoot, 'examples', example.name, 'config');
  const configDir = model ? join(dir, 'config') : shipped;
  if (model) await configWithModel(shipped, configDir, model);
  const prepared = await example.prepare({ dir: world, postgresUrl: options.postgresUrl });
  const env = { ...prepared.env, ...(model ? environmentFor(model) : {}), ...options.env };
  const begin = () => startDaemon({ dataDir, configDir, env });
  let daemon: Daemon;
  try {
    daemon = await begin();
  } catch (error) {
    await prepared.stop?.();
    throw error;
  }
  const api = apiOf(() => daemon);
  return {
    prepared,
    api,
    daemon: () => daemon,
    async start({ pipeline, tenant = 'default', inputs = {} }) {
      const { id } = (await api.post(`/pipelines/${pipeline}/runs`, { inputs }, tenant)) as { id: string };
      return { id, tenant };
    },
    finish: (run, withinMs = 180_000) => finish(run, { prepared, api, withinMs }),
    async killAndRestart() {
      await daemon.kill();
      daemon = await begin();
    },
    async close() {
      await daemon.stop().catch(() => daemon.kill());
      await prepared.stop?.();
    },
  };
}

function apiOf(daemon: () => Daemon): Api {
  const call = async (method: string, path: string, tenant = 'default', json?: unknown) => {
    const headers = { 'cronwright-tenant': tenant };
    const answer = await daemon().ask(`/api/v1${path}`, { method, headers, ...(json === undefined ? {} : { json }) });
    if (answer.status >= 300) throw new Error(`${method} ${path} → ${answer.status} ${answer.text}`);
    return answer.body;
  };
  return {
    get: (path, tenant) => call('GET', path, tenant),
    post: (path, body = {}, tenant) => call('POST', path, tenant, body),
    async bytes(path, tenant = 'default') {
      const answer = await fetch(new URL(`/api/v1${path}`, daemon().url), { headers: { 'cronwright-tenant': tenant } });
      if (!answer.ok) throw new Error(`GET ${path} → ${answer.status}`);
      return new Uint8Array(await answer.arrayBuffer());
    },
  };
}

interface Finishing {
  prepared: PreparedExample;
  api: Api;
  withinMs: number;
}

async function finish({ id, tenant }: StartedRun, { prepared, api, withinMs }: Finishing): Promise<FinishedRun> {
  const answered = new Set<string>();
  for (const until = performance.now() + withinMs; ; await sleep(100)) {
    const run = (await api.get(`/runs/${id}`, tenant)) as Record<string, unknown>;
    const state = String(run.state);
    if (ended.has(state)) return whole(api, { id, tenant }, run);
    if (state === 'waiting') await answerWaits(api, id, prepared, answered);
    if (performance.now() > until) throw new Error(`the run ${id} of ${run.pipeline} is still ${state}`);
  }
}

async function answerWaits(api: Api, runId: string, prepared: PreparedExample, answered: Set<string>): Promise<void> {
  const { items } = (await api.get('/waits?tenant=*')) as {
    items: (OpenWait & { asked_at: string; tenant: string })[];
  };
  for (const wait of items.filter((one) => one.run_id === runId)) {
    // A question may be put again, later: then it is another one.
    const name = `${wait.step}\n${wait.key}\n${wait.asked_at}`;
    const answer = answered.has(name) ? undefined : prepared.answer?.(wait);
    if (answer === undefined) continue;
    answered.add(name);
    await api.post(`/runs/${runId}/signal`, { step: wait.step, key: wait.key, ...answer }, wait.tenant);
  }
}

async function whole(api: Api, { id, tenant }: StartedRun, run: Record<string, unknown>): Promise<FinishedRun> {
  const { items: steps } = (await api.get(`/runs/${id}/steps`, tenant)) as { items: FinishedRun['steps'] };
  const { items: artifacts } = (await api.get(`/runs/${id}/artifacts`, tenant)) as { items: FinishedRun['artifacts'] };
  return { id, tenant, pipeline: String(run.pipeline), state: String(run.state), run, steps, artifacts };
}
