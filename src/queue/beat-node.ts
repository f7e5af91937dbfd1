// Heartbeat: one statement a node extends all its leases, raises its counter and brings back requests of people.
import { type Queryable, statement } from '../db/database.ts';
import type { RollbackRequest } from './claim-runs.ts';

export interface LeaseBeat {
  runId: string;
  token: number;
  step: string | null;
  progress: number;
  message: string | null;
  progressAt: Date | null;
}

export interface RunRequest {
  runId: string;
  request: 'pause' | 'cancel';
  by: string | null;
  reason: string | null;
  /** What was done is to be undone, down to a step that is kept (null: all of it). */
  rollback?: RollbackRequest;
}

export interface BeatResult {
  /** Runs whose lease was extended; one that is absent is no longer this node's. */
  kept: Set<string>;
  requests: RunRequest[];
  /** Of runs of which nobody wants anything any more: who withdrew it. */
  withdrawn: Map<string, { actor: string | null; reason: string | null }>;
  databaseNow: Date;
}

const beat = statement(
  'beat_node',
  `with n as (
    update cronwright.nodes set beat = beat + 1, beat_at = coalesce($9::timestamptz, now()) where id = $1
  ), l as (
    update cronwright.queue q
    set lease_until = coalesce($9::timestamptz, now()) + $8::int4 * interval '1 millisecond', step = b.step,
      progress = b.progress, message = b.message, progress_at = b.progress_at
    from unnest($2::uuid[], $3::int8[], $4::text[], $5::int2[], $6::text[], $7::timestamptz[])
      as b(id, token, step, progress, message, progress_at)
    where q.run_id = b.id and q.token = b.token
    returning q.run_id, q.request, q.request_by, q.request_reason, q.request_rollback, q.request_to
  )
  select run_id, request, request_by, request_reason, request_rollback, request_to, clock_timestamp() as database_now from l
  union all
  select null, null, null, null, null, null, clock_timestamp()`,
  // A connection that has died without a word must not cost the node its leases.
  { idempotent: true, timeoutMs: 10_000 },
);

export async function beatNode(
  db: Queryable,
  options: { node: string; leases: readonly LeaseBeat[]; leaseMs: number; now?: Date | null },
): Promise<BeatResult> {
  const { leases } = options;
  const { rows } = await db.query<{
    run_id: string | null;
    request: 'pause' | 'cancel' | null;
    request_by: string | null;
    request_reason: string | null;
    request_rollback: boolean | null;
    request_to: string | null;
    database_now: Date;
  }>(beat, [
    options.node,
    leases.map((lease) => lease.runId),
    leases.map((lease) => lease.token),
    leases.map((lease) => lease.step),
    leases.map((lease) => lease.progress),
    leases.map((lease) => lease.message),
    leases.map((lease) => lease.progressAt),
    options.leaseMs,
    options.now ?? null,
  ]);
  const kept = new Set<string>();
  const requests: RunRequest[] = [];
  const withdrawn: BeatResult['withdrawn'] = new Map();
  let databaseNow = new Date(0);
  for (const row of rows) {
    databaseNow = row.database_now;
    if (row.run_id === null) continue;
    kept.add(row.run_id);
    if (row.request !== null) {
      const request = { runId: row.run_id, request: row.request, by: row.request_by, reason: row.request_reason };
      requests.push(row.request_rollback ? { ...request, rollback: { to: row.request_to } } : request);
    } else if (row.request_by !== null) {
      withdrawn.set(row.run_id, { actor: row.request_by, reason: row.request_reason });
    }
  }
  return { kept, requests, withdrawn, databaseNow };
}
