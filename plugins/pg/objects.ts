// Step pg.objects: ids, names and kinds of the objects of a database, of all or of those that are asked for.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { kinds } from './catalog-object.ts';
import { requireAtMost, requireSchemas } from './check-extent.ts';
import { findObject, type ListedObject, listObjects } from './list-objects.ts';

const input = z.strictObject({
  connection: z.string().min(1).describe('A connection from the configuration; `self` is Cronwright’s own database.'),
  ids: z
    .array(z.string().min(1).max(500))
    .max(10_000)
    .default([])
    .describe(
      '`schema.name`, of functions `schema.name(types)`; where only one has it, a bare name. Empty: all there are.',
    ),
  schemas: z.array(z.string().min(1)).min(1).optional().describe('Default: all but those of the system.'),
  kinds: z
    .array(z.enum(kinds))
    .min(1)
    .optional()
    .describe('Default: all. Objects that are asked for by id are not left out.'),
  max_objects: z.int().min(1).max(10_000).default(1_000).describe('More are an error: narrow schemas or kinds.'),
});

const output = z.object({
  objects: z
    .array(
      z.object({
        id: z.string(),
        schema: z.string().nullable(),
        name: z.string(),
        kind: z.enum(kinds).nullable().describe('Null: there is no such object.'),
        comment: z.string().nullable(),
      }),
    )
    .describe('In the order of `ids`, each once; else by schema, kind and id.'),
  missing: z.array(z.string()).describe('Ids that lead to no object; they are among `objects`, too.'),
});

export const objects = defineStep({
  description: 'Lists the objects of a PostgreSQL database.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    const sql = await ctx.sql(given.connection, { readOnly: true });
    const isAsked = given.ids.length > 0;
    const listed = await listObjects(sql, { schemas: given.schemas }, isAsked ? given.ids : undefined);
    if (!isAsked) requireSchemas(given.schemas, new Set(listed.map(({ schema }) => schema)));
    const found = isAsked
      ? inOrderOf(given.ids, listed)
      : listed.filter(({ kind }) => given.kinds === undefined || given.kinds.includes(kind)).map(toOutput);
    requireAtMost(found.length, given.max_objects);
    const missing = found.filter(({ kind }) => kind === null).map(({ id }) => id);
    if (missing.length > 0) ctx.log.warn(`there are no objects ${missing.join(', ')}`);
    return { objects: found, missing };
  },
});

type OutputObject = Omit<ListedObject, 'oid' | 'schema' | 'kind'> & {
  schema: string | null;
  kind: ListedObject['kind'] | null;
};

/** One that is not there stays in the list: whoever asked for it is told so by the step that reads it. */
function inOrderOf(ids: readonly string[], listed: readonly ListedObject[]): OutputObject[] {
  const byId = new Map<string, OutputObject>();
  for (const id of ids) {
    const found = findObject(listed, id);
    const object =
      'object' in found ? toOutput(found.object) : { id, schema: null, name: id, kind: null, comment: null };
    byId.set(object.id, object);
  }
  return [...byId.values()];
}

function toOutput({ oid: _oid, ...object }: ListedObject): OutputObject {
  return object;
}
