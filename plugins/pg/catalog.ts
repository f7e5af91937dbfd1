// Step pg.catalog: the tables, views and functions of a database, with columns, keys, indexes, comments and definitions.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { catalogObject, kinds } from './catalog-object.ts';
import { requireAtMost, requireSchemas } from './check-extent.ts';
import { readFunctions } from './read-functions.ts';
import { readRelations } from './read-relations.ts';

const input = z.strictObject({
  connection: z.string().min(1).describe('A connection from the configuration; `self` is Cronwright’s own database.'),
  schemas: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('Default: all but those of the system (pg_catalog, pg_toast, information_schema, crdb_internal).'),
  kinds: z.array(z.enum(kinds)).min(1).optional().describe('Default: all.'),
  max_objects: z.int().min(1).max(10_000).default(1_000).describe('More are an error: narrow schemas or kinds.'),
});

const output = z.object({
  database: z.string(),
  server: z.string().describe('Its name and version.'),
  objects: z.array(catalogObject).describe('By schema, kind and name.'),
  counts: z.record(z.string(), z.int()).describe('Objects by kind.'),
});

export const catalog = defineStep({
  description: 'Reads the catalogue of a PostgreSQL database.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    const sql = await ctx.sql(given.connection, { readOnly: true });
    const { rows } = await sql.query(
      "select current_database()::text as database, split_part(version(), ' on ', 1) as server",
    );
    ctx.progress({ done: 0, total: 2, message: 'tables and views' });
    const relations = await readRelations(sql, { schemas: given.schemas });
    ctx.progress({ done: 1, total: 2, message: 'functions' });
    const functions = await readFunctions(sql, { schemas: given.schemas });
    const found = [...relations, ...functions];
    requireSchemas(given.schemas, new Set(found.map(({ schema }) => schema)));
    const objects = found.filter(({ kind }) => given.kinds === undefined || given.kinds.includes(kind));
    requireAtMost(objects.length, given.max_objects);
    const counts: Record<string, number> = {};
    for (const { kind } of objects) counts[kind] = (counts[kind] ?? 0) + 1;
    return { database: String(rows[0]?.database), server: String(rows[0]?.server), objects, counts };
  },
});

/** A schema without any object is more likely a slip of the pen than what was meant. */
