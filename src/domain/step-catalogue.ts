// What the configuration needs to know of step types in order to check pipelines, without loading the registry itself.

/** A JSON Schema (draft 2020-12 or draft-07) as plain data. */
export type JsonSchema = { readonly [key: string]: unknown };

export interface StepTypeDescription {
  /** `plugin.step`, e.g. `git.commit`. */
  id: string;
  plugin: string;
  description?: string;
  inputSchema: JsonSchema;
  outputSchema: JsonSchema;
  weight: 'light' | 'heavy';
  isolation: 'inline' | 'process';
  effects: 'none' | 'outside';
  workspace: 'none' | 'writes' | 'reads';
  /** Whether what it did can be undone. */
  compensates?: boolean;
  /** `limits` of a step mean something: it runs in a process, or gives them on to the programs it starts. */
  obeysLimits?: boolean;
  /** Checks a `with` without expressions; each problem has a path into `with` and a message. */
  validateInput(value: unknown): Promise<readonly { path: readonly (string | number)[]; message: string }[]>;
}

export interface StepCatalogue {
  get(id: string): StepTypeDescription | undefined;
  list(): readonly StepTypeDescription[];
  sensor?(id: string): SensorTypeDescription | undefined;
  /** Sorted by id. */
  sensors?(): readonly SensorTypeDescription[];
}

export interface SensorTypeDescription
  extends Pick<StepTypeDescription, 'id' | 'plugin' | 'inputSchema' | 'validateInput'> {
  description?: string;
  /** Of what it tells of an event. */
  eventSchema: JsonSchema;
  /** What becomes of what its first look finds, unless the pipeline says so. */
  first: 'run' | 'skip';
}
