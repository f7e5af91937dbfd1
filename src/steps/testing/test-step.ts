// Runs a step, or one look of a sensor, as Cronwright does, without Cronwright, for the tests of plugin authors. Exported as `cronwright/testing`.
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decideRetry, fastRetry, type RetryPolicy } from '../../domain/retry-policy.ts';
import { createEventBus } from '../../observe/events.ts';
import { createAbortError } from '../abort-reason.ts';
import type {
  AbortReason,
  Artifact,
  CompensationReason,
  Delivery,
  ErrorClass,
  Json,
  PluginDefinition,
  SqlConnection,
  StepDefinition,
} from '../api.ts';
import type { Attempt, LogLine } from '../attempt-services.ts';
import type { SensorDefinition } from '../define-sensor.ts';
import { type AttemptResult, createObservedStep } from '../observed-step.ts';
import type { RegisteredStep } from '../registry.ts';
import { type LookResult, type SensorLook, sensorStepName } from '../sensor-step.ts';
import { findStep } from './find-step.ts';
import {
  createRecorded,
  createRecordingServices,
  type Recorded,
  type ScriptedAnswer,
  type Seen,
} from './recording-services.ts';

export type { LogLine, RetryPolicy, ScriptedAnswer, Seen };

export interface TestStepOptions {
  /** Name of the step within its plugin; may be left out where the plugin has one step. */
  step?: string;
  /** What would stand under `with`, all expressions evaluated. Checked against the step's schema. Default `{}`. */
  input?: unknown;
  /** What `ctx.secrets.get` finds. The values are masked in logs, outputs and errors, as they are in a run. */
  secrets?: Readonly<Record<string, string>>;
  /** `ctx.env`. */
  env?: Readonly<Record<string, string>>;
  /** Number of the first attempt. Default 1. */
  attempt?: number;
  /**
   * At most so many attempts in a row, as the retry policy decides; nothing is waited for. Checkpoint, workspace, run and
   * `idempotencyKey` stay the same. Default 1.
   */
  attempts?: number;
  /** Changes to the policy `fast`: 3 retries of `transient` errors, after 1, 2 and 4 s. Jitter is left out. */
  retry?: Partial<RetryPolicy>;
  /** Position in a fan-out. */
  item?: number;
  dryRun?: boolean;
  tenant?: string;
  idempotencyKey?: string;
  /** Makes it a call from the outbox. */
  delivery?: Delivery;
  /**
   * What people answer to `ctx.suspend`, by key (`approval/1`); `timeout`: nobody does, in time. The attempt that asks ends as
   * `wait`, and one after it is told the answer, beyond `attempts`. A question without an answer ends the test as `wait`.
   */
  answers?: Readonly<Record<string, ScriptedAnswer>>;
  /** What `ctx.checkpoint.load` finds at first. */
  checkpoint?: Json;
  /** What `ctx.sql` finds by name: objects with `query`. */
  sql?: Readonly<Record<string, SqlConnection>>;
  /** `ctx.host.allowPrivateHosts`. */
  allowPrivateHosts?: readonly string[];
  /** Environment of programs, over the default: PATH of the system's folders, HOME, LANG. */
  programEnv?: Readonly<Record<string, string | undefined>>;
  /** Milliseconds one attempt may take. Default 60,000. */
  timeoutMs?: number;
  /** Aborts the attempt that runs, as cancelling the run would. */
  signal?: AbortSignal;
  /** Called with each thing the step does, as it happens. `abort` ends the attempt, for any of the reasons there are. */
  watch?: (seen: Seen, abort: (reason?: AbortReason) => void) => void;
  /** Called before each attempt; files may be put into the workspace. */
  beforeAttempt?: (at: { attempt: number; workspace: string }) => void | Promise<void>;
  /** Called at the end, before the workspace is removed. */
  inspect?: (at: { workspace: string }) => void | Promise<void>;
  /**
   * Calls the step's `compensate` after its attempts: same workspace, checkpoint and key, and the output of the last attempt
   * (undefined where it did not complete). With `run: false` there are no attempts before, and `output` is what is given here.
   */
  compensate?: {
    /** `ctx.compensation.reason`. Default `failed`. */
    reason?: CompensationReason;
    /** At most so many tries in a row. Default 1. */
    attempts?: number;
    run?: false;
    output?: Json;
  };
  /** Where it runs. Only a plugin given as a file can run in a process; that is its default. */
  isolation?: 'inline' | 'process';
}

/** How an attempt failed: what the class decides is in docs/WRITING-A-PLUGIN.md. */
export interface StepFailure {
  name: string;
  message: string;
  class: ErrorClass;
  retryAfterMs?: number;
  scope?: 'run';
  details?: Json;
}

export type AttemptEnd = 'completed' | 'failed' | 'wait' | 'timeout' | 'cancelled' | 'lease_lost' | 'shutdown';

export interface TestedAttempt<Output = Json> {
  attempt: number;
  end: AttemptEnd;
  output: Output | undefined;
  error: StepFailure | undefined;
  /** What Cronwright does next. Absent after success and after a cancelled run. */
  next: { kind: 'retry'; delayMs: number } | { kind: 'give_up' } | undefined;
}

export interface TestedStep<Output = Json> extends Omit<TestedAttempt<Output>, 'attempt' | 'next'> {
  /** Every attempt; `end`, `output` and `error` are those of the last one. */
  attempts: TestedAttempt<Output>[];
  /** Of all attempts: what the step logged, and what it and its programs printed, line by line. */
  logs: LogLine[];
  progress: { done: number; total: number; message?: string }[];
  events: { type: string; data: Json }[];
  artifacts: (Artifact & { content: Uint8Array; text: string })[];
  /** Calls that the step put into the outbox. */
  outbox: { id: string; input: unknown }[];
  /** What the step asked by `ctx.suspend`, each question once. */
  waits: readonly { kind: string; key: string; message: string | null; form: Json; timeoutMs: number | null }[];
  /** What an attempt after these would load. */
  checkpoint: Json | undefined;
  /** What `compensate` came to, where it was asked for. */
  compensation: (Pick<TestedAttempt, 'end' | 'error'> & { attempts: TestedAttempt[] }) | undefined;
  /** Why the last attempt had to end, where it had to. */
  aborted: AbortReason | undefined;
}

/**
 * Runs a step and says what it came to; failures are in the result, not thrown. Input, output, errors, logs and retries
 * go through the code that a daemon uses. The workspace is a temporary folder, removed at the end.
 *
 * `plugin` is what `definePlugin` or `defineStep` returned; the step then runs inline. Or the path or URL of a file:
 * a plugin's module or its `plugin.yaml`; the step then runs as the daemon would run it.
 *
 * Throws where there is no such step or the plugin cannot be loaded.
 */
export async function testStep<Output = Json>(
  plugin: PluginDefinition | StepDefinition | string | URL,
  options: TestStepOptions = {},
): Promise<TestedStep<Output>> {
  const step = await findStep(plugin, options);
  const folder = await mkdtemp(join(tmpdir(), 'cronwright-test-'));
  const workspace = join(folder, 'workspace');
  const recorded = createRecorded(options.checkpoint);
  try {
    const tries = createTries(step, options, recorded, folder, workspace);
    const { compensate } = options;
    const attempts =
      compensate?.run === false ? [] : await tries<Output>(options.attempt ?? 1, options.attempts ?? 1, undefined);
    const output = compensate?.output ?? (attempts.at(-1)?.output as Json | undefined);
    const undoing = compensate && { reason: compensate.reason ?? ('failed' as const), output };
    const undone = undoing && (await tries<Json>(1, compensate.attempts ?? 1, undoing));
    await options.inspect?.({ workspace });
    return report(attempts, undone, recorded);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

type Tries = <Output>(
  first: number,
  most: number,
  compensation: Attempt['compensation'],
) => Promise<TestedAttempt<Output>[]>;

/** Tries of one run: all have the same host, run and key. */
function createTries(
  step: RegisteredStep,
  options: TestStepOptions,
  recorded: Recorded,
  folder: string,
  workspace: string,
): Tries {
  let abort: (reason?: AbortReason) => void = () => {};
  const services = createRecordingServices(recorded, {
    host: {
      apiUrl: undefined,
      dataDir: folder,
      allowPrivateHosts: options.allowPrivateHosts ?? [],
      programEnv: programEnv(options, folder),
    },
    workspaceDir: workspace,
    secrets: options.secrets ?? {},
    sql: async (name) => connection(options, name),
    answers: options.answers ?? {},
    onSeen: (seen) => options.watch?.(seen, abort),
  });
  services.workspace({} as never);
  const observed = createObservedStep({ services, events: createEventBus() });
  const about = identity(options);
  const policy = { ...fastRetry, ...options.retry, jitter: 0 };
  let token = 0;
  return async <Output>(first: number, most: number, compensation: Attempt['compensation']) => {
    const used = { retries: 0, rateLimitedMs: 0, rateLimitedInARow: 0 };
    const attempts: TestedAttempt<Output>[] = [];
    const { keepInput: _, ...kept } = about;
    const undoing = { ...kept, idempotencyKey: `${about.idempotencyKey}/compensate`, compensation };
    for (let attempt = first; ; ) {
      token += 1;
      if (compensation === undefined) await options.beforeAttempt?.({ attempt, workspace });
      const controller = new AbortController();
      abort = (reason = 'cancelled') => controller.abort(createAbortError(reason));
      const onAbort = () => abort();
      if (options.signal?.aborted) abort();
      options.signal?.addEventListener('abort', onAbort);
      const who = compensation === undefined ? about : undoing;
      const result = await observed.run(step, { ...who, attempt, token, signal: controller.signal });
      options.signal?.removeEventListener('abort', onAbort);
      const next = result.kind === 'wait' ? undefined : whatFollows(result, policy, used);
      attempts.push({ ...attemptEnd<Output>(result), attempt, next });
      if (result.kind === 'wait' && isAnswered(recorded, options)) continue;
      const tried = attempts.filter(({ end }) => end !== 'wait').length;
      if (next?.kind !== 'retry' || tried >= most) return attempts;
      // A node that stops gives the attempt back; every other one is counted.
      if (result.kind !== 'shutdown') attempt++;
    }
  };
}

/** Whether all that was asked so far has an answer: then the step runs again, and goes on. */
function isAnswered({ waits }: Recorded, { answers = {} }: TestStepOptions): boolean {
  return waits.every(({ key }) => Object.hasOwn(answers, key));
}

/** As the worker decides; a run that lost its node goes on elsewhere at once. */
function whatFollows(
  result: AttemptResult,
  policy: RetryPolicy,
  used: { retries: number; rateLimitedMs: number; rateLimitedInARow: number },
): TestedAttempt['next'] {
  if (result.kind === 'completed' || result.kind === 'cancelled') return undefined;
  if (result.kind === 'lease_lost' || result.kind === 'shutdown') return { kind: 'retry', delayMs: 0 };
  used.rateLimitedInARow = result.error.class === 'rate_limited' ? used.rateLimitedInARow + 1 : 0;
  const decision = decideRetry(policy, used, result.error, 0);
  if (decision.kind === 'give_up') return decision;
  used.retries = decision.retries;
  used.rateLimitedMs = decision.rateLimitedMs;
  return { kind: 'retry', delayMs: decision.delayMs };
}

function attemptEnd<Output>(result: AttemptResult): Omit<TestedAttempt<Output>, 'attempt' | 'next'> {
  return {
    end: result.kind,
    output: result.kind === 'completed' ? (result.output as Output) : undefined,
    error: result.kind === 'completed' ? undefined : result.error,
  };
}

function report<Output>(
  attempts: TestedAttempt<Output>[],
  undone: TestedAttempt[] | undefined,
  recorded: Recorded,
): TestedStep<Output> {
  const lastUndone = undone?.at(-1);
  const last = attempts.at(-1) ?? (lastUndone && { ...lastUndone, output: undefined });
  if (!last) throw new Error('there was no attempt');
  const { end, output, error } = last;
  return {
    end,
    output,
    error,
    attempts,
    logs: recorded.log,
    progress: recorded.progress,
    events: recorded.events,
    artifacts: recorded.artifacts.map(({ artifact, content }) => ({
      ...artifact,
      content,
      text: new TextDecoder().decode(content),
    })),
    outbox: [...recorded.outbox].map(([id, input]) => ({ id, input })),
    waits: recorded.waits,
    checkpoint: recorded.checkpoint,
    compensation: undone && lastUndone && { end: lastUndone.end, error: lastUndone.error, attempts: undone },
    aborted: end === 'completed' || end === 'failed' || end === 'wait' ? undefined : end,
  };
}

function identity(options: TestStepOptions): Omit<Attempt, 'attempt' | 'token' | 'signal'> {
  const input = options.input ?? {};
  return {
    runId: randomUUID(),
    tenant: options.tenant ?? 'default',
    pipeline: 'test',
    step: options.step ?? 'step',
    item: options.item,
    idempotencyKey: options.idempotencyKey ?? randomUUID(),
    dryRun: options.dryRun ?? false,
    input,
    env: options.env ?? {},
    traceparent: undefined,
    timeoutMs: options.timeoutMs ?? 60_000,
    secrets: [],
    ...(options.delivery === undefined
      ? { keepInput: () => ({ ok: true as const, value: { value: input, secrets: [] } }) }
      : { delivery: options.delivery }),
  };
}

/** Not the environment of the test: a step that passes must not owe it to the machine it was tested on. */
function programEnv(options: TestStepOptions, home: string): Record<string, string> {
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: home, LANG: 'C.UTF-8', ...options.programEnv };
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function connection({ sql = {} }: TestStepOptions, name: string): SqlConnection {
  const found = Object.hasOwn(sql, name) ? sql[name] : undefined;
  if (found) return found;
  throw new Error(`there is no connection ${name}; the test gives ${Object.keys(sql).join(', ') || 'none'}`);
}

export interface TestSensorOptions
  extends Pick<
    TestStepOptions,
    | 'secrets'
    | 'env'
    | 'tenant'
    | 'sql'
    | 'allowPrivateHosts'
    | 'programEnv'
    | 'timeoutMs'
    | 'signal'
    | 'watch'
    | 'inspect'
    | 'isolation'
  > {
  /** Name of the sensor within its plugin; may be left out where the plugin has one. */
  sensor?: string;
  /** What would stand under `with`, all expressions evaluated. Checked against the sensor's schema. Default `{}`. */
  input?: unknown;
  /** What the look before returned. Absent: it is the first. */
  cursor?: Json | undefined;
  /** Default 100. */
  maxEvents?: number;
}

export interface TestedLook<Data = Json> extends Pick<TestedStep, 'logs' | 'aborted'> {
  end: AttemptEnd;
  /** What the next look is given; undefined where this one did not complete. */
  cursor: Json | undefined;
  /** Each key once, `data` as the sensor's schema has made it. */
  events: { key: string; data: Data }[];
  more: boolean;
  error: StepFailure | undefined;
}

/** Looks once; failures are in the result, not thrown. `plugin`: as for `testStep`, or what `defineSensor` returned. */
export async function testSensor<Data = Json>(
  plugin: PluginDefinition | SensorDefinition | string | URL,
  options: TestSensorOptions = {},
): Promise<TestedLook<Data>> {
  const { sensor = '', input = {}, cursor, maxEvents = 100, ...rest } = options;
  const look: SensorLook = { input, ...(cursor === undefined ? {} : { cursor }), maxEvents };
  const tested = await testStep(asPlugin(plugin), { ...rest, step: sensorStepName(sensor), input: look });
  const found = tested.output as unknown as LookResult | undefined;
  return {
    end: tested.end,
    cursor: found?.cursor,
    events: (found?.events ?? []) as { key: string; data: Data }[],
    more: found?.more ?? false,
    error: tested.error,
    logs: tested.logs,
    aborted: tested.aborted,
  };
}

function asPlugin(plugin: PluginDefinition | SensorDefinition | string | URL): PluginDefinition | string | URL {
  if (typeof plugin === 'string' || plugin instanceof URL || 'steps' in plugin) return plugin;
  return { name: 'test', version: '0.0.0', apiVersion: 1, steps: {}, sensors: { sensor: plugin } };
}
