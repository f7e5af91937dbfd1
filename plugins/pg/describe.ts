// Step pg.describe: all that the catalogue knows of one object, and what it is connected with.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { type CatalogObject, catalogObject } from './catalog-object.ts';
import { findObject, type ListedObject, listObjects } from './list-objects.ts';
import { readFunctions } from './read-functions.ts';
import { parameter, readParameters, readRelated, related } from './read-related.ts';
import { readRelations } from './read-relations.ts';

const input = z.strictObject({
  connection: z.string().min(1).describe('A connection from the configuration; `self` is Cronwright’s own database.'),
  id: z
    .string()
    .min(1)
    .max(500)
    .describe('`schema.name`, of functions `schema.name(types)`; where only one has it, a bare name.'),
});

const describedObject = catalogObject.extend({
  id: z.string(),
  parameters: z.array(parameter).describe('Of functions.'),
  related: z.array(related).describe('What it refers to and reads, and what refers to it and reads it.'),
});

const output = z.object({
  id: z.string().describe('Where there is no such object: as it was asked for.'),
  name: z.string(),
  found: z.boolean(),
  problem: z.string().nullable().describe('Why there is no object.'),
  object: describedObject.nullable(),
});

export const describe = defineStep({
  description: 'Describes one object of a PostgreSQL database.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { connection, id }) {
    const sql = await ctx.sql(connection, { readOnly: true });
    const found = findObject(await listObjects(sql, {}, [id]), id);
    if ('problem' in found) {
      ctx.log.warn(found.problem);
      return { id, name: id, found: false, problem: found.problem, object: null };
    }
    const { object } = found;
    const [described] = await (isRoutine(object) ? readFunctions : readRelations)(sql, { oid: object.oid });
    if (described === undefined) {
      return { id, name: object.name, found: false, problem: `"${id}" has just been dropped`, object: null };
    }
    const parameters = isRoutine(object) ? await readParameters(sql, object.oid) : [];
    const whole = { id: object.id, ...described, parameters, related: await readRelated(sql, object.oid) };
    return { id: object.id, name: object.name, found: true, problem: null, object: whole };
  },
});

function isRoutine({ kind }: ListedObject | CatalogObject): boolean {
  return kind === 'function' || kind === 'procedure';
}
