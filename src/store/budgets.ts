// Holds money before it is spent: a reservation is given only while every budget that it counts for has room, however many ask.
import { type Database, type Queryable, RollBack, statement } from '../db/database.ts';
import type { CostPlace, Spent } from './cost-place.ts';
import { type CostSums, readCostSums, sumsFromRow, type TotalRow } from './cost-totals.ts';
import { dollars, monthKey, runKey, unitsJson } from './costs.ts';

export interface Limits {
  /** US dollars; undefined: there is no such budget. */
  perRun?: number | undefined;
  perMonth?: number | undefined;
}

export interface Reservation {
  /** Made by the caller: sent twice, it is held once. */
  id: string;
  by: CostPlace;
  /** The estimate. */
  spent: Spent;
  limits: Limits;
  /** `YYYY-MM` in UTC. */
  month: string;
  /** People let it go beyond what is left: the nth time for this step or item. */
  granted?: { n: number; by: string | null };
}

/** `exceeded`: the budgets without room, as they stand; never empty. */
export type Reserved = { ok: true; id: string; sums: CostSums[] } | { ok: false; exceeded: CostSums[] };

const hold = statement(
  'hold_cost',
  `insert into cronwright.costs (id, tenant, pipeline, run_id, whole_id, step, item, attempt, token, what, provider, model,
    prompt_hash, prompt_tokens, completion_tokens, cached_tokens, units, state, held_usd, usd, month, at)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0, $14::jsonb, 'held', $15::numeric(18, 6),
    $15::numeric(18, 6), $16, coalesce($17::timestamptz, now()))
  on conflict (id) do nothing
  returning id`,
);

// The condition and the sum are one write of the row: of many at a limit, none passes it. With `$5` people have decided, and the
// limit moves by what is missing.
const reserve = statement(
  'reserve_cost',
  `update cronwright.cost_totals t
  set held = t.held + $4::numeric(18, 6), limit_usd = b.limit_usd,
    extra = t.extra + case when $5::bool
      then coalesce(greatest(0, t.spent + t.held + t.unknown + $4::numeric(18, 6) - b.limit_usd - t.extra), 0) else 0 end
  from unnest($2::text[], $3::numeric[]) as b(key, limit_usd)
  where t.tenant = $1 and t.key = b.key
    and (b.limit_usd is null or $5::bool or t.spent + t.held + t.unknown + $4::numeric(18, 6) <= b.limit_usd + t.extra)
  returning t.key, t.spent, t.held, t.unknown, t.extra, t.limit_usd, t.warned_at`,
);

const open = statement(
  'open_cost_sums',
  `insert into cronwright.cost_totals (tenant, key, run_id, spent, held, unknown, extra, prompt_tokens, completion_tokens,
    cached_tokens)
  select $1, u.key, u.run_id, 0, 0, 0, 0, 0, 0, 0 from unnest($2::text[], $3::uuid[]) as u(key, run_id)
  on conflict (tenant, key) do nothing
  returning key`,
  { idempotent: true },
);

const grant = statement(
  'note_budget_grant',
  `insert into cronwright.budget_grants (run_id, step, item, n, tenant, cost_id, usd, granted_by, at)
  values ($1, $2, $3, $4, $5, $6, $7::numeric(18, 6), $8, coalesce($9::timestamptz, now()))
  on conflict (run_id, step, item, n) do nothing
  returning n`,
);

const countGrants = statement(
  'count_budget_grants',
  'select count(*)::int4 as n from cronwright.budget_grants where run_id = $1 and step = $2 and item = $3',
);

/** No room, or no row to hold it in: the transaction leaves nothing behind. */
class NoRoom extends RollBack {}

/** A row that appears or has room again meanwhile is no refusal; so often it is looked at again. */
const mostLooks = 20;

export async function reserveCost(db: Database, wanted: Reservation, now: Date | null = null): Promise<Reserved> {
  const { by, limits, month } = wanted;
  const keys = [runKey(by.wholeId), monthKey(month)];
  for (let look = 0; ; look += 1) {
    try {
      const sums = await db.transaction((tx) => holdIn(tx, wanted, keys, now), { idempotent: true });
      return { ok: true, id: wanted.id, sums };
    } catch (error) {
      if (!(error instanceof NoRoom) || look >= mostLooks) throw error;
    }
    await db.query(open, [by.tenant, keys, [by.wholeId, null]]);
    const sums = await readCostSums(db, by.tenant, keys);
    const exceeded = sums.flatMap((one) => {
      const limitUsd = one.key === keys[0] ? limits.perRun : limits.perMonth;
      if (limitUsd === undefined) return [];
      return isBeyond(one, limitUsd, wanted.spent.usd) ? [{ ...one, limitUsd }] : [];
    });
    if (exceeded.length > 0) return { ok: false, exceeded };
  }
}

/** How often people have let this step or item go beyond a budget. */
export async function countBudgetGrants(
  db: Queryable,
  { runId, step, item }: Pick<CostPlace, 'runId' | 'step' | 'item'>,
): Promise<number> {
  return (await db.query<{ n: number }>(countGrants, [runId, step, item])).rows[0]?.n ?? 0;
}

/** In millionths, as the database counts. */
function isBeyond({ spentUsd, heldUsd, unknownUsd, extraUsd }: CostSums, limitUsd: number, usd: number): boolean {
  const micros = (value: number) => Math.round(value * 1e6);
  return micros(spentUsd + heldUsd + unknownUsd + usd) > micros(limitUsd + extraUsd);
}

async function holdIn(
  tx: Queryable,
  { id, by, spent, limits, month, granted }: Reservation,
  keys: readonly string[],
  now: Date | null,
): Promise<CostSums[]> {
  const { count } = await tx.query(hold, [
    ...[id, by.tenant, by.pipeline, by.runId, by.wholeId, by.step, by.item, by.attempt, by.token, spent.what],
    ...[spent.llm?.provider ?? null, spent.llm?.model ?? null, spent.llm?.promptHash ?? null],
    ...[unitsJson(spent), dollars(spent.usd), month, now],
  ]);
  // It is held already: the answer that said so was lost.
  if (count === 0) return [];
  const isGranted = granted !== undefined && (await noteGrant(tx, { id, by, spent, granted }, now));
  const limit = [limits.perRun, limits.perMonth].map((usd) => (usd === undefined ? null : dollars(usd)));
  const { rows } = await tx.query<TotalRow>(reserve, [by.tenant, keys, limit, dollars(spent.usd), isGranted]);
  if (rows.length < keys.length) throw new NoRoom('a budget has no room');
  return rows.map(sumsFromRow);
}

/** False where the same answer has let another reservation through. */
async function noteGrant(
  tx: Queryable,
  { id, by, spent, granted }: Pick<Reservation, 'id' | 'by' | 'spent'> & { granted: { n: number; by: string | null } },
  now: Date | null,
): Promise<boolean> {
  const params = [by.runId, by.step, by.item, granted.n, by.tenant, id, dollars(spent.usd), granted.by, now];
  return (await tx.query(grant, params)).count > 0;
}
