// Claim: a node takes calls out of the outbox whose time has come.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';

export interface OutboxCall {
  id: string;
  tenant: string;
  runId: string | null;
  pipeline: string;
  step: string;
  stepType: string;
  input: Json;
  /** How many failed runs it stands for; null where it stands for itself. */
  sumOf: number | null;
  /** This one included. */
  attempts: number;
  token: number;
  createdAt: Date;
}

// At most one node makes a call while next_at > now: the claim moves it by the lease, and the token fences the outcome.
const claim = statement(
  'claim_outbox',
  `with due as (
    select id from cronwright.outbox
    where next_at <= coalesce($1::timestamptz, now()) and step_type = any($2::text[])
    order by next_at nulls last
    limit $3
    for update skip locked
  )
  update cronwright.outbox
  set token = token + 1, attempts = attempts + 1,
    next_at = coalesce($1::timestamptz, now()) + $4::int8 * interval '1 millisecond'
  where id = any(array(select id from due)) and next_at <= coalesce($1::timestamptz, now())
  returning id, tenant, run_id, pipeline, step, step_type, input, sum_of, attempts, token, created_at`,
);

const nextDue = statement(
  'next_outbox_due',
  `select (extract(epoch from (min(next_at) - coalesce($1::timestamptz, now()))) * 1000)::float8 as wait_ms
  from cronwright.outbox where next_at is not null and step_type = any($2::text[])`,
);

/** Only calls of step types that this node has; the others wait for a node that has them. */
export async function claimOutbox(
  db: Queryable,
  options: { stepTypes: readonly string[]; limit: number; leaseMs: number; now?: Date | null },
): Promise<OutboxCall[]> {
  const { rows } = await db.query<{
    id: string;
    tenant: string;
    run_id: string | null;
    pipeline: string;
    step: string;
    step_type: string;
    input: Json;
    sum_of: number | null;
    attempts: number;
    token: number;
    created_at: Date;
  }>(claim, [options.now ?? null, options.stepTypes, options.limit, options.leaseMs]);
  return rows.map((row) => ({
    id: row.id,
    tenant: row.tenant,
    runId: row.run_id,
    pipeline: row.pipeline,
    step: row.step,
    stepType: row.step_type,
    input: row.input,
    sumOf: row.sum_of,
    attempts: row.attempts,
    token: row.token,
    createdAt: row.created_at,
  }));
}

/** Milliseconds until the next call is due (negative: overdue); undefined where none waits. */
export async function nextOutboxMs(
  db: Queryable,
  stepTypes: readonly string[],
  now: Date | null = null,
): Promise<number | undefined> {
  const { rows } = await db.query<{ wait_ms: number | null }>(nextDue, [now, stepTypes]);
  return rows[0]?.wait_ms ?? undefined;
}
