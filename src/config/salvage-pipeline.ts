// Makes a checkable pipeline of one that its schema refused, so that one mistake does not hide the others.
import {
  inputSchema,
  type PipelineShape,
  pipelineSchema,
  type StepShape,
  scheduleSchema,
  sensorSchema,
  stepSchema,
} from './pipeline-schema.ts';
import { type SchemaProblem, valueAt } from './zod-problems.ts';

/**
 * The parts that are right, and stand-ins for those that are not: steps keep their position, id and needs; wrong schedules
 * go; a wrong input becomes one of any type. Never run.
 */
export function salvagePipeline(value: unknown, refused: readonly SchemaProblem[]): PipelineShape {
  const raw = record(withoutUnknownKeys(value, refused));
  const whole = pipelineSchema.safeParse(raw);
  return whole.success ? whole.data : salvageParts(raw);
}

function withoutUnknownKeys(value: unknown, refused: readonly SchemaProblem[]): unknown {
  const copy = structuredClone(value);
  for (const { path, isUnknownKey } of refused) {
    if (isUnknownKey) delete record(valueAt(copy, path.slice(0, -1)))[String(path.at(-1))];
  }
  return copy;
}

function salvageParts(raw: Record<string, unknown>): PipelineShape {
  const { shape } = pipelineSchema;
  return {
    id: orElse(shape.id.safeParse(raw.id).data, ''),
    tenant: orElse(shape.tenant.safeParse(raw.tenant).data, 'default'),
    inputs: salvageInputs(raw.inputs),
    schedules: list(raw.schedules).flatMap((one) => scheduleSchema.safeParse(one).data ?? []),
    sensors: list(raw.sensors).flatMap((one) => sensorSchema.safeParse(one).data ?? []),
    priority: orElse(shape.priority.safeParse(raw.priority).data, 5),
    queue: orElse(shape.queue.safeParse(raw.queue).data, 'default'),
    timeout: 0,
    on_interrupted: 'retry',
    env: orElse(shape.env.safeParse(raw.env).data, {}),
    steps: list(raw.steps).map(salvageStep),
    finally: list(raw.finally).map(salvageStep),
    on_failure: list(raw.on_failure).map(salvageStep),
  };
}

function salvageInputs(value: unknown): PipelineShape['inputs'] {
  const entries = Object.entries(record(value)).map(([name, input]) => {
    const parsed = inputSchema.safeParse(input);
    return [name, parsed.data ?? { type: 'object' as const, required: true }] as const;
  });
  return Object.fromEntries(entries);
}

function salvageStep(value: unknown): StepShape {
  const parsed = stepSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const raw = record(value);
  const needs = stepSchema.shape.needs.safeParse(raw.needs);
  return {
    id: typeof raw.id === 'string' ? raw.id : '',
    uses: typeof raw.uses === 'string' ? raw.uses : '',
    with: {},
    needs: needs.success ? needs.data : [],
    continue_on_error: false,
    env: {},
    ...(raw.foreach === undefined ? {} : { foreach: [] }),
    timeout: 0,
  };
}

function orElse<Value>(value: Value | undefined, other: Value): Value {
  return value === undefined ? other : value;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
