// Release: a run goes back to the queue, to wait, to be tried again, to hold still, or for another worker.
import { isForMissing } from '../domain/after.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepWrite } from '../queue/fenced-write.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushRelease } from './flush-run.ts';
import type { Verdict } from './judge-run.ts';
import { hasWritten, type LiveRun, noteTransition, toStepWrite } from './live-run.ts';

export async function releaseToWait(run: LiveRun, wait: Verdict & { kind: 'wait' }, deps: ExecuteDeps): Promise<void> {
  const { waitKind, stopsClock } = wait;
  noteTransition(run, { event: 'run.waiting', ...moved(run, 'waiting'), reason: waitKind }, deps.clock);
  const runAt = Number.isFinite(wait.untilMs) ? new Date(wait.untilMs) : null;
  await releaseAs(run, { state: 'waiting', waitKind, runAt, refundClaim: false, stopsClock }, deps, waitKind);
}

export async function releaseToPause(run: LiveRun, deps: ExecuteDeps): Promise<void> {
  const { rollback } = run;
  // At the step that is kept it is paused by whoever rolled it back.
  const { actor, reason } = (rollback?.hasBegun ? run.cancelledBy : run.pausedBy) ?? { actor: null, reason: null };
  const by = { ...(actor === null ? {} : { actor }), ...(reason === null ? {} : { reason }) };
  const where = rollback?.hasBegun
    ? { from: 'rolling_back', data: { rolled_back_to: rollback.to } }
    : { from: 'running' };
  noteTransition(run, { event: 'run.paused', ...where, to: 'paused', ...by }, deps.clock);
  const release = { state: 'paused', waitKind: null, runAt: null, refundClaim: false, stopsClock: true } as const;
  await releaseAs(run, release, deps, 'pause');
}

export async function releaseUndone(
  run: LiveRun,
  end: Verdict & { kind: 'stay_undone' },
  deps: ExecuteDeps,
): Promise<void> {
  const error = `${end.error.name}: ${end.error.message}`;
  run.message = `could not undo ${end.steps.join(', ')}: ${error}`.slice(0, 4_000);
  const from = run.rollback?.hasBegun ? 'rolling_back' : 'running';
  const data = { steps: end.steps };
  const failed = { event: 'run.rollback_failed', from, to: 'rollback_failed', reason: error, data };
  noteTransition(run, failed, deps.clock);
  const release = {
    state: 'rollback_failed',
    waitKind: null,
    runAt: null,
    refundClaim: false,
    stopsClock: true,
  } as const;
  if (!(await releaseAs(run, release, deps, 'rollback_failed'))) return;
  const { runId, tenant, pipeline } = run.claimed;
  run.span.within(() => deps.events.emit('run.rollback_failed', { runId, tenant, pipeline, steps: end.steps, error }));
}

/** Whoever works on a run that is rolled back: it stays that until the rollback is over. */
function moved(run: LiveRun, to: string): { from?: string; to?: string } {
  return run.rollback?.hasBegun ? {} : { from: 'running', to };
}

/** The next attempt goes on at the failed step: what failed, or was not reached, is open again. */
export async function releaseToRetry(
  run: LiveRun,
  untilMs: number,
  error: StoredError,
  deps: ExecuteDeps,
): Promise<void> {
  const reason = `${error.name}: ${error.message}`;
  noteTransition(run, { event: 'run.retrying', from: 'running', to: 'retrying', reason }, deps.clock);
  const again = new Map<string, StepWrite>();
  for (const [id, progress] of run.steps) {
    if (progress.state !== 'failed' && progress.state !== 'cancelled') continue;
    again.set(`${id}/-1`, toStepWrite(id, undefined, { ...progress, state: 'pending', retries: 0, notBefore: 0 }));
  }
  for (const [id, items] of run.items) {
    // What a completed fan-out came to is settled, failed items included.
    if (run.steps.get(id)?.state === 'completed') continue;
    for (const [item, progress] of items) {
      if (progress.state !== 'failed') continue;
      again.set(`${id}/${item}`, toStepWrite(id, item, { ...progress, state: 'pending', retries: 0, notBefore: 0 }));
    }
  }
  // One row of a step can be written once per statement.
  run.unwritten.steps = run.unwritten.steps.filter((write) => !again.has(`${write.step}/${write.item}`));
  run.unwritten.steps.push(...again.values());
  await releaseAs(
    run,
    { state: 'retrying', waitKind: null, runAt: new Date(untilMs), refundClaim: false },
    deps,
    'run_retry',
  );
}

export async function giveBack(run: LiveRun, reason: string, deps: ExecuteDeps): Promise<void> {
  noteTransition(run, { event: 'run.released', ...moved(run, 'pending'), reason }, deps.clock);
  await releaseAs(run, { state: 'pending', waitKind: null, runAt: null, refundClaim: true }, deps, reason);
}

/** False where the run is no longer ours. */
async function releaseAs(
  run: LiveRun,
  release: Omit<Parameters<typeof flushRelease>[1], 'progress' | 'message' | 'isCancelled' | 'home' | 'isPinned'>,
  deps: ExecuteDeps,
  reason: string,
): Promise<boolean> {
  await deps.logs.flush(run.claimed);
  const { progress, message } = run;
  // A cancel that is being obeyed is no news, nor is a pause that came too late: what is left is the clean-up, and it may wait.
  const { request } = run.claimed;
  const isMissing = request?.kind === 'cancel' && isForMissing(request.by);
  const isCancelled = run.cancelledBy !== undefined || isMissing || (run.cleaningUp && run.pausedBy !== undefined);
  const { home } = deps;
  // A node that leaves has nothing to go first for.
  const isPinned = !release.refundClaim && hasFilesToGoBackTo(run, deps);
  const isOurs = await flushRelease(run, { ...release, progress, message, isCancelled, home, isPinned }, deps);
  if (!isOurs) {
    tellLost(run, deps);
    return false;
  }
  const { runId, tenant, pipeline } = run.claimed;
  const { state } = release;
  run.span.within(() => deps.events.emit('run.released', { runId, tenant, pipeline, state, reason }));
  run.span.release(state, release.waitKind ?? (state === 'retrying' ? 'run_retry' : 'shutdown'));
  return true;
}

/** Elsewhere, the steps that wrote them would have to run again. */
function hasFilesToGoBackTo(run: LiveRun, deps: ExecuteDeps): boolean {
  return deps.hasFiles(run.claimed.runId) && run.compiled.steps.some((step) => hasWritten(run, step));
}

export function tellLost(run: LiveRun, deps: ExecuteDeps): void {
  const { runId, tenant } = run.claimed;
  run.span.within(() => deps.events.emit('run.lease_lost', { runId, tenant }));
  run.span.end('error', { name: 'LeaseLost', message: 'the run now belongs to another worker' });
}
