// Release: a worker gives a run back to the queue, to go on later (a wait, a run-level retry) or elsewhere (shutdown).
import type { Queryable } from '../db/database.ts';
import type { WaitKind } from '../domain/run.ts';
import { type FencedWrite, fencedParams, fencedStatement } from './fenced-write.ts';

export interface RunRelease extends FencedWrite {
  state: 'pending' | 'waiting' | 'retrying' | 'paused' | 'rollback_failed';
  waitKind: WaitKind | null;
  /** When it goes on by itself; null: when somebody says so. */
  runAt: Date | null;
  /** A shutdown is no failure: the claim is not counted. */
  refundClaim: boolean;
  progress: number;
  message: string | null;
  /** The worker has obeyed the cancel already: it is no reason to come back before `runAt`. */
  isCancelled?: boolean;
  /** Whether its timeout counts no further until it goes on. */
  stopsClock?: boolean;
  /** The data directory of this node, where it may have files of the run. */
  home?: string;
  /** Whether the node with that directory goes first: elsewhere, steps would have to run again. */
  isPinned?: boolean;
}

/** Held still where a pause was asked for and the run would not go on by itself within this claim. */
const isHeld = "(coalesce(q.request, '') = 'pause' and r.state in ('paused', 'retrying', 'pending'))";
/** Something came up while the worker let go: a request, a resume, or the answer that the run is about to wait for. */
const isCalledBack = `((q.request is not null and not r.obeyed) or (r.state = 'waiting' and q.signalled is true)
          or (r.state = 'paused' and q.request is null and q.rolls_back is not true))`;

// A released run keeps its slots: a limit of 1 is mutual exclusion for the whole run, waits included. What came up while the
// worker let go is not lost: the run goes straight back to pending, and the next claim obeys it.
const release = fencedStatement(
  'release_runs',
  `update cronwright.queue q
      set state = case when ${isHeld} then 'paused' when ${isCalledBack} then 'pending' else r.state end,
        paused_from = case when ${isHeld} then case when r.state = 'paused' then 'running' else r.state end end,
        wait_kind = case when not ${isHeld} and not ${isCalledBack} then r.wait_kind end,
        run_at = case when not ${isHeld} and not ${isCalledBack} then r.run_at end,
        clock_stopped_at = case when ${isHeld} or (r.clock_stopped and not ${isCalledBack}) then r.at end,
        request = case when not ${isHeld} then q.request end, request_by = case when not ${isHeld} then q.request_by end,
        request_reason = case when not ${isHeld} then q.request_reason end, node = null, lease_until = null,
        claims = case when r.refund then greatest(q.claims - 1, 0) else 0 end,
        progress = r.progress, message = r.message, home = coalesce(r.home, q.home),
        queue = case when r.pinned then split_part(q.queue, '@', 1) || '@' || r.home::text
          else split_part(q.queue, '@', 1) end,
        pinned_at = case when r.pinned then r.at end,
        rolls_back = case when r.state = 'rollback_failed' then true when r.state <> 'paused' then q.rolls_back end,
        rollback_to = case when r.state <> 'paused' then q.rollback_to end,
        attempt_started_at = case when r.state <> 'paused' or q.rolls_back is not true then q.attempt_started_at end
      from unnest($1::uuid[], $2::int8[], $23::text[], $24::text[], $25::timestamptz[], $26::bool[], $27::int2[],
        $28::text[], $29::bool[], $30::uuid[], $31::bool[], $32::timestamptz[], $33::bool[])
        as r(id, token, state, wait_kind, run_at, refund, progress, message, obeyed, home, pinned, at, clock_stopped)
      where q.run_id = r.id and q.token = r.token
      returning q.run_id`,
  '',
  'select run_id from fenced',
);

/** Returns the ids that were released; the others were no longer the worker's. */
export async function releaseRuns(
  db: Queryable,
  releases: readonly RunRelease[],
  node: string | null,
  at: Date,
): Promise<Set<string>> {
  const { rows } = await db.query<{ run_id: string }>(release, [
    ...fencedParams(releases, node, at),
    releases.map((one) => one.state),
    releases.map((one) => one.waitKind),
    releases.map((one) => one.runAt),
    releases.map((one) => one.refundClaim),
    releases.map((one) => one.progress),
    releases.map((one) => one.message),
    releases.map((one) => one.isCancelled ?? false),
    releases.map((one) => one.home ?? null),
    releases.map((one) => one.isPinned ?? false),
    releases.map(() => at),
    releases.map((one) => one.stopsClock ?? false),
  ]);
  return new Set(rows.map((row) => row.run_id));
}
