// The ledger: notes what attempts spend, once each, and keeps the sums that budgets are held to in the same transaction.
import type { Database, Queryable } from '../db/database.ts';
import { statement } from '../db/database.ts';
import type { CostPlace, Spent } from './cost-place.ts';
import { type CostSums, sumsFromRow, type TotalRow } from './cost-totals.ts';

/** UTC. */
export function monthOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7);
}

export const runKey = (runId: string) => `run:${runId}`;
export const monthKey = (month: string) => `month:${month}`;

const place = `id, tenant, pipeline, run_id, whole_id, step, item, attempt, token, what, provider, model, prompt_hash,
    prompt_tokens, completion_tokens, cached_tokens, units, state, held_usd, usd, month, at, settled_at`;

// Whoever spends writes it down, also one who has lost the run meanwhile: money that is gone is gone.
const add = statement(
  'add_cost',
  `insert into cronwright.costs (${place})
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::jsonb, 'spent', null,
    $18::numeric(18, 6), $19, coalesce($20::timestamptz, now()), coalesce($20::timestamptz, now()))
  on conflict (id) do nothing
  returning id`,
);

const addSums = statement(
  'add_cost_sums',
  `insert into cronwright.cost_totals as t (tenant, key, run_id, spent, held, unknown, extra, prompt_tokens,
    completion_tokens, cached_tokens)
  select $1, u.key, u.run_id, $4::numeric(18, 6), 0, 0, 0, $5::int8, $6::int8, $7::int8
  from unnest($2::text[], $3::uuid[]) as u(key, run_id)
  on conflict (tenant, key) do update
  set spent = t.spent + excluded.spent, prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = t.completion_tokens + excluded.completion_tokens,
    cached_tokens = t.cached_tokens + excluded.cached_tokens
  returning t.key, t.spent, t.held, t.unknown, t.extra, t.limit_usd, t.warned_at`,
);

// One that was given up as unknown is settled all the same, where its attempt has a word to say after all.
const settle = statement(
  'settle_cost',
  `update cronwright.costs
  set state = 'spent', what = $4, provider = coalesce($5, provider), model = coalesce($6, model),
    prompt_hash = coalesce($7, prompt_hash), prompt_tokens = $8, completion_tokens = $9, cached_tokens = $10,
    units = $11::jsonb, usd = $12::numeric(18, 6), settled_at = coalesce($13::timestamptz, now())
  where id = $1 and tenant = $2 and state = $3
  returning tenant, whole_id, month, held_usd`,
);

const release = statement(
  'release_cost',
  `delete from cronwright.costs where id = $1 and tenant = $2 and state in ('held', 'unknown')
  returning tenant, whole_id, month, held_usd, state`,
);

const lose = statement(
  'lose_cost',
  `update cronwright.costs set state = 'unknown', settled_at = coalesce($3::timestamptz, now())
  where id = $1 and tenant = $2 and state = 'held'
  returning tenant, whole_id, month, held_usd`,
);

// The worker that held it is gone, or the attempt is: what is left counts as spent at its estimate, and says that nobody knows.
// An attempt is at work only while its run is, under the token of its claim. One look-up a row of what is held, which is little.
const findLost = statement(
  'find_lost_costs',
  `select c.id, c.tenant
  from (select id, tenant, run_id, step, item, attempt, token from cronwright.costs where state = 'held' offset 0) c
  left join lateral (
    select token, state from cronwright.queue where run_id = c.run_id limit 1
  ) q on true
  left join lateral (
    select attempts from cronwright.step_runs where run_id = c.run_id and step = c.step and item = c.item limit 1
  ) s on true
  where q.token is null or q.token <> c.token or q.state not in ('running', 'rolling_back') or s.attempts > c.attempt
  order by c.id limit $1`,
);

const moveSums = statement(
  'move_cost_sums',
  `update cronwright.cost_totals t
  set held = t.held + $3::numeric(18, 6), unknown = t.unknown + $4::numeric(18, 6), spent = t.spent + $5::numeric(18, 6),
    prompt_tokens = t.prompt_tokens + $6::int8, completion_tokens = t.completion_tokens + $7::int8,
    cached_tokens = t.cached_tokens + $8::int8
  where t.tenant = $1 and t.key = any($2::text[])
  returning t.key, t.spent, t.held, t.unknown, t.extra, t.limit_usd, t.warned_at`,
);

const prune = statement(
  'prune_costs',
  `delete from cronwright.costs
  where id = any(array(
    select id from cronwright.costs
    where at < coalesce($2::timestamptz, now()) - $1::int8 * interval '1 millisecond' and state <> 'held'
    order by at limit $3))`,
  { idempotent: true },
);

const batch = 500;

/** `id` is made by the caller: sent twice, it is noted once. Returns the sums that it changed; empty where it was there. */
export async function addCost(
  db: Database,
  id: string,
  by: CostPlace,
  spent: Spent,
  month: string,
  now: Date | null = null,
): Promise<CostSums[]> {
  return db.transaction((tx) => addCostIn(tx, id, by, spent, month, now), { idempotent: true });
}

export async function addCostIn(
  tx: Queryable,
  id: string,
  by: CostPlace,
  spent: Spent,
  month: string,
  now: Date | null = null,
): Promise<CostSums[]> {
  const tokens = tokensOf(spent);
  const { count } = await tx.query(add, [
    ...[id, by.tenant, by.pipeline, by.runId, by.wholeId, by.step, by.item, by.attempt, by.token, spent.what],
    ...[spent.llm?.provider ?? null, spent.llm?.model ?? null, spent.llm?.promptHash ?? null, ...tokens],
    ...[unitsJson(spent), dollars(spent.usd), month, now],
  ]);
  if (count === 0) return [];
  const { rows } = await tx.query<TotalRow>(addSums, [
    ...[by.tenant, [runKey(by.wholeId), monthKey(month)], [by.wholeId, null], dollars(spent.usd), ...tokens],
  ]);
  return rows.map(sumsFromRow);
}

/**
 * What was really spent takes the place of what was held; undefined: nothing was. Settled twice, the first counts. Returns the sums
 * that it changed.
 */
export async function settleCost(
  db: Database,
  tenant: string,
  id: string,
  actual: Spent | undefined,
  now: Date | null = null,
): Promise<CostSums[]> {
  return db.transaction((tx) => settleCostIn(tx, tenant, id, actual, now), { idempotent: true });
}

interface Settled {
  tenant: string;
  whole_id: string;
  month: string;
  held_usd: string | null;
  state: 'held' | 'unknown';
}

export async function settleCostIn(
  tx: Queryable,
  tenant: string,
  id: string,
  actual: Spent | undefined,
  now: Date | null = null,
): Promise<CostSums[]> {
  const row = actual === undefined ? (await tx.query<Settled>(release, [id, tenant])).rows[0] : undefined;
  if (row !== undefined) return move(tx, row, row.state, undefined);
  if (actual === undefined) return [];
  for (const state of ['held', 'unknown'] as const) {
    const { rows } = await tx.query<Settled>(settle, [
      ...[id, tenant, state, actual.what],
      ...[actual.llm?.provider ?? null, actual.llm?.model ?? null, actual.llm?.promptHash ?? null],
      ...tokensOf(actual),
      ...[unitsJson(actual), dollars(actual.usd), now],
    ]);
    if (rows[0]) return move(tx, rows[0], state, actual);
  }
  return [];
}

/** Nobody knows what became of it: it counts at its estimate from now on. */
export async function loseCost(db: Database, tenant: string, id: string, now: Date | null = null): Promise<boolean> {
  return db.transaction((tx) => loseCostIn(tx, tenant, id, now), { idempotent: true });
}

/** Gives up what attempts hold that are at work no more. Returns how many; one pass. */
export async function loseDeadHolds(db: Database, now: Date | null = null): Promise<number> {
  const { rows } = await db.query<{ id: string; tenant: string }>(findLost, [batch]);
  let lost = 0;
  for (const { id, tenant } of rows) if (await loseCost(db, tenant, id, now)) lost += 1;
  return lost;
}

async function loseCostIn(tx: Queryable, tenant: string, id: string, now: Date | null): Promise<boolean> {
  const row = (await tx.query<Settled>(lose, [id, tenant, now])).rows[0];
  if (!row) return false;
  const held = row.held_usd ?? '0';
  const keys = [runKey(row.whole_id), monthKey(row.month)];
  await tx.query(moveSums, [tenant, keys, `-${held}`, held, '0', 0, 0, 0]);
  return true;
}

async function move(
  tx: Queryable,
  row: Settled,
  from: 'held' | 'unknown',
  actual: Spent | undefined,
): Promise<CostSums[]> {
  const less = `-${row.held_usd ?? '0'}`;
  const { rows } = await tx.query<TotalRow>(moveSums, [
    ...[row.tenant, [runKey(row.whole_id), monthKey(row.month)]],
    ...(from === 'held' ? [less, '0'] : ['0', less]),
    dollars(actual?.usd ?? 0),
    ...(actual === undefined ? [0, 0, 0] : tokensOf(actual)),
  ]);
  return rows.map(sumsFromRow);
}

/** One pass; true where there may be more. What is held stays. */
export async function pruneCosts(db: Database, afterMs: number, now: Date | null = null): Promise<boolean> {
  return (await db.query(prune, [afterMs, now, batch])).count >= batch;
}

/** Prompt, completion and cached, as a model's client counted them, or as units of those names. */
function tokensOf({ llm, units }: Spent): [number, number, number] {
  if (llm !== undefined) return [llm.promptTokens, llm.completionTokens, llm.cachedTokens];
  return [units?.prompt_tokens ?? 0, units?.completion_tokens ?? 0, units?.cached_tokens ?? 0];
}

export function unitsJson({ units }: Spent): string | null {
  return units === undefined ? null : JSON.stringify(units);
}

/** As the database takes it: six digits behind the point. */
export function dollars(usd: number): string {
  return usd.toFixed(6);
}
