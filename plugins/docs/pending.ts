// Step docs.pending: which objects are still to be documented, and which are left out because they are.
import { defineStep, type StepContext } from 'cronwright/plugin';
import { z } from 'zod';
import { documentedIds, storePlace } from './document-store.ts';

const object = z.object({ id: z.string().min(1).max(500), name: z.string() });

const input = z.strictObject({
  store: storePlace,
  objects: z.array(z.looseObject(object.shape)).max(10_000).describe('As pg.objects gives them.'),
  mode: z
    .enum(['skip_existing', 'regenerate_all'])
    .default('skip_existing')
    .describe('Whether objects that have a document are left out, or documented again.'),
});

const output = z.object({
  mode: z.enum(['skip_existing', 'regenerate_all']),
  total: z.int(),
  todo: z.array(object).describe('In the order of `objects`.'),
  skipped: z.array(object),
});

export const pending = defineStep({
  description: 'Splits objects into those to document and those that are documented.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { store, objects, mode }) {
    const all = objects.map(({ id, name }) => ({ id, name }));
    const documented = mode === 'regenerate_all' ? new Set<string>() : await findDocumented(ctx, store, all);
    const isDocumented = ({ id }: { id: string }) => documented.has(id);
    const todo = all.filter((one) => !isDocumented(one));
    return { mode, total: all.length, todo, skipped: all.filter(isDocumented) };
  },
});

async function findDocumented(
  ctx: StepContext,
  { connection, table }: z.output<typeof storePlace>,
  objects: readonly { id: string }[],
): Promise<Set<string>> {
  const sql = await ctx.sql(connection, { readOnly: true });
  const ids = objects.map(({ id }) => id);
  return documentedIds(sql, table, ids);
}
