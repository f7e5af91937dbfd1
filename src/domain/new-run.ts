// Makes the record of a new run from a pipeline: what enqueue writes, with the limits it needs already named.
import { uuidv7 } from 'uuidv7';
import { afterKeys } from './after.ts';
import { CronwrightError, type Problem } from './errors.ts';
import { isOfInputType } from './input-type.ts';
import type { InputDefinition, Pipeline } from './pipeline.ts';
import { problemLine } from './problem-line.ts';
import type { Origin } from './run.ts';

export interface NewRun {
  /** UUID v7, made here: enqueueing the same record twice is one run. */
  id: string;
  tenant: string;
  pipeline: string;
  pipelineVersion: string;
  schedule: string | null;
  nominalAt: Date | null;
  nominalCount: number;
  late: boolean;
  origin: Origin;
  priority: number;
  queue: string;
  /** Labels of which its node has to have all; absent: any node. */
  runsOn?: readonly string[];
  weight: 'light' | 'heavy';
  inputs: Readonly<Record<string, unknown>> | null;
  dryRun: boolean;
  actor: string | null;
  parentId: string | null;
  traceparent: string | null;
  /** Not before this instant; null: at once. */
  runAt: Date | null;
  /** Keys of the slots it needs before it may start. */
  limits: readonly string[];
  /** Gives it its place between the tenants when it is enqueued; absent: by age alone. */
  order?: FairOrder | undefined;
  /** Its place among runs of its queue and priority, once it has one: smaller is sooner. */
  fair?: number;
  /** Known once it is enqueued: a pause of its pipeline or tenant holds it. */
  isHeld?: boolean;
}

/** Hands out places between the tenants of a queue. */
export interface FairOrder {
  /** Called once for each run that is enqueued. */
  tagOf(run: Pick<NewRun, 'tenant' | 'queue' | 'priority' | 'runAt'>): number;
}

/** What the settings say of the runs of a tenant in a queue. */
export interface RunTerms {
  weight: 'light' | 'heavy';
  /** Slots of its tenant and its queue. */
  limitsOf(tenant: string, queue: string): readonly string[];
  order: FairOrder;
}

export interface NewRunOptions {
  origin: Origin;
  inputs?: Readonly<Record<string, unknown>> | undefined;
  priority?: number | undefined;
  /** Default: the pipeline's. */
  queue?: string | undefined;
  schedule?: { id: string; nominalAt: Date | null; nominalCount?: number; late?: boolean; exclusive: boolean };
  runAt?: Date | undefined;
  dryRun?: boolean | undefined;
  actor?: string | undefined;
  parentId?: string | undefined;
  traceparent?: string | undefined;
}

/** Builds the record; inputs are completed with defaults and checked. Throws `invalid_input` naming every wrong input. */
export function createNewRun(pipeline: Pipeline, terms: RunTerms | 'light' | 'heavy', options: NewRunOptions): NewRun {
  const priority = options.priority ?? pipeline.priority;
  if (!Number.isInteger(priority) || priority < 1 || priority > 10) {
    throw new CronwrightError('invalid_input', `priority ${priority} is not a whole number from 1 (highest) to 10`, {
      problems: [{ path: 'priority', message: 'out of range', got: String(priority), expected: '1…10' }],
    });
  }
  const queue = options.queue ?? pipeline.queue;
  const { weight, shared, order } =
    typeof terms === 'string'
      ? { weight: terms, shared: [], order: undefined }
      : { weight: terms.weight, shared: terms.limitsOf(pipeline.tenant, queue), order: terms.order };
  return {
    id: uuidv7(),
    tenant: pipeline.tenant,
    pipeline: pipeline.id,
    pipelineVersion: pipeline.version,
    schedule: options.schedule?.id ?? null,
    nominalAt: options.schedule?.nominalAt ?? null,
    nominalCount: options.schedule?.nominalCount ?? 1,
    late: options.schedule?.late ?? false,
    origin: options.origin,
    priority,
    queue,
    ...(pipeline.runsOn ? { runsOn: pipeline.runsOn } : {}),
    weight,
    inputs: completeInputs(pipeline.inputs, options.inputs ?? {}),
    dryRun: options.dryRun ?? false,
    actor: options.actor ?? null,
    parentId: options.parentId ?? null,
    traceparent: options.traceparent ?? null,
    runAt: options.runAt ?? null,
    limits: [
      ...afterKeys(pipeline, options.origin),
      ...limitKeys(pipeline, options.schedule?.exclusive ? options.schedule.id : undefined),
      ...shared,
    ],
    ...(order === undefined ? {} : { order }),
  };
}

/** The slots a run of this pipeline needs: its schedule's (overlap), its pipeline's or its group's. */
export function limitKeys(pipeline: Pipeline, exclusiveSchedule?: string): string[] {
  const keys: string[] = [];
  if (exclusiveSchedule !== undefined) keys.push(scheduleSlotKey(exclusiveSchedule));
  if (pipeline.concurrency) keys.push(concurrencySlotKey(pipeline.id, pipeline.concurrency.group));
  return keys;
}

export function scheduleSlotKey(schedule: string): string {
  return `schedule:${schedule}`;
}

export function concurrencySlotKey(pipeline: string, group: string | undefined): string {
  return group === undefined ? `pipeline:${pipeline}` : `group:${group}`;
}

export function tenantSlotKey(tenant: string): string {
  return `tenant:${tenant}`;
}

export function queueSlotKey(queue: string): string {
  return `queue:${queue}`;
}

/** Whose row a slot is: those of a queue belong to all tenants together. */
export function slotOwner(tenant: string, key: string): string {
  return key.startsWith('queue:') ? '*' : tenant;
}

/** Inputs with defaults filled in; null where there is nothing to store. */
function completeInputs(
  definitions: Readonly<Record<string, InputDefinition>>,
  given: Readonly<Record<string, unknown>>,
): Record<string, unknown> | null {
  const problems = inputProblems(definitions, given);
  if (problems.length > 0) {
    const text = problems.map(problemLine).join('; ');
    throw new CronwrightError('invalid_input', text, { problems });
  }
  const complete: Record<string, unknown> = {};
  for (const [name, definition] of Object.entries(definitions)) {
    complete[name] = (Object.hasOwn(given, name) ? given[name] : definition.default) ?? null;
  }
  return Object.keys(complete).length === 0 ? null : complete;
}

/** What is wrong with the inputs of a run that is asked for. */
export function inputProblems(
  definitions: Readonly<Record<string, InputDefinition>>,
  given: Readonly<Record<string, unknown>>,
): Problem[] {
  const problems: Problem[] = [];
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(definitions, name)) {
      const known = Object.keys(definitions).join(', ') || 'none';
      problems.push({ path: `inputs.${name}`, message: 'unknown input', got: name, expected: `one of: ${known}` });
    }
  }
  for (const [name, definition] of Object.entries(definitions)) {
    const value = Object.hasOwn(given, name) ? given[name] : definition.default;
    if (value === undefined || value === null) {
      if (definition.required) {
        problems.push({ path: `inputs.${name}`, message: 'missing', got: 'nothing', expected: definition.type });
      }
      continue;
    }
    if (!isOfInputType(value, definition.type)) {
      problems.push({ path: `inputs.${name}`, message: 'wrong type', got: typeName(value), expected: definition.type });
    } else if (definition.enum && !definition.enum.includes(value)) {
      const allowed = definition.enum.map((choice) => JSON.stringify(choice)).join(', ');
      problems.push({
        path: `inputs.${name}`,
        message: 'not allowed',
        got: JSON.stringify(value),
        expected: `one of: ${allowed}`,
      });
    }
  }
  return problems;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
