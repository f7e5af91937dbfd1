// What a sensor is: it looks at something outside between runs, and each new thing it finds starts one run of its pipeline.

/** What becomes of the things that are there at the first look. */
export type FirstLook = 'run' | 'skip';

/** One sensor of a pipeline, defaults applied. */
export interface SensorDefinition {
  /** The full id, `pipeline.sensor`. */
  id: string;
  /** The id within the pipeline. */
  name: string;
  tenant: string;
  pipeline: string;
  description?: string;
  enabled: boolean;
  /** Sensor type: `plugin.sensor`. */
  uses: string;
  /** May hold expressions that name `secrets`, `env` and `tenant`. */
  with: Readonly<Record<string, unknown>>;
  /** From the end of one look to the next. */
  everyMs: number;
  /** Of one look. */
  timeoutMs: number;
  /** Absent: what the sensor type says. */
  first?: FirstLook;
  /** More than these are left to the next look. */
  maxRunsPerCheck: number;
  /** Inputs of the runs; may hold expressions that name `sensor` and `tenant`. */
  inputs: Readonly<Record<string, unknown>>;
  /** Of the runs; absent: the pipeline's. */
  priority?: number;
}

/** What stands in place of the actor of its runs. */
export function sensorActor(sensor: string): string {
  return `sensor:${sensor}`;
}
