// Runs step types through the real host, with services that keep in memory what the step did.
import { randomUUID } from 'node:crypto';
import { createEventBus, type EventBus } from '../../src/observe/events.ts';
import type { Json, LlmAnswer, LlmRequest, PluginDefinition, SqlConnection } from '../../src/steps/api.ts';
import type { Attempt, AttemptServices } from '../../src/steps/attempt-services.ts';
import { builtInPlugins } from '../../src/steps/built-in-plugins.ts';
import { loadPlugins, type PluginSource } from '../../src/steps/load-plugins.ts';
import { type AttemptResult, createObservedStep, type ObservedStepOptions } from '../../src/steps/observed-step.ts';
import { createRegistry, type RegisteredStep } from '../../src/steps/registry.ts';
import {
  createRecorded,
  createRecordingServices,
  type Recorded,
  type Seen,
} from '../../src/steps/testing/recording-services.ts';
import { tempFolder } from './temp-folder.ts';

export interface Overrides extends Partial<Attempt> {
  /** Secrets that `ctx.secrets.get` finds. */
  secretValues?: Record<string, string>;
  sql?: (name: string, options: { readOnly: boolean }) => Promise<SqlConnection>;
  /** What a model answers. Default: the request's template. */
  llm?: (request: LlmRequest) => LlmAnswer | Promise<LlmAnswer>;
  /** Absolute; a fresh folder where absent. */
  workspaceDir?: string;
  /** Absolute; a fresh folder where absent. */
  dataDir?: string;
  allowPrivateHosts?: string[];
  programEnv?: Record<string, string>;
  checkpoint?: Json;
  /** What the run has spent before, and what it is expected to cost. */
  costs?: Recorded['costs'];
  expectedUsd?: number;
  /** What earlier steps kept. */
  artifacts?: Recorded['artifacts'];
  isolation?: 'inline' | 'process';
  events?: EventBus;
  /** Called with each thing the step does. */
  onSeen?: (seen: Seen) => unknown;
  host?: Pick<ObservedStepOptions, 'abandonAfterMs' | 'process'>;
}

/** The result, what the step did, and where it worked. */
export interface Ran {
  result: AttemptResult;
  recorded: Recorded;
  workspaceDir: string;
  dataDir: string;
}

/** Runs one attempt of a built-in step type, or of a registered step. */
export async function runStep(
  stepType: string | RegisteredStep,
  input: unknown,
  overrides: Overrides = {},
): Promise<Ran> {
  const registered = typeof stepType === 'string' ? await builtInStep(stepType) : stepType;
  const step = overrides.isolation ? withIsolation(registered, overrides.isolation) : registered;
  const workspaceDir = overrides.workspaceDir ?? tempFolder('workspace');
  const dataDir = overrides.dataDir ?? tempFolder('data');
  const recorded = createRecorded(overrides.checkpoint);
  recorded.artifacts.push(...(overrides.artifacts ?? []));
  recorded.costs.push(...(overrides.costs ?? []));
  if (overrides.expectedUsd !== undefined) recorded.expectedUsd = overrides.expectedUsd;
  const services = recordingServices(recorded, { ...overrides, workspaceDir, dataDir });
  const observed = createObservedStep({ services, events: overrides.events ?? createEventBus(), ...overrides.host });
  const result = await observed.run(step, attemptOf(input, overrides));
  return { result, recorded, workspaceDir, dataDir };
}

/** The output of an attempt that completed; fails with what it came to otherwise. */
export function outputOf<T = Record<string, Json>>(ran: Ran): T {
  if (ran.result.kind === 'completed') return ran.result.output as T;
  throw new Error(
    `expected a completed attempt, got ${JSON.stringify(ran.result)} after ${JSON.stringify(ran.recorded.log)}`,
  );
}

/** The error of an attempt that did not complete. */
export function errorOf(ran: Ran) {
  if (ran.result.kind !== 'completed') return ran.result.error;
  throw new Error(`expected an attempt that fails, got ${ran.result.outputJson}`);
}

/** The steps of a plugin that a test defines. */
export function stepOf(plugin: PluginDefinition, name: string, source?: PluginSource): RegisteredStep {
  const registry = createRegistry([
    { definition: plugin, source: source ?? { kind: 'built-in', specifier: plugin.name } },
  ]);
  const step = registry.get(`${plugin.name}.${name}`);
  if (!step) throw new Error(`${plugin.name} has no step ${name}`);
  return step;
}

function attemptOf(input: unknown, overrides: Partial<Attempt> = {}): Attempt {
  return {
    runId: overrides.runId ?? randomUUID(),
    tenant: overrides.tenant ?? 'default',
    pipeline: overrides.pipeline ?? 'test-pipeline',
    step: overrides.step ?? 'step',
    item: overrides.item,
    attempt: overrides.attempt ?? 1,
    token: overrides.token ?? 1,
    idempotencyKey: overrides.idempotencyKey ?? randomUUID(),
    dryRun: overrides.dryRun ?? false,
    input,
    env: overrides.env ?? {},
    traceparent: overrides.traceparent,
    timeoutMs: overrides.timeoutMs ?? 60_000,
    signal: overrides.signal ?? new AbortController().signal,
    secrets: overrides.secrets ?? [],
    keepInput: overrides.keepInput ?? (() => ({ ok: true, value: { value: input, secrets: [] } })),
    delivery: overrides.delivery,
    compensation: overrides.compensation,
    ...(overrides.limits === undefined ? {} : { limits: overrides.limits }),
  };
}

function recordingServices(
  recorded: Recorded,
  options: Overrides & { workspaceDir: string; dataDir: string },
): AttemptServices {
  const path = process.env.PATH ?? '/usr/bin:/bin';
  return createRecordingServices(recorded, {
    host: {
      apiUrl: undefined,
      dataDir: options.dataDir,
      allowPrivateHosts: options.allowPrivateHosts ?? [],
      programEnv: options.programEnv ?? { PATH: path, HOME: options.dataDir, LANG: 'C.UTF-8' },
    },
    workspaceDir: options.workspaceDir,
    secrets: options.secretValues ?? {},
    sql: async (name, connectionOptions) => {
      if (!options.sql) throw new Error(`there is no connection ${name}`);
      return options.sql(name, connectionOptions);
    },
    ...(options.llm ? { llm: options.llm } : {}),
    onSeen: (seen) => void options.onSeen?.(seen),
  });
}

let registry: ReturnType<typeof loadRegistry> | undefined;

async function builtInStep(id: string): Promise<RegisteredStep> {
  registry ??= loadRegistry();
  const step = (await registry).get(id);
  if (!step) throw new Error(`no built-in plugin has a step type ${id}`);
  return step;
}

async function loadRegistry() {
  const { plugins, problems } = await loadPlugins({
    builtIn: builtInPlugins,
    listed: [],
    baseDir: import.meta.dirname,
  });
  if (problems.length > 0) throw new Error(problems.map(({ message }) => message).join('; '));
  return createRegistry(plugins);
}

function withIsolation(step: RegisteredStep, isolation: 'inline' | 'process'): RegisteredStep {
  // Inherits rather than copies: the schemas are getters.
  return Object.create(step, { isolation: { value: isolation, enumerable: true } }) as RegisteredStep;
}
