// Answers of models by the hash of what decides them: an equal request is answered from here, at no cost.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';

export interface LlmResponse {
  text: string;
  /** What a schema asked for; null without one. */
  data: Json;
  provider: string;
  model: string;
  promptTokens: number;
  completionTokens: number;
  cachedTokens: number;
  /** What it cost when it was made, US dollars. */
  usd: number;
}

/** Answers a tenant may have; the oldest go first. */
const mostOfTenant = 10_000;
const batch = 1_000;

const find = statement(
  'find_llm_response',
  `select response from cronwright.llm_responses
  where tenant = $1 and hash = $2 and expires_at > coalesce($3::timestamptz, now())`,
);

const keep = statement(
  'keep_llm_response',
  `insert into cronwright.llm_responses (tenant, hash, response, run_id, step, created_at, expires_at)
  values ($1, $2, $3::jsonb, $4, $5, coalesce($7::timestamptz, now()),
    coalesce($7::timestamptz, now()) + $6::int8 * interval '1 millisecond')
  on conflict (tenant, hash) do update
  set response = excluded.response, run_id = excluded.run_id, step = excluded.step, created_at = excluded.created_at,
    expires_at = excluded.expires_at`,
  { idempotent: true },
);

const expired = statement(
  'prune_expired_llm_responses',
  `delete from cronwright.llm_responses
  where (tenant, hash) in (
    select tenant, hash from cronwright.llm_responses
    where expires_at <= coalesce($1::timestamptz, now()) order by expires_at limit $2)`,
  { idempotent: true },
);

const surplus = statement(
  'prune_surplus_llm_responses',
  `delete from cronwright.llm_responses
  where (tenant, hash) in (
    select tenant, hash from (
      select tenant, hash, row_number() over (partition by tenant order by created_at desc, hash) as n
      from cronwright.llm_responses
    ) ranked where n > $1::int8 limit $2)`,
  { idempotent: true },
);

/** Undefined where nothing equal was asked before, or too long ago. */
export async function findLlmResponse(
  db: Queryable,
  tenant: string,
  hash: string,
  now: Date | null = null,
): Promise<LlmResponse | undefined> {
  return (await db.query<{ response: LlmResponse }>(find, [tenant, hash, now])).rows[0]?.response;
}

export async function keepLlmResponse(
  tx: Queryable,
  by: { tenant: string; runId: string; step: string },
  kept: { hash: string; response: LlmResponse; ttlMs: number },
  now: Date | null = null,
): Promise<void> {
  const response = JSON.stringify(kept.response);
  await tx.query(keep, [by.tenant, kept.hash, response, by.runId, by.step, kept.ttlMs, now]);
}

/** One pass; true where there may be more. */
export async function pruneLlmResponses(
  db: Queryable,
  now: Date | null = null,
  keepOfTenant: number = mostOfTenant,
): Promise<boolean> {
  const old = await db.query(expired, [now, batch]);
  const tooMany = await db.query(surplus, [keepOfTenant, batch]);
  return old.count >= batch || tooMany.count >= batch;
}
