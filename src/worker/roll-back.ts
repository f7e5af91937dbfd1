// Rolls a run back because a person asked for it: all of it, or down to a step from which it can go on.
import type { StoredError } from '../domain/outcome.ts';
import { reopenSteps } from '../queue/write-rollback.ts';
import type { AbortReason } from '../steps/api.ts';
import { undoSteps } from './compensate.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushRollback } from './flush-run.ts';
import { type LiveRun, noteTransition, type RollbackOrder } from './live-run.ts';
import { allNeeds } from './undo-order.ts';
import { whileOurs } from './while-ours.ts';

export type RollbackEnd =
  | { kind: 'rolled_back' }
  /** The steps that were undone are open again. */
  | { kind: 'rolled_back_to'; step: string }
  | { kind: 'failed'; steps: readonly string[]; error: StoredError }
  | { kind: 'waiting'; untilMs: number }
  | { kind: 'interrupted'; by: AbortReason };

export async function rollBack(run: LiveRun, order: RollbackOrder, deps: ExecuteDeps): Promise<RollbackEnd> {
  if (!order.hasBegun && !(await begin(run, order, deps))) return { kind: 'interrupted', by: 'lease_lost' };
  const { to } = order;
  const keeps = to === null ? new Set<string>() : stepsKeptBy(run, to);
  // The run that failed, and is undone because a person says so, is undone for that.
  const reason = to === null && !isTakenOver(run) ? 'cancelled' : 'rollback';
  const end = await undoSteps(run, { reason, keeps }, deps);
  if (end.kind !== 'done') return end;
  if (to === null) return { kind: 'rolled_back' };
  const steps = run.compiled.steps.map(({ definition }) => definition.id).filter((id) => !keeps.has(id));
  const { runId, token } = run.claimed;
  // What is not written yet speaks of steps that are gone with this.
  if (!(await flushRollback(run, { compensations: [] }, deps))) return { kind: 'interrupted', by: 'lease_lost' };
  const { db } = whileOurs(run, deps);
  if (!(await reopenSteps(db, { runId, token, steps }))) return { kind: 'interrupted', by: 'lease_lost' };
  return { kind: 'rolled_back_to', step: to };
}

/** The step, and all that it needs, however far above. */
function stepsKeptBy(run: LiveRun, to: string): Set<string> {
  const order = run.compiled.steps.map(({ definition }) => definition);
  return new Set([to, ...allNeeds([to], order)]);
}

async function begin(run: LiveRun, order: RollbackOrder, deps: ExecuteDeps): Promise<boolean> {
  const { actor, reason } = run.cancelledBy ?? { actor: null, reason: null };
  const by = { ...(actor === null ? {} : { actor }), ...(reason === null ? {} : { reason }) };
  const data = order.to === null ? {} : { data: { to: order.to } };
  const began = { event: 'run.rolling_back', from: 'running', to: 'rolling_back', ...by, ...data };
  noteTransition(run, began, deps.clock);
  const isOurs = await flushRollback(run, { begins: { to: order.to }, compensations: [] }, deps);
  order.hasBegun = true;
  return isOurs;
}

function isTakenOver(run: LiveRun): boolean {
  return [...run.steps.values()].some(({ doneBy }) => doneBy !== undefined);
}
