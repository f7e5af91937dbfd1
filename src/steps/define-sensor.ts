// What a plugin says of a sensor: how it looks at something outside and tells what is new since the last look.
import type { Json, OutputOf, StandardSchema, StepContext } from './api.ts';

/**
 * What a look is given. `step` is the sensor's id within its pipeline; `workspace` an empty directory of this look, removed
 * after it. There is no run: nothing of a run is here.
 */
export type SensorContext = Pick<
  StepContext,
  | 'signal'
  | 'tenant'
  | 'pipeline'
  | 'step'
  | 'env'
  | 'log'
  | 'secrets'
  | 'sql'
  | 'fetch'
  | 'lookup'
  | 'workspace'
  | 'host'
  | 'traceparent'
>;

export interface SensorEvent<Data = Json> {
  /** Names the thing: one key starts one run, however often it is told. 1 … 500 characters. */
  key: string;
  /** What runs may take as inputs: `sensor.data` in their expressions. JSON that fits `event`. */
  data?: Data;
}

export interface SensorResult<Data = Json> {
  /**
   * How far was seen: JSON of at most 64 kB that the next look is given. It is kept together with the runs of these events, or,
   * where anything fails, not at all, and then the next look is given the old one. Never put a secret into it: it is masked.
   */
  cursor: Json;
  /** What is new, oldest first. */
  events: readonly SensorEvent<Data>[];
  /** There is more than `maxEvents`: look again at once. */
  more?: boolean;
}

export interface SensorLimits {
  /** The most events that one look may return; `cursor` then covers no more than these. */
  readonly maxEvents: number;
}

export interface SensorDefinition<Input = unknown, Data = unknown> {
  description?: string;
  /** What stands under `with`. */
  input: StandardSchema<unknown, Input>;
  /** What `data` of an event is. */
  event: StandardSchema<unknown, Data>;
  /** JSON Schemas; only needed where the schema cannot say its own. */
  inputJsonSchema?: Record<string, unknown>;
  eventJsonSchema?: Record<string, unknown>;
  /** What becomes of the events of the very first look, unless the pipeline says so: runs, or nothing (`skip`, the default). */
  first?: 'run' | 'skip';
  /** Where it runs. Default: `inline` for built-in plugins, `process` for all others. */
  isolation?: 'inline' | 'process';
  /**
   * Looks, and changes nothing outside. `cursor` is undefined at the first look. It may be called again with the same cursor, after an
   * error or the end of its node: then the same things have to have the same keys. Errors are thrown, with the classes of steps.
   */
  check(
    ctx: SensorContext,
    input: Input,
    cursor: Json | undefined,
    limits: SensorLimits,
  ): Promise<SensorResult<Data>> | SensorResult<Data>;
}

/** Keeps the types of `check` in step with the schemas. */
export function defineSensor<Input extends StandardSchema, Event extends StandardSchema>(
  sensor: Omit<SensorDefinition<OutputOf<Input>, OutputOf<Event>>, 'input' | 'event'> & { input: Input; event: Event },
): SensorDefinition {
  return sensor as unknown as SensorDefinition;
}
