// The step types this node has: what the configuration checks against, and what the worker runs.
import { CronwrightError, type Problem } from '../domain/errors.ts';
import type {
  JsonSchema,
  SensorTypeDescription,
  StepCatalogue,
  StepTypeDescription,
} from '../domain/step-catalogue.ts';
import type { StandardSchema, StepDefinition } from './api.ts';
import { checkPlugin } from './check-plugin.ts';
import type { SensorDefinition } from './define-sensor.ts';
import type { LoadedPlugin, PluginSource } from './load-plugins.ts';
import { findProblems } from './parse-with-schema.ts';
import { sensorStep, sensorStepName } from './sensor-step.ts';

/** A step type as the catalogue describes it, with what is needed to run it. */
export interface RegisteredStep extends StepTypeDescription {
  /** The step's name within its plugin. */
  readonly name: string;
  readonly definition: StepDefinition;
  readonly idempotency: 'natural' | 'keyed' | 'none';
  /** Whether what it did can be undone. */
  readonly compensates: boolean;
  /** Why it cannot, where the plugin says so. */
  readonly irreversible?: string;
  readonly pluginVersion: string;
  /** Where a process of its own finds the plugin. */
  readonly source: PluginSource;
  /** Program and arguments, where the step is a program of its own. */
  readonly command?: readonly string[];
}

export interface RegisteredSensor extends SensorTypeDescription {
  /** One attempt of it is one look: its input is a SensorLook, its output a LookResult. */
  readonly step: RegisteredStep;
}

export interface Registry extends StepCatalogue {
  get(id: string): RegisteredStep | undefined;
  /** Sorted by id. */
  list(): readonly RegisteredStep[];
  sensor(id: string): RegisteredSensor | undefined;
  /** Sorted by id. */
  sensors(): readonly RegisteredSensor[];
}

/** Throws CronwrightError `invalid_config` with one problem for each thing wrong: shape, names, API version, duplicates. */
export function createRegistry(plugins: readonly LoadedPlugin[]): Registry {
  const steps = new Map<string, RegisteredStep>();
  const sensors = new Map<string, RegisteredSensor>();
  const seen = new Map<string, LoadedPlugin>();
  const problems: Problem[] = [];
  for (const plugin of plugins) {
    const wrong = checkPlugin(plugin.definition);
    const { name } = plugin.definition;
    const other = seen.get(name);
    if (other) wrong.push(`plugin name ${name} is taken by ${other.source.specifier}`);
    problems.push(...wrong.map((message) => ({ message: `plugin ${plugin.source.specifier}: ${message}` })));
    if (wrong.length > 0) continue;
    seen.set(name, plugin);
    for (const [stepName, definition] of Object.entries(plugin.definition.steps)) {
      const step = registerStep(plugin, stepName, definition);
      steps.set(step.id, step);
    }
    for (const [name, definition] of Object.entries(plugin.definition.sensors ?? {})) {
      const sensor = registerSensor(plugin, name, definition);
      sensors.set(sensor.id, sensor);
    }
  }
  if (problems.length > 0) {
    const text = problems.map((problem) => problem.message).join('; ');
    throw new CronwrightError('invalid_config', `plugins cannot be registered: ${text}`, { problems });
  }
  const sorted = [...steps.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  const sortedSensors = [...sensors.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  return {
    get: (id) => steps.get(id),
    list: () => sorted,
    sensor: (id) => sensors.get(id),
    sensors: () => sortedSensors,
  };
}

function registerSensor(plugin: LoadedPlugin, name: string, definition: SensorDefinition): RegisteredSensor {
  let inputSchema: JsonSchema | undefined;
  let eventSchema: JsonSchema | undefined;
  return {
    id: `${plugin.definition.name}.${name}`,
    plugin: plugin.definition.name,
    ...(definition.description === undefined ? {} : { description: definition.description }),
    get inputSchema() {
      inputSchema ??= definition.inputJsonSchema ?? jsonSchemaOf(definition.input, 'input');
      return inputSchema;
    },
    get eventSchema() {
      eventSchema ??= definition.eventJsonSchema ?? jsonSchemaOf(definition.event, 'output');
      return eventSchema;
    },
    first: definition.first ?? 'skip',
    step: registerStep(plugin, sensorStepName(name), sensorStep(definition)),
    validateInput: (value) => findProblems(definition.input, value),
  };
}

function registerStep(plugin: LoadedPlugin, name: string, definition: StepDefinition): RegisteredStep {
  let inputSchema: JsonSchema | undefined;
  let outputSchema: JsonSchema | undefined;
  const command = plugin.commands?.[name];
  const isolation = definition.isolation ?? (plugin.source.kind === 'built-in' ? 'inline' : 'process');
  return {
    id: `${plugin.definition.name}.${name}`,
    name,
    plugin: plugin.definition.name,
    pluginVersion: plugin.definition.version,
    ...(definition.description === undefined ? {} : { description: definition.description }),
    // Made on first use: a daemon that only runs steps never asks for them.
    get inputSchema() {
      inputSchema ??= definition.inputJsonSchema ?? jsonSchemaOf(definition.input, 'input');
      return inputSchema;
    },
    get outputSchema() {
      outputSchema ??= definition.outputJsonSchema ?? jsonSchemaOf(definition.output, 'output');
      return outputSchema;
    },
    weight: definition.weight ?? 'heavy',
    isolation,
    effects: definition.effects ?? 'none',
    workspace: definition.workspace ?? 'none',
    obeysLimits: isolation === 'process' || definition.limits === 'obeyed',
    idempotency: definition.idempotency ?? 'none',
    compensates: definition.compensate !== undefined,
    ...(definition.irreversible === undefined ? {} : { irreversible: definition.irreversible }),
    definition,
    source: plugin.source,
    ...(command === undefined ? {} : { command }),
    validateInput: (value) => findProblems(definition.input, value),
  };
}

type JsonSchemaMaker = (options: { target: string; libraryOptions?: Record<string, unknown> }) => JsonSchema;

/** By the Standard JSON Schema that a schema brings along; one without it may hold anything. */
function jsonSchemaOf(schema: StandardSchema, direction: 'input' | 'output'): JsonSchema {
  const standard = schema['~standard'] as { jsonSchema?: Partial<Record<'input' | 'output', JsonSchemaMaker>> };
  const make = standard.jsonSchema?.[direction];
  // A date or a transformation has no JSON form: it becomes "anything" instead of failing the whole catalogue.
  return make ? make({ target: 'draft-07', libraryOptions: { unrepresentable: 'any' } }) : {};
}
