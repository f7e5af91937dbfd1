// Claim: a worker loop takes a batch of ready runs; nobody else can take the same ones.
import { type Queryable, statement } from '../db/database.ts';
import type { ChildOf } from '../domain/child-run.ts';
import { queueOfRoute } from '../domain/route.ts';
import type { Origin } from '../domain/run.ts';

/** What was asked for when the run was enqueued. */
export interface RunRecord {
  id: string;
  origin: Origin;
  inputs: Record<string, unknown> | null;
  nominalAt: Date | null;
  dryRun: boolean;
  actor: string | null;
  parentId: string | null;
  traceparent: string | null;
  createdAt: Date;
  /** Where it was not to start before a time. */
  runAt: Date | null;
  /** Beyond the grace of its schedule. */
  late: boolean;
  /** What it is to its parent; absent: nobody waits for it. */
  child?: ChildOf | null;
  /** It carries out a part of its parent, and no whole pipeline. */
  isPart?: boolean;
}

/** What was done is to be undone, down to a step that is kept (null: all of it). */
export interface RollbackRequest {
  to: string | null;
}

export interface ClaimedRun {
  runId: string;
  tenant: string;
  pipeline: string;
  pipelineVersion: string;
  schedule: string | null;
  queue: string;
  priority: number;
  /** Its place between the tenants. */
  fair: number;
  /** Fences every write of this claim. */
  token: number;
  /** Claims in a row without durable progress, this one included. */
  claims: number;
  /** Run-level attempt, from 1. */
  attempt: number;
  /** When the first claim of this attempt happened: the run's timeout counts from here. */
  attemptStartedAt: Date;
  startedAt: Date;
  enqueuedAt: Date;
  claimedAt: Date;
  limits: string[] | null;
  /** The data directory of the node that carried it out last; null: nobody has. */
  home: string | null;
  /** What happened to it before its first claim is on record. */
  hasHistory: boolean;
  /** What a person asked for while nobody held the run. */
  request: { kind: 'pause' | 'cancel'; by: string | null; reason: string | null; rollback?: RollbackRequest } | null;
  /** All that is left of it is its rollback. */
  rollback: RollbackRequest | null;
  /** Undefined where it is gone. */
  record: RunRecord | undefined;
}

// At most one worker owns a row: only pending rows without a block are taken, the row lock and SKIP LOCKED decide between
// two claimers, and the raised token invalidates whoever had the run before. Ready rows are found per route along their
// index, so the cost does not depend on what is delayed, blocked, finished or for other nodes: a node names the routes it can
// serve, and no row is looked at to be left to somebody else. The records come along by one look-up each:
// `limit 1` keeps a planner that knows nothing of `taken` from reading the whole table for them.
const claim = statement(
  'claim_runs',
  `with c as (
    select p.run_id
    from unnest($1::text[]) as s(name)
    cross join lateral (
      select q.run_id, q.priority, q.fair
      from cronwright.queue q
      where q.queue = s.name and q.weight = $2 and q.state = 'pending' and q.blocked_on is null and q.claims < $7::int4
      order by q.priority, q.fair, q.run_id
      limit $3
      for update skip locked
    ) p
    order by p.priority, p.fair, p.run_id
    limit $3
  ), taken as (
    update cronwright.queue
    set state = 'running', token = token + 1, claims = claims + 1, node = $4,
      lease_until = coalesce($6::timestamptz, now()) + $5::int4 * interval '1 millisecond',
      started_at = coalesce(started_at, $6::timestamptz, now()), progress_at = coalesce($6::timestamptz, now()),
      attempt_started_at = coalesce(attempt_started_at, $6::timestamptz, now()), signalled = null
    where run_id = any(array(select run_id from c)) and state = 'pending'
    returning run_id, tenant, pipeline, pipeline_version, schedule, queue, priority, fair, token, claims, attempt,
      attempt_started_at, started_at, enqueued_at, limits, home, has_history, request, request_by, request_reason, request_rollback,
      request_to, rolls_back, rollback_to
  )
  select t.*, coalesce($6::timestamptz, now()) as claimed_at, r.origin, r.inputs, r.nominal_at, r.dry_run, r.actor,
    r.parent_id, r.traceparent, r.created_at, r.run_at, r.late, r.child, r.is_part
  from taken t
  left join lateral (
    select origin, inputs, nominal_at, dry_run, actor, parent_id, traceparent, created_at, run_at, late, child, is_part
    from cronwright.runs where id = t.run_id
    limit 1
  ) r on true`,
);

interface ClaimRow {
  run_id: string;
  tenant: string;
  pipeline: string;
  pipeline_version: string;
  schedule: string | null;
  queue: string;
  priority: number;
  fair: number;
  token: number;
  claims: number;
  attempt: number;
  attempt_started_at: Date;
  started_at: Date;
  enqueued_at: Date;
  claimed_at: Date;
  limits: string[] | null;
  home: string | null;
  request: 'pause' | 'cancel' | null;
  request_by: string | null;
  request_reason: string | null;
  has_history: boolean | null;
  request_rollback: boolean | null;
  request_to: string | null;
  rolls_back: boolean | null;
  rollback_to: string | null;
  /** Null where the record is gone, and with it all that follow. */
  origin: Origin | null;
  inputs: Record<string, unknown> | null;
  nominal_at: Date | null;
  dry_run: boolean;
  actor: string | null;
  parent_id: string | null;
  traceparent: string | null;
  created_at: Date;
  run_at: Date | null;
  late: boolean;
  child: ChildOf | null;
  is_part: boolean | null;
}

/** More than a run ever has: those without progress are counted, and three are enough. */
const anyClaims = 2 ** 31 - 1;

/** Claims up to `limit` runs of one weight from the named routes, best first. An empty answer means "maybe empty". */
export async function claimRuns(
  db: Queryable,
  options: {
    routes: readonly string[];
    weight: 'light' | 'heavy';
    limit: number;
    node: string;
    leaseMs: number;
    /** Leaves runs with so many claims in a row, or more, to others. */
    claimsBelow?: number | undefined;
    now?: Date | null;
  },
): Promise<ClaimedRun[]> {
  const { rows } = await db.query<ClaimRow>(claim, [
    options.routes,
    options.weight,
    options.limit,
    options.node,
    options.leaseMs,
    options.now ?? null,
    options.claimsBelow ?? anyClaims,
  ]);
  // An update returns rows in any order.
  rows.sort((a, b) => a.priority - b.priority || a.fair - b.fair || (a.run_id < b.run_id ? -1 : 1));
  return rows.map((row) => ({
    runId: row.run_id,
    tenant: row.tenant,
    pipeline: row.pipeline,
    pipelineVersion: row.pipeline_version,
    schedule: row.schedule,
    queue: queueOfRoute(row.queue),
    priority: row.priority,
    fair: row.fair,
    token: row.token,
    claims: row.claims,
    attempt: row.attempt,
    attemptStartedAt: row.attempt_started_at,
    startedAt: row.started_at,
    enqueuedAt: row.enqueued_at,
    claimedAt: row.claimed_at,
    limits: row.limits,
    home: row.home,
    hasHistory: row.has_history === true,
    request: row.request === null ? null : toRequest(row, row.request),
    rollback: row.rolls_back ? { to: row.rollback_to } : null,
    record: toRecord(row),
  }));
}

function toRequest(row: ClaimRow, kind: 'pause' | 'cancel'): ClaimedRun['request'] {
  const request = { kind, by: row.request_by, reason: row.request_reason };
  return kind === 'cancel' && row.request_rollback ? { ...request, rollback: { to: row.request_to } } : request;
}

function toRecord(row: ClaimRow): RunRecord | undefined {
  if (row.origin === null) return undefined;
  return {
    id: row.run_id,
    origin: row.origin,
    inputs: row.inputs,
    nominalAt: row.nominal_at,
    dryRun: row.dry_run,
    actor: row.actor,
    parentId: row.parent_id,
    traceparent: row.traceparent,
    createdAt: row.created_at,
    runAt: row.run_at,
    late: row.late,
    child: row.child,
    isPart: row.is_part === true,
  };
}
