// One look of a sensor, from its claim to its commit: what it found becomes runs together with its cursor, or not at all.
import { uuidv7 } from 'uuidv7';
import type { Clock } from '../base/clock.ts';
import type { Json } from '../base/json.ts';
import type { Database } from '../db/database.ts';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import {
  plainEnv,
  sensorInputScope,
  sensorInputTypes,
  sensorWithScope,
  sensorWithTypes,
} from '../domain/expressions/sensor-scope.ts';
import { compileTemplate, type Evaluation } from '../domain/expressions/template.ts';
import { createNewRun, type NewRun } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import { fastRetry, retryDelayMs } from '../domain/retry-policy.ts';
import { type SensorDefinition, sensorActor } from '../domain/sensor.ts';
import type { EventBus } from '../observe/events.ts';
import {
  claimSensor,
  commitLook,
  type FoundEvent,
  failLook,
  type HeldLook,
  releaseLook,
} from '../queue/commit-look.ts';
import type { DueSensor } from '../queue/find-due-sensors.ts';
import { toStoredError } from '../steps/classify-error.ts';
import type { AttemptResult, ObservedStep } from '../steps/observed-step.ts';
import type { RegisteredSensor } from '../steps/registry.ts';
import { SecretMask } from '../steps/secret-mask.ts';
import type { LookResult, SensorLook } from '../steps/sensor-step.ts';
import type { Secrets } from '../store/secrets.ts';

export interface LookDeps {
  db: Database;
  clock: Clock;
  catalog: PipelineCatalog;
  events: EventBus;
  observed: ObservedStep;
  secrets: Secrets;
  /** Variables that all pipelines have. */
  baseEnv: Readonly<Record<string, string>>;
  /** Why a tenant's queue has no room for `runs` more; undefined: it has. */
  refusal: (tenant: string, runs: number) => Promise<string | undefined>;
  /** The runs are durable. */
  announce: (runs: readonly NewRun[]) => Promise<void>;
  /** 0…1, for jitter. */
  random: () => number;
}

/** Beyond the time a look may take: what its process needs to end, and the commit. */
const leaseMarginMs = 30_000;
/** Until a sensor that found more than the queue takes looks again. */
const fullRetryMs = 5_000;

/** How a look ended, where it did not find anything out: `result` is a word of the metrics. */
class LookFailure extends Error {
  readonly result: 'failure' | 'timeout' | 'refused';
  constructor(result: LookFailure['result'], message: string) {
    super(message);
    this.result = result;
  }
}

/** Never rejects for what is wrong with the sensor: that is kept on its row. */
export async function lookOnce(
  row: DueSensor,
  sensor: RegisteredSensor,
  signal: AbortSignal,
  deps: LookDeps,
  discard: (lookId: string) => Promise<void>,
): Promise<void> {
  const { definition } = row;
  const leaseMs = definition.timeoutMs + leaseMarginMs;
  const look = await claimSensor(deps.db, row, { id: uuidv7(), leaseMs });
  if (!look) return;
  const startedAt = deps.clock.monotonic();
  const about = { sensor: row.id, tenant: row.tenant, pipeline: row.pipeline };
  const told = (result: string, counts: { events: number; runs: number }) =>
    deps.events.emit('sensor.checked', {
      ...about,
      result,
      ...counts,
      durationMs: Math.round(deps.clock.monotonic() - startedAt),
    });
  try {
    const found = await findOut(row, sensor, look, signal, deps);
    if (found === undefined) return await releaseLook(deps.db, look);
    const nextMs = found.more ? 0 : definition.everyMs;
    const runs = await commitLook(deps.db, look, { cursor: found.cursor, events: found.events, nextMs });
    if (runs === undefined) return told('lost', { events: 0, runs: 0 });
    if (runs.length > 0) await deps.announce(runs);
    told('success', { events: found.events.length, runs: runs.length });
  } catch (error) {
    await keepFailure(row, look, error, deps);
    told(error instanceof LookFailure ? error.result : 'failure', { events: 0, runs: 0 });
  } finally {
    await discard(look.lookId);
  }
}

interface Found {
  cursor: Json;
  events: FoundEvent[];
  more: boolean;
}

/** Undefined where this node stops. Throws where the sensor could not look, or what it found cannot become runs. */
async function findOut(
  row: DueSensor,
  sensor: RegisteredSensor,
  look: HeldLook,
  signal: AbortSignal,
  deps: LookDeps,
): Promise<Found | undefined> {
  const { definition } = row;
  const pipeline = deps.catalog.get(row.tenant, row.pipeline);
  if (!pipeline) throw new LookFailure('failure', `pipeline ${row.pipeline} is not in force on this node`);
  const isSkipped = row.cursor === null && (definition.first ?? sensor.first) === 'skip';
  const found = isSkipped
    ? await skipAll(row, sensor, pipeline, look, signal, deps)
    : await lookFrom(row, sensor, pipeline, look, signal, deps);
  if (found === undefined) return undefined;
  const { cursor, events, more } = found;
  if (isSkipped) return { cursor, events: [], more };
  const runs = events.map((event) => ({ ...event, run: newRun(definition, pipeline, event, sensor, deps) }));
  const refusal = runs.length === 0 ? undefined : await deps.refusal(row.tenant, runs.length);
  if (refusal !== undefined) throw new LookFailure('refused', refusal);
  return { cursor, events: runs, more };
}

/** All that is there at the first look, however many answers that takes: of none of it a run starts. */
async function skipAll(...[row, sensor, pipeline, look, signal, deps]: LookArguments): Promise<LookResult | undefined> {
  const startedAt = deps.clock.monotonic();
  let leftMs = row.definition.timeoutMs;
  for (let cursor = row.cursor; ; ) {
    // All of them together: the lease is for one timeout.
    const definition = { ...row.definition, timeoutMs: Math.ceil(leftMs) };
    const found = await lookFrom({ ...row, cursor, definition }, sensor, pipeline, look, signal, deps);
    if (!found?.more) return found;
    cursor = JSON.stringify(found.cursor);
    leftMs = row.definition.timeoutMs - (deps.clock.monotonic() - startedAt);
    if (leftMs > 0) continue;
    throw new LookFailure('timeout', 'TimeoutError: what is there at the first look is too much for its timeout');
  }
}

type LookArguments = Parameters<typeof attempt>;

/** Undefined where this node stops. */
async function lookFrom(...given: LookArguments): Promise<LookResult | undefined> {
  const result = await attempt(...given);
  if (result.kind === 'shutdown' || result.kind === 'cancelled' || result.kind === 'lease_lost') return undefined;
  if (result.kind === 'completed') return result.output as unknown as LookResult;
  const { name, message } = result.error;
  throw new LookFailure(result.kind === 'timeout' ? 'timeout' : 'failure', `${name}: ${message}`);
}

async function attempt(
  row: DueSensor,
  sensor: RegisteredSensor,
  pipeline: Pipeline,
  look: HeldLook,
  signal: AbortSignal,
  deps: LookDeps,
): Promise<AttemptResult> {
  const { definition } = row;
  const env = { ...deps.baseEnv, ...plainEnv(pipeline.env) };
  const secrets: Record<string, string> = {};
  const template = compileTemplate(definition.with, sensorWithTypes(env));
  for (const name of template.secrets) secrets[name] = await findSecret(deps.secrets, name);
  const given = valueIn(template.evaluate(sensorWithScope({ secrets, env, tenant: row.tenant })));
  const input: SensorLook = {
    input: given,
    ...(row.cursor === null ? {} : { cursor: JSON.parse(row.cursor) as Json }),
    maxEvents: definition.maxRunsPerCheck,
  };
  return deps.observed.run(sensor.step, {
    runId: look.lookId,
    tenant: row.tenant,
    pipeline: row.pipeline,
    step: definition.name,
    item: undefined,
    attempt: row.failures + 1,
    token: look.version,
    idempotencyKey: look.lookId,
    dryRun: false,
    input,
    env,
    traceparent: undefined,
    timeoutMs: definition.timeoutMs,
    signal,
    secrets: Object.values(secrets),
  });
}

async function findSecret(secrets: Secrets, name: string): Promise<string> {
  const value = await secrets.get(name).catch((error: unknown) => {
    throw new LookFailure('failure', `secrets.${name}: ${toStoredError(error, new SecretMask()).message}`);
  });
  if (value === undefined) throw new LookFailure('failure', `there is no secret named ${name}`);
  return value;
}

function newRun(
  definition: SensorDefinition,
  pipeline: Pipeline,
  event: { key: string; data: Json },
  sensor: RegisteredSensor,
  deps: LookDeps,
): NewRun {
  const template = compileTemplate(definition.inputs, sensorInputTypes(sensor.eventSchema));
  const scope = sensorInputScope({ sensor: { id: definition.id, ...event }, tenant: definition.tenant });
  const inputs = valueIn(template.evaluate(scope)) as Record<string, unknown>;
  try {
    return createNewRun(pipeline, deps.catalog.termsOf(pipeline), {
      origin: 'sensor',
      actor: sensorActor(definition.id),
      inputs,
      priority: definition.priority,
    });
  } catch (error) {
    if (!(error instanceof CronwrightError)) throw error;
    throw new LookFailure('failure', `the run of ${event.key} cannot be started: ${error.message}`);
  }
}

function valueIn(evaluated: Evaluation): unknown {
  if (evaluated.ok) return evaluated.value;
  throw new LookFailure('failure', `${evaluated.error.name}: ${evaluated.error.message}`);
}

/** The cursor stays where it was: the next look finds the same again. */
async function keepFailure(row: DueSensor, look: HeldLook, error: unknown, deps: LookDeps): Promise<void> {
  const isFull = error instanceof LookFailure && error.result === 'refused';
  const failures = row.failures + 1;
  const delayMs = isFull ? fullRetryMs : retryDelayMs(fastRetry, Math.min(failures, 30), deps.random());
  const text = errorMessage(error).slice(0, 2_000);
  if (!(await failLook(deps.db, look, { failures, error: text, delayMs }))) return;
  const { id: sensor, tenant, pipeline } = row;
  deps.events.emit('sensor.failed', { sensor, tenant, pipeline, error: text, failures, delayMs });
}
