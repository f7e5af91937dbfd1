// The step types this node has: what the configuration checks against, and what the worker runs.
import { CronwrightError, type Problem } from '../domain/errors.ts';
import type { JsonSchema, StepCatalogue, StepTypeDescription } from '../domain/step-catalogue.ts';
import type { StandardSchema, StepDefinition } from './api.ts';
import { checkPlugin } from './check-plugin.ts';
import type { LoadedPlugin, PluginSource } from './load-plugins.ts';
import { findProblems } from './parse-with-schema.ts';

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

export interface Registry extends StepCatalogue {
  get(id: string): RegisteredStep | undefined;
  /** Sorted by id. */
  list(): readonly RegisteredStep[];
}

/** Throws CronwrightError `invalid_config` with one problem for each thing wrong: shape, names, API version, duplicates. */
export function createRegistry(plugins: readonly LoadedPlugin[]): Registry {
  const steps = new Map<string, RegisteredStep>();
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
  }
  if (problems.length > 0) {
    const text = problems.map((problem) => problem.message).join('; ');
    throw new CronwrightError('invalid_config', `plugins cannot be registered: ${text}`, { problems });
  }
  const sorted = [...steps.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  return { get: (id) => steps.get(id), list: () => sorted };
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
