// One object of a database as pg.describe tells it: what the documentation of it is made from.
import { z } from 'zod';

const column = z.looseObject({
  name: z.string(),
  type: z.string(),
  nullable: z.boolean(),
  default: z.string().nullable(),
  comment: z.string().nullable(),
});

export const databaseObject = z.looseObject({
  id: z.string().min(1),
  schema: z.string(),
  name: z.string(),
  kind: z.string(),
  comment: z.string().nullable(),
  columns: z.array(column),
  primary_key: z.array(z.string()),
  foreign_keys: z.array(z.looseObject({ columns: z.array(z.string()), references: z.string() })),
  definition: z.string().nullable(),
  language: z.string().nullable(),
  returns: z.string().nullable(),
  parameters: z.array(z.looseObject({ name: z.string().nullable(), type: z.string(), mode: z.string() })),
  related: z.array(z.looseObject({ how: z.string(), id: z.string(), by: z.string().nullable() })),
});

export type DatabaseObject = z.infer<typeof databaseObject>;

/** The output of pg.describe, also of an object that is not there. */
export const describedObject = z.looseObject({
  id: z.string().min(1),
  name: z.string(),
  problem: z.string().nullable(),
  object: databaseObject.nullable(),
});

/** In words: `materialised view`. */
export function kindWords(kind: string): string {
  return kind === 'materialized_view' ? 'materialised view' : kind.replaceAll('_', ' ');
}
