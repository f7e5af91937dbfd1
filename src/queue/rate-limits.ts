// Which peers asked for quiet, and until when: all runs of a tenant that use the same key wait together.
import { type Queryable, statement } from '../db/database.ts';

export interface RateLimit {
  tenant: string;
  key: string;
  since: Date;
  until: Date;
  reason: string;
  /** The run that was told. */
  runId: string;
}

// Of two answers the later end holds; the beginning stays while the quiet goes on.
const close = statement(
  'close_rate_limit',
  `insert into cronwright.rate_limits (tenant, key, since, until, reason, run_id, set_by)
  values ($1, $2, $3, $4, $5, $6, $7)
  on conflict (tenant, key) do update
  set since = case when rate_limits.until >= excluded.since then rate_limits.since else excluded.since end,
    until = excluded.until, reason = excluded.reason, run_id = excluded.run_id, set_by = excluded.set_by
  where excluded.until > rate_limits.until`,
  { idempotent: true },
);

const read = statement(
  'read_rate_limit',
  'select since, until, reason, run_id from cronwright.rate_limits where tenant = $1 and key = $2',
  { idempotent: true },
);

const forget = statement(
  'forget_rate_limits',
  "delete from cronwright.rate_limits where until < $1::timestamptz - interval '1 day'",
);

export async function closeRateLimit(db: Queryable, limit: RateLimit, node: string): Promise<void> {
  const { tenant, key, since, until, reason, runId } = limit;
  await db.query(close, [tenant, key, since, until, reason, runId, node]);
  await db.query(forget, [since]);
}

export async function readRateLimit(db: Queryable, tenant: string, key: string): Promise<RateLimit | undefined> {
  const { rows } = await db.query<{ since: Date; until: Date; reason: string; run_id: string }>(read, [tenant, key]);
  const row = rows[0];
  return row && { tenant, key, since: row.since, until: row.until, reason: row.reason, runId: row.run_id };
}
