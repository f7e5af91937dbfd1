// One object of a database as pg.catalog tells it.
import type { Json } from 'cronwright/plugin';
import { z } from 'zod';

export const kinds = [
  'table',
  'partitioned_table',
  'foreign_table',
  'view',
  'materialized_view',
  'function',
  'procedure',
] as const;

export type Kind = (typeof kinds)[number];

/** `relkind` of pg_class. */
export const kindOfRelation: Readonly<Record<string, Kind>> = {
  r: 'table',
  p: 'partitioned_table',
  f: 'foreign_table',
  v: 'view',
  m: 'materialized_view',
};

const column = z.object({
  name: z.string(),
  type: z.string(),
  nullable: z.boolean(),
  default: z.string().nullable(),
  comment: z.string().nullable(),
});

export const catalogObject = z.object({
  schema: z.string(),
  name: z.string(),
  kind: z.enum(kinds),
  comment: z.string().nullable(),
  estimated_rows: z.number().nullable().describe('By the planner’s statistics; null where it has none.'),
  columns: z.array(column),
  primary_key: z.array(z.string()),
  foreign_keys: z.array(z.object({ name: z.string(), columns: z.array(z.string()), references: z.string() })),
  constraints: z.array(z.object({ name: z.string(), definition: z.string() })).describe('Unique, check and exclusion.'),
  indexes: z.array(z.object({ name: z.string(), unique: z.boolean(), definition: z.string() })),
  definition: z.string().nullable().describe('Of views and functions.'),
  arguments: z.string().nullable(),
  returns: z.string().nullable(),
  language: z.string().nullable(),
});

export type CatalogObject = z.infer<typeof catalogObject>;

/** The schemas that no user has made. */
export const systemSchemas = ['pg_catalog', 'pg_toast', 'information_schema', 'crdb_internal', 'pg_extension'] as const;

/** What is looked at. */
export interface Extent {
  /** Undefined: all but the system's. */
  schemas?: readonly string[] | undefined;
  /** Of one object; undefined: all of the schemas. */
  oid?: number | undefined;
}

/** The parameters of every query that uses `inSchemas`. */
export function paramsOf({ schemas, oid }: Extent): Json[] {
  return [schemas ? [...schemas] : null, [...systemSchemas], oid ?? null];
}

/** `$1`: the schemas asked for, or null; `$2`: those of the system. */
export const inSchemas = `(case when $1::text[] is null
    then n.nspname <> all($2::text[]) and n.nspname not like 'pg\\_temp\\_%' and n.nspname not like 'pg\\_toast\\_temp\\_%'
    else n.nspname = any($1::text[]) end)`;
