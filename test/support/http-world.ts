// What the tests of http, control and reads share: pipelines, a catalogue of them, and a server on a database.
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../src/base/clock.ts';
import type { ControlContext } from '../../src/control/control-context.ts';
import type { Database } from '../../src/db/database.ts';
import { statement } from '../../src/db/database.ts';
import { createNewRun, type NewRun, type NewRunOptions } from '../../src/domain/new-run.ts';
import type { Pipeline, StepDefinition } from '../../src/domain/pipeline.ts';
import type { PipelineCatalog } from '../../src/domain/pipeline-catalog.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { type ScheduleDefinition, scheduleDefaults } from '../../src/domain/schedule.ts';
import { nextOccurrences } from '../../src/foresight/next.ts';
import { createHttpServer } from '../../src/http/create-http-server.ts';
import type { HttpContext } from '../../src/http/http-context.ts';
import { createEventBus, type EventName, type Events } from '../../src/observe/events.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { savePipelines } from '../../src/store/pipelines.ts';

export function testStep(
  id: string,
  needs: readonly string[] = [],
  overrides: Partial<StepDefinition> = {},
): StepDefinition {
  return {
    id,
    uses: 'test.echo',
    with: {},
    needs,
    continueOnError: false,
    env: {},
    retry: fastRetry,
    timeoutMs: 600_000,
    ...overrides,
  };
}

export function testSchedule(
  pipeline: string,
  name: string,
  overrides: Partial<ScheduleDefinition> = {},
): ScheduleDefinition {
  return {
    ...scheduleDefaults,
    id: `${pipeline}.${name}`,
    name,
    tenant: 'default',
    pipeline,
    cron: '0 2 * * *',
    ...overrides,
  };
}

export function testPipeline(id: string, overrides: Partial<Pipeline> = {}): Pipeline {
  return {
    id,
    tenant: 'default',
    version: '0123456789abcdef',
    inputs: {},
    env: {},
    schedules: [],
    priority: 5,
    queue: 'default',
    timeoutMs: 3_600_000,
    onInterrupted: 'retry',
    steps: [testStep('fetch'), testStep('build', ['fetch']), testStep('publish', ['build'])],
    finally: [],
    onFailure: [],
    ...overrides,
  };
}

function testCatalog(pipelines: readonly Pipeline[]): PipelineCatalog {
  return {
    get: (tenant, id) => pipelines.find((one) => one.tenant === tenant && one.id === id),
    list: (tenant) => pipelines.filter((one) => tenant === undefined || one.tenant === tenant),
    undoes: () => true,
    termsOf: () => ({ weight: 'light', limitsOf: () => [], order: { tagOf: () => 0 } }),
    hash: 'test',
  };
}

export interface World {
  db: Database;
  control: ControlContext;
  /** Names of the events that were emitted, in order. */
  heard: EventName[];
  served: Events['http.served'][];
  /** How often each hint was given. */
  woken: Record<'workers' | 'scheduler' | 'timers' | 'requests', number>;
}

/** Stores the pipelines and makes what the verbs need. */
export async function createWorld(
  db: Database,
  pipelines: readonly Pipeline[],
  options: { liveRunsPerTenant?: number } = {},
): Promise<World> {
  await db.transaction((tx) => savePipelines(tx, pipelines));
  const events = createEventBus();
  const heard: EventName[] = [];
  const served: Events['http.served'][] = [];
  for (const name of ['run.enqueued', 'run.finished', 'schedule.skipped', 'service.crashed'] as const) {
    events.on(name, () => heard.push(name));
  }
  events.on('http.served', (event) => served.push(event));
  const woken = { workers: 0, scheduler: 0, timers: 0, requests: 0 };
  const control: ControlContext = {
    db,
    clock: systemClock,
    events,
    pipelines: testCatalog(pipelines),
    liveRunsPerTenant: options.liveRunsPerTenant ?? 100_000,
    wake: {
      workers: () => {
        woken.workers += 1;
      },
      scheduler: () => {
        woken.scheduler += 1;
      },
      timers: () => {
        woken.timers += 1;
      },
      requests: () => {
        woken.requests += 1;
      },
    },
  };
  return { db, control, heard, served, woken };
}

export function httpContextOf(world: World, overrides: Partial<HttpContext> = {}): HttpContext {
  return {
    db: world.db,
    clock: systemClock,
    events: world.control.events,
    control: world.control,
    pipelines: world.control.pipelines,
    effectiveConfig: () => ({ port: 8080, database_url: 'postgres://me:hunter2@db.internal/app', token: 'hunter2' }),
    readiness: async () => ({ ready: true, checks: { database: { ok: true } } }),
    renderMetrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'cronwright_build_info 1\n' }),
    nextOccurrences,
    node: { id: randomUUID(), name: 'test', version: '0.1.0', startedAt: new Date() },
    ...overrides,
  };
}

export interface Daemon {
  world: World;
  url: string;
  /** GET below `/api/v1`, as JSON. */
  get<Body = Record<string, unknown>>(path: string, headers?: Record<string, string>): Promise<Answer<Body>>;
  post<Body = Record<string, unknown>>(
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<Body>>;
  stop(): Promise<void>;
}

export interface Answer<Body> {
  status: number;
  headers: Headers;
  body: Body;
}

/** A real server on a free port. */
export async function startDaemon(world: World, overrides: Partial<HttpContext> = {}): Promise<Daemon> {
  const server = createHttpServer({ context: httpContextOf(world, overrides), host: '127.0.0.1', port: 0 });
  await server.start();
  const api = `${server.url}/api/v1`;
  async function answer<Body>(response: Response): Promise<Answer<Body>> {
    return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
  }
  return {
    world,
    url: server.url,
    get: async (path, headers = {}) => answer(await fetch(api + path, { headers })),
    post: async (path, body = {}, headers = {}) =>
      answer(
        await fetch(api + path, {
          method: 'POST',
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json', ...headers },
        }),
      ),
    stop: () => server.stop(),
  };
}

/** Enqueues a run as the scheduler or a caller would. */
export async function enqueueRun(
  db: Database,
  pipeline: Pipeline,
  options: Partial<NewRunOptions> = {},
): Promise<NewRun> {
  const run = createNewRun(pipeline, 'light', { origin: 'api', actor: 'tester', ...options });
  await enqueueRuns(db, [run]);
  return run;
}

/** Runs SQL that no part of the program has; `text` is its own name. */
export async function sql<Row = Record<string, unknown>>(
  db: Database,
  text: string,
  params: readonly unknown[] = [],
): Promise<Row[]> {
  return (await db.query<Row>(statement('test_sql', text, { prepare: false }), params)).rows;
}
