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
  usd_per_object: z.number().nonnegative().default(0.05).describe('What an object is expected to cost, the low end.'),
});

const output = z.object({
  mode: z.enum(['skip_existing', 'regenerate_all']),
  total: z.int(),
  todo: z.array(object).describe('In the order of `objects`.'),
  skipped: z.array(object),
  estimate: z.object({
    usd: z.number(),
    usd_high: z.number().describe('Twice that.'),
    shown: z.string().describe('`$0.15 - $0.30`.'),
  }),
});

export const pending = defineStep({
  description: 'Splits objects into those to document and those that are documented.',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { store, objects, mode, usd_per_object: usdPerObject }) {
    const all = objects.map(({ id, name }) => ({ id, name }));
    const documented = mode === 'regenerate_all' ? new Set<string>() : await findDocumented(ctx, store, all);
    const isDocumented = ({ id }: { id: string }) => documented.has(id);
    const todo = all.filter((one) => !isDocumented(one));
    const estimate = estimateOf(todo.length, usdPerObject);
    await ctx.cost.expect(estimate.usd);
    return { mode, total: all.length, todo, skipped: all.filter(isDocumented), estimate };
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

function estimateOf(count: number, usdPerObject: number) {
  // To the millionth, as money is kept.
  const usd = Math.round(count * usdPerObject * 1e6) / 1e6;
  return { usd, usd_high: usd * 2, shown: `$${usd.toFixed(2)} - $${(usd * 2).toFixed(2)}` };
}
