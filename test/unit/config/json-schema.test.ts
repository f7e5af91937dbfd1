// The JSON Schemas for editors accept what the loader accepts, and refuse plain mistakes.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { pipelineJsonSchema, settingsJsonSchema } from '../../../src/config/json-schema.ts';
import { createTestCatalogue } from '../../support/step-catalogue.ts';

const testdata = fileURLToPath(new URL('../../config/testdata', import.meta.url));
const catalogue = createTestCatalogue();

function documentsOf(file: string): unknown[] {
  const documents = parseAllDocuments(readFileSync(`${testdata}/${file}`, 'utf8'));
  return Array.isArray(documents) ? documents.map((one) => one.toJS() as unknown).filter((one) => one !== null) : [];
}

function readSchema(schema: object): z.ZodType {
  return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
}

/** `if`/`then` is beyond zod's reader, so the schemas of steps are looked at one by one. */
const pipeline = readSchema(pipelineJsonSchema());

describe('the JSON Schema of pipelines', () => {
  it('accepts the examples that use every key', () => {
    const documents = ['valid/everything/pipelines/reports.yaml', 'valid/quotes-and-blocks/pipelines/two.yaml'].flatMap(
      documentsOf,
    );
    expect(documents).toHaveLength(3);
    for (const document of documents) expect(pipeline.safeParse(document).error?.issues ?? []).toEqual([]);
  });

  it.each([
    'key-unknown',
    'duration-number',
    'duration-unknown-unit',
    'steps-empty',
    'schedule-overlap-unknown',
    'id-upper-case',
    'cron-number',
  ])('refuses %s', (name) => {
    for (const document of documentsOf(`invalid/${name}.yaml`))
      expect(pipeline.safeParse(document).success).toBe(false);
  });

  it('is draft-07 without an id that hides it behind a reference', () => {
    expect(pipelineJsonSchema()).toMatchObject({
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'object',
      required: ['id', 'steps'],
    });
  });

  it('gives each step type its own `with`, in which any value may be an expression', () => {
    const schema = pipelineJsonSchema(catalogue) as unknown as {
      definitions: Record<string, object>;
      properties: Record<string, { items: { allOf: unknown[]; properties: { uses: object } } }>;
    };
    expect(schema.properties.steps?.items.properties.uses).toMatchObject({
      enum: ['test.echo', 'test.list', 'test.copy', 'test.script', 'test.free'],
    });
    expect(schema.properties.finally?.items.allOf).toContainEqual({
      if: { properties: { uses: { const: 'test.copy' } } },
      // biome-ignore lint/suspicious/noThenProperty: `then` is a keyword of JSON Schema.
      then: { properties: { with: { $ref: '#/definitions/test.copy' } } },
    });
    const copy = readSchema(schema.definitions['test.copy'] ?? {});
    const expression = ['$', '{{ steps.list.output.files }}'].join('');
    expect(copy.safeParse({ files: expression, to: 'x', mode: expression }).success).toBe(true);
    expect(copy.safeParse({ files: [{ path: 'p' }], to: 'x' }).success).toBe(true);
    expect(copy.safeParse({ files: 'plain text', to: 'x' }).success).toBe(false);
    expect(copy.safeParse({ files: [], to: 'x', mode: 'some' }).success).toBe(false);
    expect(copy.safeParse({ to: 'x' }).success).toBe(false);
  });

  it('is not changed by the catalogue that it is once asked with', () => {
    const before = JSON.stringify(pipelineJsonSchema());
    pipelineJsonSchema(catalogue);
    expect(JSON.stringify(pipelineJsonSchema())).toBe(before);
  });
});

describe('the JSON Schema of settings', () => {
  it('accepts the example that uses every key and refuses an unknown one', () => {
    const settings = readSchema(settingsJsonSchema());
    const [example] = documentsOf('valid/everything/cronwright.yaml');
    expect(settings.safeParse(example).error?.issues ?? []).toEqual([]);
    expect(settings.safeParse({ prot: 1 }).success).toBe(false);
  });
});
