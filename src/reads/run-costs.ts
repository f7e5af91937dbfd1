// What runs have cost: of one run its sums and every row of its ledger.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { isUuid, packCursor, unpackIdCursor } from './cursor.ts';
import { requireRun } from './get-run.ts';
import { anyJson, instant, maybeInstant, type Page } from './view-fields.ts';

export const costEntryView = z
  .object({
    id: z.uuid(),
    run_id: z.uuid().describe('the run that spent it: another one, where a part of the run did'),
    step: z.string(),
    item: z.int().describe('-1: not of an item'),
    attempt: z.int(),
    what: z.string(),
    provider: z.string().nullable(),
    model: z.string().nullable(),
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    cached_tokens: z.int(),
    units: anyJson.describe('whole numbers by unit'),
    state: z
      .enum(['held', 'spent', 'unknown'])
      .describe('held: reserved; unknown: the attempt ended without a word, and it counts at its estimate'),
    held_usd: z.number().nullable().describe('what was reserved'),
    usd: z.number().describe('what counts'),
    at: instant,
    settled_at: maybeInstant,
  })
  .meta({ id: 'Cost' });

export type CostEntryView = z.infer<typeof costEntryView>;

const list = statement(
  'list_run_costs',
  `select id, run_id, step, item, attempt, what, provider, model, prompt_tokens, completion_tokens, cached_tokens, units,
    state, held_usd::float8 as held_usd, usd::float8 as usd, at, settled_at
  from cronwright.costs
  where whole_id = $1 and ($2::uuid is null or id > $2) order by id limit $3`,
);

/** In the order they were made. Throws `not_found`. */
export async function runCosts(
  db: Queryable,
  tenant: string | null,
  id: string,
  options: { cursor?: string | undefined; limit: number },
): Promise<Page<CostEntryView>> {
  if (isUuid(id)) await requireCosts(db, tenant, id);
  else await requireRun(db, tenant, id);
  const { rows } = await db.query<CostEntryView>(list, [id, unpackIdCursor(options.cursor), options.limit + 1]);
  const items = rows.slice(0, options.limit);
  return { items, next_cursor: rows.length > items.length ? packCursor([items.at(-1)?.id ?? '']) : null };
}

const any = statement(
  'find_run_cost',
  'select id from cronwright.costs where whole_id = $1 and ($2::text is null or tenant = $2) limit 1',
);

/** The ledger outlives its runs. */
async function requireCosts(db: Queryable, tenant: string | null, id: string): Promise<void> {
  if ((await db.query(any, [id, tenant])).rows.length === 0) await requireRun(db, tenant, id);
}
