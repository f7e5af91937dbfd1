// Sums over the ledger: by tenant, month, pipeline, run, step, attempt, or by what it was spent on.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';

export const costGroups = ['tenant', 'month', 'pipeline', 'run', 'step', 'attempt', 'what'] as const;
export type CostGroup = (typeof costGroups)[number];

export const costSumView = z
  .object({
    key: z
      .string()
      .describe('tenant; YYYY-MM; pipeline; run; pipeline/step; run/step/item/attempt; what it was spent on'),
    usd: z.number().describe('US dollars: what was spent, and the estimates of what nobody knows'),
    held_usd: z.number(),
    unknown_usd: z.number(),
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    cached_tokens: z.int(),
    total_tokens: z.int(),
    runs: z.int(),
    entries: z.int().describe('rows of the ledger'),
  })
  .meta({ id: 'CostSum' });

export type CostSumView = z.infer<typeof costSumView>;

export const costSums = z
  .object({
    group: z.enum(costGroups),
    items: z.array(costSumView).describe('the dearest first'),
    total: costSumView.omit({ key: true }),
  })
  .meta({ id: 'CostSums' });

export type CostSums = z.infer<typeof costSums>;

const sums = `coalesce(sum(c.usd) filter (where c.state <> 'held'), 0)::float8 as usd,
    coalesce(sum(c.usd) filter (where c.state = 'held'), 0)::float8 as held_usd,
    coalesce(sum(c.usd) filter (where c.state = 'unknown'), 0)::float8 as unknown_usd,
    coalesce(sum(c.prompt_tokens), 0)::int8 as prompt_tokens,
    coalesce(sum(c.completion_tokens), 0)::int8 as completion_tokens,
    coalesce(sum(c.cached_tokens), 0)::int8 as cached_tokens,
    coalesce(sum(c.prompt_tokens + c.completion_tokens), 0)::int8 as total_tokens,
    count(distinct c.whole_id)::int8 as runs, count(*)::int8 as entries`;

const within = `($1::text is null or c.tenant = $1) and ($2::text is null or c.pipeline = $2)
    and c.at >= coalesce($3::timestamptz, date_trunc('month', now(), 'UTC'))
    and ($4::timestamptz is null or c.at < $4::timestamptz)`;

const byGroup = statement(
  'sum_costs',
  `select case $5::text
      when 'tenant' then c.tenant
      when 'month' then c.month
      when 'pipeline' then c.pipeline
      when 'run' then c.whole_id::text
      when 'step' then concat(c.pipeline, '/', c.step)
      when 'attempt' then concat(c.whole_id::text, '/', c.step, '/', c.item::text, '/', c.attempt::text)
      else c.what end as key, ${sums}
  from cronwright.costs c where ${within}
  group by 1
  order by 2 desc, 1
  limit $6`,
);

const whole = statement('sum_all_costs', `select ${sums} from cronwright.costs c where ${within}`);

/** Without `from`: since the month began, in UTC. */
export async function sumCosts(
  db: Queryable,
  filter: {
    tenant: string | null;
    pipeline?: string | undefined;
    from?: Date | undefined;
    to?: Date | undefined;
    group: CostGroup;
    limit: number;
  },
): Promise<CostSums> {
  const range = [filter.tenant, filter.pipeline ?? null, filter.from ?? null, filter.to ?? null];
  const [{ rows: items }, { rows }] = await Promise.all([
    db.query<CostSumView>(byGroup, [...range, filter.group, filter.limit]),
    db.query<Omit<CostSumView, 'key'>>(whole, range),
  ]);
  return { group: filter.group, items, total: rows[0] as Omit<CostSumView, 'key'> };
}
