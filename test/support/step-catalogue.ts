// A small, scripted catalogue of step types for tests of the configuration: schemas as real plugins have them, nothing to run.
import { z } from 'zod';
import type {
  JsonSchema,
  SensorTypeDescription,
  StepCatalogue,
  StepTypeDescription,
} from '../../src/domain/step-catalogue.ts';

const file = z.object({ path: z.string(), size: z.int(), ratio: z.number() });

const steps = {
  'test.echo': {
    input: z.object({ message: z.string(), count: z.int().min(1).max(10).optional(), loud: z.boolean().optional() }),
    output: z.object({ message: z.string(), length: z.int() }),
  },
  'test.list': {
    input: z.object({ directory: z.string().default('.') }),
    output: z.object({ files: z.array(file), names: z.array(z.string()), total: z.int(), ratio: z.number() }),
  },
  'test.copy': {
    input: z.object({
      files: z.array(z.object({ path: z.string() })),
      to: z.string(),
      mode: z.enum(['new', 'all']).default('new'),
      login: z
        .object({
          user: z.string(),
          keys: z.array(z.string().min(8, 'expected a key')).meta({ 'x-cronwright-secret': true }),
        })
        .refine(({ user, keys }) => user !== '' || keys.length === 0, 'keys need a user')
        .optional(),
    }),
    output: z.object({ copied: z.int() }),
  },
  'test.script': {
    input: z.union([
      z.object({ argv: z.array(z.string()) }),
      z.object({ script: z.string().meta({ 'x-cronwright-no-expressions': true }) }),
    ]),
    output: z.object({}),
  },
  'test.free': { input: z.record(z.string(), z.unknown()), output: z.record(z.string(), z.unknown()) },
} as const;

const sensors = {
  'test.watch': {
    input: z.object({ folder: z.string(), password: z.string().optional() }),
    event: z.object({ path: z.string(), size: z.int() }),
  },
} as const;

/** And the sensor test.watch. test.echo, test.list, test.copy, test.script (whose script takes no expressions) and test.free (which takes and gives anything). */
export function createTestCatalogue(): StepCatalogue {
  const types = new Map(Object.entries(steps).map(([id, step]) => [id, describe(id, step)]));
  const looks = new Map(Object.entries(sensors).map(([id, sensor]) => [id, describeSensor(id, sensor)]));
  return {
    get: (id) => types.get(id),
    list: () => [...types.values()],
    sensor: (id) => looks.get(id),
    sensors: () => [...looks.values()],
  };
}

function describeSensor(id: string, { input, event }: { input: z.ZodType; event: z.ZodType }): SensorTypeDescription {
  const { inputSchema, outputSchema, validateInput } = describe(id, { input, output: event });
  return { id, plugin: 'test', inputSchema, eventSchema: outputSchema, first: 'skip', validateInput };
}

function describe(id: string, { input, output }: { input: z.ZodType; output: z.ZodType }): StepTypeDescription {
  return {
    id,
    plugin: 'test',
    inputSchema: z.toJSONSchema(input, { target: 'draft-7', io: 'input' }) as JsonSchema,
    outputSchema: z.toJSONSchema(output, { target: 'draft-7' }) as JsonSchema,
    weight: 'light',
    isolation: 'inline',
    effects: 'none',
    workspace: 'none',
    compensates: id !== 'test.list',
    async validateInput(value) {
      const result = await input.safeParseAsync(value);
      return (result.error?.issues ?? []).map(({ path, message }) => ({
        path: path.map((key) => (typeof key === 'number' ? key : String(key))),
        message,
      }));
    },
  };
}
