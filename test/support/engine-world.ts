// A real engine on a test database, with a plugin whose steps do what the test says.
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { type Engine, startEngine } from '../../src/app/engine.ts';
import { loadSettings, type Settings } from '../../src/config/load-settings.ts';
import { announceRuns } from '../../src/control/announce-runs.ts';
import { newRunOf, type RunRequest, requirePipeline } from '../../src/control/start-run.ts';
import type { Database } from '../../src/db/database.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { isTerminal, type RunState } from '../../src/domain/run.ts';
import { createEventBus, type EventBus } from '../../src/observe/events.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { getRun, type RunDetail } from '../../src/reads/get-run.ts';
import {
  definePlugin,
  defineStep,
  type Json,
  type PluginDefinition,
  type StepContext,
  StepError,
} from '../../src/steps/api.ts';
import { builtInPlugins } from '../../src/steps/built-in-plugins.ts';
import { loadPlugins } from '../../src/steps/load-plugins.ts';
import { createRegistry } from '../../src/steps/registry.ts';

/** What the scripted steps have been asked to do, and what they did. */
export interface Script {
  /** `step` or `step/item` of every attempt, in order of their beginning. */
  attempts: string[];
  contexts: StepContext[];
  /** `step` or `step/item` of every try to undo one, with the output it was given. */
  undone: { name: string; output: Json | undefined; ctx: StepContext; input: unknown }[];
  /** Failures still to come, by step id: one is used up per attempt. */
  failures: Map<string, Error[]>;
  /** Steps that wait until the test opens them. */
  gates: Map<string, { entered: () => void; opened: Promise<void> }>;
  /** What a step does instead of returning its input, by step id. */
  runs: Map<string, (ctx: StepContext, input: unknown) => Promise<Json>>;
  /** What `test.fix` does, call by call. */
  fixes: ((input: unknown) => Promise<Json>)[];
  /** How many scripted steps run at once now, and at most so far. */
  running: number;
  mostRunning: number;
}

export function createScript(): Script {
  return {
    attempts: [],
    contexts: [],
    undone: [],
    failures: new Map(),
    gates: new Map(),
    runs: new Map(),
    fixes: [],
    running: 0,
    mostRunning: 0,
  };
}

/** Makes a step stop until `open` is called; `entered` resolves when it has begun. */
export function gate(script: Script, step: string): { entered: Promise<void>; open: () => void } {
  let open = () => {};
  let enter = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const entered = new Promise<void>((resolve) => {
    enter = resolve;
  });
  script.gates.set(step, { entered: enter, opened });
  return { entered, open };
}

/** `test.do` returns its input; before that it fails or waits as the script says. */
function scriptedPlugin(script: Script) {
  const run = async (ctx: StepContext, input: unknown): Promise<Json> => {
    const name = ctx.item === undefined ? ctx.step : `${ctx.step}/${ctx.item}`;
    script.attempts.push(name);
    script.contexts.push(ctx);
    script.running += 1;
    script.mostRunning = Math.max(script.mostRunning, script.running);
    try {
      const stop = script.gates.get(name);
      if (stop) {
        stop.entered();
        await Promise.race([stop.opened, aborted(ctx.signal)]);
      }
      const failure = script.failures.get(name)?.shift();
      if (failure) throw failure;
      const own = script.runs.get(ctx.step);
      if (own) return await own(ctx, input);
      return input as Json;
    } finally {
      script.running -= 1;
    }
  };
  const compensate = async (ctx: StepContext, input: unknown, output: unknown): Promise<void> => {
    const name = ctx.item === undefined ? ctx.step : `${ctx.step}/${ctx.item}`;
    script.undone.push({ name, output: output as Json | undefined, ctx, input });
    const stop = script.gates.get(`undo ${name}`);
    if (stop) {
      stop.entered();
      await Promise.race([stop.opened, aborted(ctx.signal)]);
    }
    const failure = script.failures.get(`undo ${name}`)?.shift();
    if (failure) throw failure;
  };
  const any = z.any();
  return definePlugin({
    name: 'test',
    version: '1.0.0',
    apiVersion: 1,
    steps: {
      do: defineStep({ input: any, output: any, weight: 'light', isolation: 'inline', run }),
      fix: defineStep({
        input: any,
        output: any,
        weight: 'light',
        isolation: 'inline',
        run: async (_ctx, given) => (await script.fixes.shift()?.(given)) ?? null,
      }),
      effect: defineStep({ input: any, output: any, weight: 'light', isolation: 'inline', effects: 'outside', run }),
      /** Can be undone; `undo NAME` fails or waits as the script says. */
      undo: defineStep({ input: any, output: any, weight: 'light', isolation: 'inline', run, compensate }),
      final: defineStep({
        input: any,
        output: any,
        weight: 'light',
        isolation: 'inline',
        irreversible: 'a mail that was sent stays sent',
        run,
      }),
    },
  });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

export function transient(message = 'try again'): Error {
  return new StepError('transient', message);
}

export function fatal(message = 'never'): Error {
  return new StepError('fatal', message);
}

export interface EngineWorld {
  engine: Engine;
  events: EventBus;
  settings: Settings;
  /** Starts a run and returns its id. */
  start(pipeline: string, request?: RunRequest): Promise<string>;
  /** The run once it is in one of the states (default: ended). Fails after 20 s, saying how it stands. */
  reached(id: string, states?: readonly RunState[]): Promise<RunDetail>;
  stop(drainMs?: number): Promise<void>;
}

export async function startEngineWorld(options: {
  db: Database;
  script: Script;
  pipelines: readonly Pipeline[];
  timing?: Partial<Settings['timing']>;
  workers?: number;
  /** Light runs at once. */
  inFlight?: number;
  /** Of tenants and queues. */
  sharedLimits?: Settings['sharedLimits'];
  liveRunsPerTenant?: number;
  budgets?: Settings['budgets'];
  /** 0…1, for jitter. */
  random?: () => number;
  dataDir?: string;
  /** What this node's files say; default `test`. */
  hash?: string;
  /** Queues it serves; default all. */
  queues?: readonly string[];
  labels?: readonly string[];
  /** Folder for large artifacts; default: none on a server. */
  artifactsDir?: string;
  /** Plugins from files, as the settings list them. */
  listed?: readonly string[];
  /** Further plugins, in memory. */
  plugins?: readonly PluginDefinition[];
  /** Whether it has the plugin of the scripted steps; default true. */
  scripted?: boolean;
  /** False: as `cronwright run` starts it. Default true. */
  isDaemon?: boolean;
  divergedAfterMs?: number;
  onFailure?: Settings['onFailure'];
  /** Language models; default: none. */
  llm?: Settings['llm'];
  env?: Readonly<Record<string, string>>;
}): Promise<EngineWorld> {
  const { db, script, pipelines } = options;
  const directory = options.dataDir ?? mkdtempSync(join(tmpdir(), 'cronwright-engine-'));
  const embedded = await loadSettings({ configDir: directory, env: { CRONWRIGHT_DATA_DIR: directory } });
  const { artifactsDir, ...shared } = embedded;
  // Several nodes have no folder for large artifacts unless they share one.
  const loaded: Settings = db.kind === 'pglite' ? embedded : shared;
  const timing = { ...loaded.timing, pollMs: 200, heartbeatMs: 200, rescueMs: 200, leaseMs: 2_000, ...options.timing };
  const settings: Settings = {
    ...loaded,
    workers: options.workers ?? 4,
    timing,
    ...(options.inFlight === undefined ? {} : { inFlight: options.inFlight }),
    ...(options.sharedLimits === undefined ? {} : { sharedLimits: options.sharedLimits }),
    ...(options.budgets === undefined ? {} : { budgets: options.budgets }),
    ...(options.liveRunsPerTenant === undefined
      ? {}
      : { limits: { ...loaded.limits, liveRunsPerTenant: options.liveRunsPerTenant } }),
    ...(options.labels === undefined ? {} : { labels: options.labels }),
    ...(options.artifactsDir === undefined ? {} : { artifactsDir: options.artifactsDir }),
    ...(options.queues === undefined ? {} : { queues: options.queues }),
    onFailure: options.onFailure ?? [],
    ...(options.llm === undefined ? {} : { llm: options.llm }),
    // Where the servers of tests are.
    http: { allowPrivateHosts: ['127.0.0.0/8'] },
  };
  const listed = [...(options.listed ?? [])];
  const { plugins } = await loadPlugins({ builtIn: builtInPlugins, listed, baseDir: directory });
  const scripted = { definition: scriptedPlugin(script), source: { kind: 'built-in', specifier: 'test' } } as const;
  for (const definition of options.plugins ?? []) {
    plugins.push({ definition, source: { kind: 'built-in', specifier: definition.name } });
  }
  const events = createEventBus((_, error) => {
    throw error;
  });
  const engine = await startEngine({
    db,
    settings,
    registry: createRegistry(options.scripted === false ? plugins : [...plugins, scripted]),
    pipelines: { pipelines: [...pipelines], hash: options.hash ?? 'test' },
    env: options.env ?? {},
    events,
    version: '0.0.0',
    apiUrl: () => undefined,
    schedules: options.isDaemon ?? true,
    ...(options.random === undefined ? {} : { random: options.random }),
    ...(options.divergedAfterMs === undefined ? {} : { divergedAfterMs: options.divergedAfterMs }),
  });
  return {
    engine,
    events,
    settings,
    async start(pipeline, request = {}) {
      const { control } = engine;
      const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;
      const run = newRunOf(control, requirePipeline(control, 'default', pipeline), request, caller);
      await enqueueRuns(db, [run]);
      await announceRuns(control, [run]);
      return run.id;
    },
    reached: (id, states) => reachedState(db, id, states),
    async stop(drainMs = 0) {
      await engine.stop(drainMs);
      if (options.dataDir === undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function reachedState(db: Database, id: string, states?: readonly RunState[]): Promise<RunDetail> {
  return eventually(async () => {
    const run = await getRun(db, 'default', id);
    const isThere = states ? states.includes(run.state) : isTerminal(run.state);
    if (!isThere) throw new Error(`run ${id} is ${run.state}, expected ${states?.join(' or ') ?? 'an end'}`);
    return run;
  });
}

/** Repeats until it no longer throws; after `withinMs` the last error is thrown. */
export async function eventually<T>(look: () => Promise<T>, withinMs = 20_000): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
