// Release: a worker gives a run back to the queue, to go on later (a wait, a run-level retry) or elsewhere (shutdown).
import type { Queryable } from '../db/database.ts';
import type { WaitKind } from '../domain/run.ts';
import { type FencedWrite, fencedParams, fencedStatement } from './fenced-write.ts';

export interface RunRelease extends FencedWrite {
  state: 'pending' | 'waiting' | 'retrying' | 'paused';
  waitKind: WaitKind | null;
  /** When it goes on by itself; null: when somebody says so. */
  runAt: Date | null;
  /** A shutdown is no failure: the claim is not counted. */
  refundClaim: boolean;
  progress: number;
  message: string | null;
  /** The worker has obeyed the cancel already: it is no reason to come back before `runAt`. */
  isCancelled?: boolean;
  /** The data directory of this node, where it may have files of the run. */
  home?: string;
  /** Whether the node with that directory goes first: elsewhere, steps would have to run again. */
  isPinned?: boolean;
}

// A released run keeps its slots: a limit of 1 is mutual exclusion for the whole run, waits included. A request that came
// while the worker let go is not lost: the run goes straight back to pending, and the next claim obeys it.
const release = fencedStatement(
  'release_runs',
  `update cronwright.queue q
      set state = case when q.request is null or r.obeyed then r.state else 'pending' end,
        wait_kind = case when q.request is null or r.obeyed then r.wait_kind end,
        run_at = case when q.request is null or r.obeyed then r.run_at end, node = null, lease_until = null,
        claims = case when r.refund then greatest(q.claims - 1, 0) else 0 end,
        progress = r.progress, message = r.message, home = coalesce(r.home, q.home),
        queue = case when r.pinned then split_part(q.queue, '@', 1) || '@' || r.home::text
          else split_part(q.queue, '@', 1) end,
        pinned_at = case when r.pinned then r.at end
      from unnest($1::uuid[], $2::int8[], $23::text[], $24::text[], $25::timestamptz[], $26::bool[], $27::int2[],
        $28::text[], $29::bool[], $30::uuid[], $31::bool[], $32::timestamptz[])
        as r(id, token, state, wait_kind, run_at, refund, progress, message, obeyed, home, pinned, at)
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
  ]);
  return new Set(rows.map((row) => row.run_id));
}
