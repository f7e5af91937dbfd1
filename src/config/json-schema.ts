// JSON Schemas of pipeline files and settings, made from the schemas that check them; for editors and `cronwright schema`.
import { z } from 'zod';
import type { JsonSchema, StepCatalogue } from '../domain/step-catalogue.ts';
import { pipelineSchema } from './pipeline-schema.ts';
import { settingsSchema } from './settings-schema.ts';

const options = { target: 'draft-7', io: 'input', unrepresentable: 'any' } as const;

let settings: JsonSchema | undefined;
let pipeline: JsonSchema | undefined;

/** Of cronwright.yaml (draft-07). */
export function settingsJsonSchema(): JsonSchema {
  settings ??= z.toJSONSchema(settingsSchema, options) as JsonSchema;
  return settings;
}

/** Of a pipeline document (draft-07). With a catalogue, `with` of each step follows the schema of its step type. */
export function pipelineJsonSchema(catalogue?: StepCatalogue): JsonSchema {
  pipeline ??= z.toJSONSchema(pipelineSchema, options) as JsonSchema;
  return catalogue ? withStepTypes(pipeline, catalogue) : pipeline;
}

function withStepTypes(schema: JsonSchema, catalogue: StepCatalogue): JsonSchema {
  const copy = structuredClone(schema) as { properties: Record<string, { items?: Record<string, unknown> }> };
  const types = catalogue.list();
  const rules = types.map((type) => ({
    if: { properties: { uses: { const: type.id } } },
    // biome-ignore lint/suspicious/noThenProperty: `then` is a keyword of JSON Schema.
    then: { properties: { with: { $ref: `#/definitions/${type.id}` } } },
  }));
  for (const list of ['steps', 'finally', 'on_failure']) {
    const items = copy.properties[list]?.items;
    if (!items) continue;
    const properties = items.properties as Record<string, unknown>;
    properties.uses = { enum: types.map(({ id }) => id), description: 'Step type: `plugin.step`.' };
    items.allOf = rules;
  }
  const sensors = catalogue.sensors?.() ?? [];
  const sensor = copy.properties.sensors?.items;
  if (sensor) {
    const properties = sensor.properties as Record<string, unknown>;
    properties.uses = { enum: sensors.map(({ id }) => id), description: 'Sensor type: `plugin.sensor`.' };
    sensor.allOf = sensors.map(({ id }) => ({
      if: { properties: { uses: { const: id } } },
      // biome-ignore lint/suspicious/noThenProperty: `then` is a keyword of JSON Schema.
      then: { properties: { with: { $ref: `#/definitions/${sensorPrefix}${id}` } } },
    }));
  }
  const definitions = Object.fromEntries([
    ...types.map((type) => [type.id, allowExpressions(type.inputSchema, type.id)]),
    ...sensors.map(({ id, inputSchema }) => [
      `${sensorPrefix}${id}`,
      allowExpressions(inputSchema, `${sensorPrefix}${id}`),
    ]),
  ]);
  return { ...copy, definitions };
}

/** A sensor may have the name of a step. */
const sensorPrefix = 'sensor.';

const expressionText = { type: 'string', pattern: '\\$\\{\\{' };

/** Any value of a step's input may also be an expression; references stay within the definition. */
function allowExpressions(schema: JsonSchema, id: string): JsonSchema {
  const { $schema: _schema, ...rest } = schema;
  return rewrite(rest, id, true) as JsonSchema;
}

function rewrite(schema: unknown, id: string, isRoot = false): unknown {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return schema;
  const copy: Record<string, unknown> = {};
  for (const [key, part] of Object.entries(schema)) copy[key] = rewriteKeyword(key, part, id);
  return isRoot || takesAnyText(copy) ? copy : { anyOf: [copy, expressionText] };
}

function takesAnyText(schema: Readonly<Record<string, unknown>>): boolean {
  const isBound = ['enum', 'const', 'pattern', 'format', 'minLength', 'maxLength'].some((keyword) => keyword in schema);
  return schema.type === undefined ? !isBound : schema.type === 'string' && !isBound;
}

function rewriteKeyword(key: string, part: unknown, id: string): unknown {
  switch (key) {
    case 'properties':
    case '$defs':
    case 'definitions':
      return Object.fromEntries(Object.entries(part as object).map(([name, inner]) => [name, rewrite(inner, id)]));
    case 'items':
    case 'additionalProperties':
      return Array.isArray(part) ? part.map((inner) => rewrite(inner, id)) : rewrite(part, id);
    case 'anyOf':
    case 'oneOf':
    case 'allOf':
      return (part as unknown[]).map((inner) => rewrite(inner, id));
    case '$ref':
      return typeof part === 'string' && part.startsWith('#') ? `#/definitions/${id}${part.slice(1)}` : part;
    default:
      return part;
  }
}
