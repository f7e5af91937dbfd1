// A run's life from claim to finish, as one list of verbs.
import { isForMissing } from '../domain/after.ts';
import { runTimeoutMs, tellTimeouts } from './adaptive-timeouts.ts';
import { endChildren } from './child-step.ts';
import { type UndoEnd, undoSteps } from './compensate.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { finishRun } from './finish-run.ts';
import { flushRun } from './flush-run.ts';
import { deadlineOf, judge, rollbackError, unfinishedUndo, type Verdict } from './judge-run.ts';
import { abortRun, type LiveRun, noteTransition, type RollbackOrder } from './live-run.ts';
import { giveBack, releaseToPause, releaseToRetry, releaseToWait, releaseUndone, tellLost } from './release-run.ts';
import { rollBack } from './roll-back.ts';
import { runSteps, type StepsEnd } from './run-steps.ts';
import { RunLostError, whileOurs } from './while-ours.ts';

export async function executeRun(run: LiveRun, deps: ExecuteDeps): Promise<void> {
  const watch = beginRun(run, deps);
  try {
    // Durable before a step runs: its outcome must not be overtaken by that it was reopened.
    if (run.rebuiltFrom !== undefined) await flushRun(run, deps);
    const verdict = await carryOut(run, deps);
    if (verdict.kind === 'finish' && run.compiled.hasChildren) await endChildren(run, whileOurs(run, deps));
    const end = verdict.kind === 'finish' ? await cleanUp(run, verdict, deps) : verdict;
    switch (end.kind) {
      case 'finish':
        return await finishRun(run, end, deps);
      case 'wait':
        return await releaseToWait(run, end, deps);
      case 'pause':
        return await releaseToPause(run, deps);
      case 'stay_undone':
        return await releaseUndone(run, end, deps);
      case 'retry_later':
        return await releaseToRetry(run, end.untilMs, end.error, deps);
      case 'give_back':
        return await giveBack(run, end.reason, deps);
      case 'lost':
        return tellLost(run, deps);
    }
  } catch (error) {
    if (!(error instanceof RunLostError)) throw error;
    tellLost(run, deps);
  } finally {
    // Where the verbs have ended it this does nothing.
    run.span.end('error', engineFault);
    clearTimeout(watch);
    deps.logs.forget(run.claimed);
  }
}

/** Its steps; or, once a person wants them undone, its rollback. */
async function carryOut(run: LiveRun, deps: ExecuteDeps): Promise<Verdict> {
  if (run.claimed.rollback === null) {
    const main = missedAfter(run) ?? (await runSteps(run, run.compiled.steps, deps));
    const isOurs = main.kind !== 'interrupted' || main.by === 'cancelled' || main.by === 'timeout';
    if (run.rollback === undefined || !isOurs) return judge(run, main, deps);
  }
  run.cleaningUp = true;
  const end = await rollBack(run, run.rollback as RollbackOrder, deps);
  if (end.kind === 'rolled_back')
    return { kind: 'finish', state: 'rolled_back', error: rollbackError(run), timedOut: false };
  return end.kind === 'rolled_back_to' ? { kind: 'pause' } : unfinishedUndo(end);
}

const engineFault = { name: 'EngineFault', message: 'the worker could not carry the run out; it is taken up again' };

/** Notes the claim and starts the run's clock; a request made while nobody held the run is obeyed first. */
function beginRun(run: LiveRun, deps: ExecuteDeps): NodeJS.Timeout | undefined {
  const { claimed } = run;
  const timeouts = tellTimeouts(run);
  const data = timeouts === undefined ? { token: claimed.token } : { token: claimed.token, timeouts };
  const taken = { event: 'run.claimed', attempt: claimed.attempt, data };
  noteTransition(run, claimed.rollback ? taken : { ...taken, from: 'pending', to: 'running' }, deps.clock);
  if (run.rebuiltFrom !== undefined) {
    const reason = 'the files of the run are not on this node: it goes on from the first step that wrote any';
    noteTransition(run, { event: 'run.reopened', step: run.rebuiltFrom, reason }, deps.clock);
  }
  if (claimed.request?.kind === 'pause') run.pausedBy = { actor: claimed.request.by, reason: claimed.request.reason };
  if (claimed.request?.kind === 'cancel' && !missedAfter(run)) {
    run.cancelledBy = { actor: claimed.request.by, reason: claimed.request.reason };
    if (claimed.request.rollback) run.rollback ??= { ...claimed.request.rollback, hasBegun: false };
    abortRun(run, 'cancelled');
  }
  // Each compensation has a time of its own.
  if (claimed.rollback) return undefined;
  const timeoutMs = runTimeoutMs(run);
  const leftMs = deadlineOf(run) - deps.clock.now();
  const end = () => abortRun(run, 'timeout', `the run took longer than its timeout of ${timeoutMs} ms`);
  // It waited until its deadline: nothing may begin before a timer fires.
  if (leftMs <= 0) end();
  return setTimeout(end, timerMs(leftMs));
}

/** The pipeline that it waits for did not complete in time, and it is to fail where that is so. */
function missedAfter({ claimed }: LiveRun): (StepsEnd & { kind: 'failed' }) | undefined {
  const { request } = claimed;
  if (request?.kind !== 'cancel' || !isForMissing(request.by)) return undefined;
  const message = request.reason ?? 'the pipeline it waits for has not completed';
  return { kind: 'failed', step: 'after', error: { name: 'AfterMissing', message, class: 'fatal' } };
}

/**
 * Timers of one length share a list that costs next to nothing; thousands of different lengths are thousands of lists. What
 * is more than a minute away may come up to a second late.
 */
function timerMs(leftMs: number): number {
  const ms = leftMs > 60_000 ? Math.ceil(leftMs / 1_000) * 1_000 : leftMs;
  return Math.min(Math.max(ms, 0), 2_147_483_647);
}

/** What has failed for good leaves nothing behind. On a timeout that it came to it is on record first. */
async function compensate(run: LiveRun, verdict: Verdict & { kind: 'finish' }, deps: ExecuteDeps): Promise<UndoEnd> {
  if (verdict.timedOut && run.undone === undefined) {
    const reason = verdict.error?.message ?? 'the time of the run was up';
    deps.logs.say(run.claimed, 'error', reason);
    noteTransition(run, { event: 'run.timed_out', reason }, deps.clock);
    if (!(await flushRun(run, deps, true))) return { kind: 'interrupted', by: run.abortedBy ?? 'lease_lost' };
  }
  // What a part of another run did is that run's to undo.
  if (!run.compiled.undoes || run.part !== undefined) return { kind: 'done' };
  return undoSteps(run, { reason: verdict.timedOut ? 'timeout' : 'failed', keeps: new Set() }, deps);
}

/** `on_failure` after a failure, then `finally` after everything; what fails there fails the run. */
async function cleanUp(run: LiveRun, verdict: Verdict & { kind: 'finish' }, deps: ExecuteDeps): Promise<Verdict> {
  run.cleaningUp = true;
  const isFailed = verdict.state === 'failed' || verdict.state === 'dead_letter';
  if (isFailed) {
    const undone = await compensate(run, verdict, deps);
    if (undone.kind !== 'done') return unfinishedUndo(undone);
  }
  let end = verdict;
  const groups = [isFailed ? run.compiled.onFailure : [], run.compiled.finally];
  for (const steps of groups) {
    if (steps.length === 0) continue;
    const cleaned = await runSteps(run, steps, deps);
    if (cleaned.kind === 'interrupted') {
      return cleaned.by === 'lease_lost' ? { kind: 'lost' } : { kind: 'give_back', reason: cleaned.by };
    }
    if (cleaned.kind === 'waiting') return { ...cleaned, kind: 'wait' };
    if (cleaned.kind === 'failed' && end.state === 'completed') {
      const message = `step ${cleaned.step}: ${cleaned.error.message}`;
      end = { kind: 'finish', state: 'failed', error: { ...cleaned.error, message }, timedOut: false };
    }
  }
  return end;
}
