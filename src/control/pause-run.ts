// Pauses a run: at once where nobody works on it, else by asking its worker to stop before the next step, item or attempt.
import { type Queryable, statement } from '../db/database.ts';
import { canTransition, type RunState } from '../domain/run.ts';
import type { SlotKey } from '../queue/admit-runs.ts';
import { holdRuns } from '../queue/hold-runs.ts';
import { admitQuietly } from './announce-runs.ts';
import type { ControlContext } from './control-context.ts';
import { forbiddenTransition } from './forbidden-transition.ts';
import { type LockedRun, lockRun } from './lock-run.ts';
import { askParentToPause, reachChildren } from './reach-children.ts';

export interface PausedRun {
  id: string;
  state: RunState;
  /** The worker was asked; the state changes when it obeys. */
  requested: 'pause' | null;
}

export interface PauseRunRequest {
  tenant: string;
  id: string;
  actor: string;
  reason?: string | undefined;
}

const ask = statement(
  'request_pause',
  `update cronwright.queue set request = 'pause', request_by = $2, request_reason = $3, held_by = null
  where run_id = $1 and state = 'running' and token = $4 and coalesce(request, 'pause') = 'pause'`,
);

// It was held with its pipeline or tenant; from now on it stays paused when they are resumed.
const keep = statement(
  'keep_run_paused',
  `with kept as (
    update cronwright.queue set held_by = null, has_history = true
    where run_id = $1 and state = 'paused' and held_by is not null
    returning run_id, tenant
  )
  insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
  select k.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = k.run_id), 1) + 1, k.tenant, null,
    now(), jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.paused',
      'at', floor(extract(epoch from now()) * 1000), 'actor', $2::text, 'reason', $3::text)))
  from kept k`,
);

/** Asking again changes nothing. Throws `not_found`, and `conflict` where the run's state does not allow it. */
export async function pauseRun(context: ControlContext, request: PauseRunRequest): Promise<PausedRun> {
  const { db, events, wake } = context;
  let first: { run: LockedRun; freed: SlotKey[] } | undefined;
  const { run, freed } = await db.transaction(
    async (tx) => {
      const run = await lockRun(tx, request.tenant, request.id);
      // It was done, and only the answer to the commit was lost: what the first try found and freed counts.
      if (first && (isOwnPause(run) || wasCalled(first.run, run))) return first;
      first = { run, freed: await pause(tx, run, request) };
      return first;
    },
    { idempotent: true },
  );
  const { tenant, id, actor, reason } = request;
  await reachChildren(context, id, (child) => pauseRun(context, { ...request, id: child }));
  if (run.state === 'running') {
    wake.requests(run.node);
    return { id, state: 'running', requested: 'pause' };
  }
  if (run.state === 'waiting') {
    wake.workers();
    return { id, state: 'pending', requested: 'pause' };
  }
  if (run.state !== 'paused') {
    const why = reason === undefined ? {} : { reason };
    events.emit('run.paused', { runId: id, tenant, pipeline: run.pipeline, actor, ...why });
    await admitQuietly(context, freed);
    if (freed.length > 0) wake.workers();
  }
  return { id, state: 'paused', requested: null };
}

function isOwnPause({ state, heldBy }: LockedRun): boolean {
  return state === 'paused' && heldBy === null;
}

/** It waited for its children, and its next worker was asked to hold it. */
function wasCalled(before: LockedRun, now: LockedRun): boolean {
  return before.state === 'waiting' && now.state !== 'waiting' && now.request === 'pause' && now.heldBy === null;
}

async function pause(tx: Queryable, run: LockedRun, request: PauseRunRequest): Promise<SlotKey[]> {
  const { id, actor } = request;
  const reason = request.reason ?? null;
  if (run.state === 'paused') {
    await tx.query(keep, [id, actor, reason]);
    return [];
  }
  if (run.state === 'waiting' && (await askParentToPause(tx, request))) return [];
  // Within a rollback `paused` is where a rollback to a checkpoint ends, which nobody can ask for sooner.
  if (!canTransition(run.state, 'paused') || run.state === 'rolling_back') {
    const why = run.state === 'waiting' ? 'nothing of it runs, and what it waits for goes on' : undefined;
    throw forbiddenTransition(id, run.state, 'paused', why);
  }
  if (run.request === 'cancel') throw forbiddenTransition(id, run.state, 'paused', 'its cancel is under way');
  if (run.state === 'running') {
    // Who asked first stays on record, unless it was the pause of something larger.
    if (run.request === null || run.heldBy !== null) await tx.query(ask, [id, actor, reason, run.token]);
    return [];
  }
  return (await holdRuns(tx, [{ id, state: run.state }], { actor, reason, heldBy: null })).freed;
}
