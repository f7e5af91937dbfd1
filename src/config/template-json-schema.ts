// JSON Schemas of templates and of files that use one; for editors, `cronwright schema template` and messages.
import { z } from 'zod';
import type { JsonSchema, StepCatalogue } from '../domain/step-catalogue.ts';
import { pipelineJsonSchema } from './json-schema.ts';
import { templateHeadSchema, templateUseSchema } from './template-schema.ts';

const options = { target: 'draft-7', io: 'input', unrepresentable: 'any' } as const;

let head: JsonSchema | undefined;
let use: JsonSchema | undefined;

export function templateHeadJsonSchema(): JsonSchema {
  head ??= z.toJSONSchema(templateHeadSchema, options) as JsonSchema;
  return head;
}

export function templateUseJsonSchema(): JsonSchema {
  use ??= z.toJSONSchema(templateUseSchema, options) as JsonSchema;
  return use;
}

/** Of a template (draft-07): a pipeline whose values may also be parameters, with the head of a template. */
export function templateJsonSchema(catalogue: StepCatalogue): JsonSchema {
  const { properties, required: _, ...pipeline } = pipelineJsonSchema(catalogue) as JsonSchema & { properties: object };
  const { properties: own } = templateHeadJsonSchema() as { properties: object };
  const body = Object.fromEntries(Object.entries(properties).map(([key, part]) => [key, orParameter(part)]));
  return {
    ...pipeline,
    description: 'A template of Cronwright pipelines.',
    properties: { ...own, ...body },
    required: ['template', 'steps'],
  };
}

/** Of a document of `pipelines/` (draft-07): a pipeline, or pipelines made of a template. */
export function pipelineFileJsonSchema(catalogue: StepCatalogue): JsonSchema {
  const { properties, required, ...pipeline } = pipelineJsonSchema(catalogue) as JsonSchema & { properties: object };
  const { $schema: _, properties: own, ...used } = templateUseJsonSchema() as JsonSchema & { properties: object };
  const keys = Object.fromEntries(Object.keys(own).map((key) => [key, {}]));
  return {
    ...pipeline,
    properties: { ...keys, ...properties },
    if: { required: ['template'] },
    // biome-ignore lint/suspicious/noThenProperty: `then` is a keyword of JSON Schema.
    then: { ...used, properties: own },
    else: { required },
  };
}

const parameter = { type: 'string', pattern: '\\$\\{\\{' };
/** Keywords that hold schemas of values by name, as a list, or as one. */
const named = ['properties', 'patternProperties'];
const single = ['items', 'additionalProperties'];
const listed = ['anyOf', 'oneOf', 'allOf'];

/** Any value may also be the text of an expression. */
function orParameter(schema: unknown): unknown {
  const within = valuesWithin(schema);
  if (typeof within !== 'object' || within === null || '$ref' in within || 'if' in within) return within;
  return { anyOf: [within, parameter] };
}

function valuesWithin(schema: unknown): unknown {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([key, part]): [string, unknown] => {
      if (named.includes(key)) {
        return [key, Object.fromEntries(Object.entries(part as object).map(([name, one]) => [name, orParameter(one)]))];
      }
      if (single.includes(key)) return [key, orParameter(part)];
      if (listed.includes(key)) return [key, (part as unknown[]).map(valuesWithin)];
      return [key, part];
    }),
  );
}
