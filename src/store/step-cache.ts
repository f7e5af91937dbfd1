// Results of steps by key: what a later run takes instead of running the step again.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';

export interface CacheKey {
  tenant: string;
  stepType: string;
  /** The pipeline, or empty where all pipelines of the tenant share. */
  scope: string;
  /** Hash of what the result depends on. */
  key: string;
}

export interface CachedResult {
  output: Json;
  /** Where it comes from. */
  runId: string;
  step: string;
  completedAt: Date;
}

/** Results a tenant may have; the oldest go first. */
const mostOfTenant = 10_000;
const batch = 1_000;

const find = statement(
  'find_cached_result',
  `select output, run_id, step, completed_at from cronwright.step_cache
  where tenant = $1 and step_type = $2 and scope = $3 and key = $4 and expires_at > coalesce($5::timestamptz, now())`,
);

// Only what is on record as completed by this very claim is kept: a worker that was thought dead adds nothing. Of two runs
// that made the same result the later one's stays.
const keep = statement(
  'keep_cached_result',
  `insert into cronwright.step_cache (tenant, step_type, scope, key, run_id, step, item, output, completed_at, expires_at)
  select s.tenant, $5::text, $6::text, $7::text, s.run_id, s.step, s.item, s.output, s.finished_at,
    s.finished_at + $8::int8 * interval '1 millisecond'
  from cronwright.step_runs s
  where s.run_id = $1 and s.step = $2 and s.item = $3 and s.token = $4 and s.state = 'completed'
    and s.finished_at is not null
  on conflict (tenant, step_type, scope, key) do update
  set run_id = excluded.run_id, step = excluded.step, item = excluded.item, output = excluded.output,
    completed_at = excluded.completed_at, expires_at = excluded.expires_at
  where step_cache.completed_at <= excluded.completed_at`,
  { idempotent: true },
);

const remove = statement('remove_cached_results', 'delete from cronwright.step_cache where run_id = any($1::uuid[])', {
  idempotent: true,
});

const expired = statement(
  'prune_expired_results',
  `delete from cronwright.step_cache
  where (tenant, step_type, scope, key) in (
    select tenant, step_type, scope, key from cronwright.step_cache
    where expires_at <= coalesce($1::timestamptz, now()) order by expires_at limit $2)`,
  { idempotent: true },
);

const surplus = statement(
  'prune_surplus_results',
  `delete from cronwright.step_cache
  where (tenant, step_type, scope, key) in (
    select tenant, step_type, scope, key from (
      select tenant, step_type, scope, key,
        row_number() over (partition by tenant order by completed_at desc, step_type, scope, key) as n
      from cronwright.step_cache
    ) ranked where n > $1::int8 limit $2)`,
  { idempotent: true },
);

/** What the key came to, unless it is too old. */
export async function findCachedResult(
  db: Queryable,
  { tenant, stepType, scope, key }: CacheKey,
  now: Date | null = null,
): Promise<CachedResult | undefined> {
  const { rows } = await db.query<{ output: Json; run_id: string; step: string; completed_at: Date }>(find, [
    tenant,
    stepType,
    scope,
    key,
    now,
  ]);
  const [row] = rows;
  return row && { output: row.output, runId: row.run_id, step: row.step, completedAt: row.completed_at };
}

/** Keeps what a step (item -1) or an item has durably come to by the claim with this token; else it does nothing. */
export async function keepCachedResult(
  db: Queryable,
  { stepType, scope, key }: CacheKey,
  from: { runId: string; step: string; item: number; token: number },
  ttlMs: number,
): Promise<void> {
  await db.query(keep, [from.runId, from.step, from.item, from.token, stepType, scope, key, ttlMs]);
}

/** What these runs did is undone: nobody may take it for done. */
export async function removeCacheEntries(tx: Queryable, runIds: readonly string[]): Promise<void> {
  if (runIds.length > 0) await tx.query(remove, [runIds]);
}

/** One pass; true where there may be more. */
export async function pruneStepCache(
  db: Queryable,
  now: Date | null = null,
  keepOfTenant: number = mostOfTenant,
): Promise<boolean> {
  const old = await db.query(expired, [now, batch]);
  const tooMany = await db.query(surplus, [keepOfTenant, batch]);
  return old.count >= batch || tooMany.count >= batch;
}
