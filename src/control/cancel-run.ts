// Cancels a run: at once where nobody works on it, else by asking its worker.
import { type Queryable, statement } from '../db/database.ts';
import { canTransition, type RunState } from '../domain/run.ts';
import type { SlotKey } from '../queue/admit-runs.ts';
import { cancelRuns } from '../queue/cancel-runs.ts';
import { admitQuietly } from './announce-runs.ts';
import { callForCleanUp, hasCleanUp } from './call-for-clean-up.ts';
import type { ControlContext } from './control-context.ts';
import { forbiddenTransition } from './forbidden-transition.ts';
import { type LockedRun, lockRun } from './lock-run.ts';
import { cancelChildrenOf } from './reach-children.ts';
import { hasStarted, isAskedAlready, requestRollback } from './request-rollback.ts';
import { refuseToUndoPart } from './retry-line.ts';

interface CancelRequest {
  tenant: string;
  id: string;
  actor: string;
  reason?: string | undefined;
  /** Undo what it did first. */
  rollback?: boolean | undefined;
}

/** What a cancel found and came to. */
interface Cancelling {
  run: LockedRun;
  freed: SlotKey[];
  isRolledBack: boolean;
  isCleanedUp?: boolean;
}

export interface CancelledRun {
  id: string;
  state: RunState;
  /** The worker was asked; the state changes when it obeys. */
  requested: 'cancel' | 'rollback' | null;
}

const ask = statement(
  'request_cancel',
  `update cronwright.queue set request = 'cancel', request_by = $2, request_reason = $3
  where run_id = $1 and state = 'running' and token = $4`,
);

/** Throws `not_found`, and `conflict` where the run's state does not allow it. */
export async function cancelRun(context: ControlContext, options: CancelRequest): Promise<CancelledRun> {
  const { db, events, wake, clock } = context;
  let first: Cancelling | undefined;
  const { run, freed, isRolledBack, isCleanedUp } = await db.transaction(
    async (tx) => {
      const run = await lockRun(tx, options.tenant, options.id);
      // It was done, and only the answer to the commit was lost: what the first try found counts.
      if (first && isDone(first, run.state)) return first;
      first = await begin(tx, run, options);
      return first;
    },
    { idempotent: true },
  );
  await cancelChildrenOf(context, options.id, { ...options, rollback: isRolledBack });
  if (isRolledBack) {
    if (run.state === 'running') wake.requests(run.node);
    await admitQuietly(context, freed);
    wake.workers();
    return { id: options.id, state: run.state === 'running' ? 'running' : 'pending', requested: 'rollback' };
  }
  if (run.state === 'running') {
    wake.requests(run.node);
    return { id: options.id, state: 'running', requested: 'cancel' };
  }
  if (isCleanedUp) {
    await admitQuietly(context, freed);
    wake.workers();
    return { id: options.id, state: 'pending', requested: 'cancel' };
  }
  events.emit('run.finished', {
    runId: options.id,
    tenant: options.tenant,
    pipeline: run.pipeline,
    origin: run.origin,
    ...(run.schedule === null ? {} : { schedule: run.schedule }),
    state: 'cancelled',
    result: 'cancellation',
    durationMs: run.startedAt === null ? 0 : Math.max(0, clock.now() - run.startedAt.getTime()),
  });
  await admitQuietly(context, freed);
  wake.workers();
  return { id: options.id, state: 'cancelled', requested: null };
}

async function begin(tx: Queryable, run: LockedRun, options: CancelRequest): Promise<Cancelling> {
  const { id, actor, reason = null, rollback = false } = options;
  if (!canTransition(run.state, 'cancelled')) throw forbiddenTransition(id, run.state, 'cancelled');
  if (rollback) await refuseToUndoPart(tx, id, run.state);
  const wish = rollback ? { to: null } : undefined;
  if ((rollback || !isOnlyRollback(run)) && isAskedAlready(run, { id, requested: 'cancelled', wish })) {
    return { run, freed: [], isRolledBack: true };
  }
  const isRolledBack = rollback && (run.state === 'running' || (await hasStarted(tx, id)));
  if (isRolledBack) return { run, freed: await requestRollback(tx, run, options), isRolledBack };
  if (run.state === 'running') {
    await tx.query(ask, [id, actor, reason, run.token]);
    return { run, freed: [], isRolledBack };
  }
  if (await hasCleanUp(tx, run, id)) {
    return { run, freed: await callForCleanUp(tx, run, options), isRolledBack, isCleanedUp: true };
  }
  return { run, freed: await cancelAtOnce(tx, run.state, options), isRolledBack };
}

function isDone({ isRolledBack }: Cancelling, now: RunState): boolean {
  return isRolledBack ? now === 'rolling_back' || now === 'rolled_back' : now === 'cancelled';
}

/** It was made to undo an ended run, and nobody has begun with that: no other run asked for can have started steps yet. */
function isOnlyRollback({ token, origin }: LockedRun): boolean {
  return token === 0 && (origin === 'api' || origin === 'cli');
}

async function cancelAtOnce(
  tx: Queryable,
  state: RunState,
  { id, actor, reason = null }: { id: string; actor: string; reason?: string | null | undefined },
): Promise<SlotKey[]> {
  const message = `cancelled by ${actor}${reason === null ? '' : `: ${reason}`}`;
  return (await cancelRuns(tx, [{ id, state }], { actor, reason, message })).freed;
}
