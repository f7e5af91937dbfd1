// A run's life from claim to finish, as one list of verbs.
import { pipelineOfKey } from '../domain/after.ts';
import type { FailureNotice } from '../domain/failure-notice.ts';
import type { StoredError } from '../domain/outcome.ts';
import { canRetry, retryDelayMs } from '../domain/retry-policy.ts';
import { resultOfState, type TerminalState, type Transition, type WaitKind } from '../domain/run.ts';
import type { Events } from '../observe/events.ts';
import type { StepWrite } from '../queue/fenced-write.ts';
import { cancelOpenWaits } from '../store/waits.ts';
import { runTimeoutMs, tellTimeouts } from './adaptive-timeouts.ts';
import { exhaustedPolicy } from './after-failure.ts';
import { endChildren } from './child-step.ts';
import { type UndoEnd, undoSteps } from './compensate.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushFinish, flushRelease, flushRun } from './flush-run.ts';
import {
  abortRun,
  hasWritten,
  isOutOfTime,
  type LiveRun,
  noteTransition,
  type RollbackOrder,
  toStepWrite,
} from './live-run.ts';
import { rollBack } from './roll-back.ts';
import { runSteps, type StepsEnd } from './run-steps.ts';

/** How a run ends, or why it goes back to the queue. */
type Verdict =
  | { kind: 'finish'; state: TerminalState; error: StoredError | null; timedOut: boolean }
  | { kind: 'wait'; untilMs: number; waitKind: WaitKind; stopsClock: boolean }
  | { kind: 'pause' }
  /** Steps could not be undone: it waits for somebody to ask for the rollback again. */
  | { kind: 'stay_undone'; steps: readonly string[]; error: StoredError }
  | { kind: 'retry_later'; untilMs: number; error: StoredError }
  | { kind: 'give_back'; reason: string }
  | { kind: 'lost' };

export async function executeRun(run: LiveRun, deps: ExecuteDeps): Promise<void> {
  const watch = beginRun(run, deps);
  try {
    // Durable before a step runs: its outcome must not be overtaken by that it was reopened.
    if (run.rebuiltFrom !== undefined) await flushRun(run, deps);
    const verdict = await carryOut(run, deps);
    if (verdict.kind === 'finish' && run.compiled.hasChildren) await endChildren(run, deps);
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

/** Why a run whose steps are to be undone goes back to the queue. */
function unfinishedUndo(end: Exclude<UndoEnd, { kind: 'done' }>): Verdict {
  if (end.kind === 'waiting') return { kind: 'wait', untilMs: end.untilMs, waitKind: 'step_retry', stopsClock: false };
  if (end.kind === 'failed') return { ...end, kind: 'stay_undone' };
  return end.by === 'lease_lost' ? { kind: 'lost' } : { kind: 'give_back', reason: end.by };
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
  if (request?.kind !== 'cancel' || request.by === null || pipelineOfKey(request.by) === undefined) return undefined;
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

/** The timeout covers the whole run-level attempt, its retries and their waits. */
function deadlineOf(run: LiveRun): number {
  return run.claimed.attemptStartedAt.getTime() + runTimeoutMs(run);
}

function judge(run: LiveRun, end: StepsEnd, deps: ExecuteDeps): Verdict {
  switch (end.kind) {
    case 'completed': {
      const overdue = run.abortedBy === 'timeout' ? stepOutOfTime(run) : undefined;
      if (overdue) return judgeFailure(run, overdue.step, overdue.error, deps);
      return { kind: 'finish', state: 'completed', error: null, timedOut: false };
    }
    case 'waiting': {
      const { waitKind, stopsClock } = end;
      const untilMs = stopsClock ? end.untilMs : Math.min(end.untilMs, deadlineOf(run));
      return { kind: 'wait', untilMs, waitKind, stopsClock };
    }
    case 'paused':
      return { kind: 'pause' };
    case 'failed':
      return judgeFailure(run, end.step, end.error, deps);
    case 'interrupted':
      if (end.by === 'lease_lost') return { kind: 'lost' };
      if (end.by === 'shutdown') return { kind: 'give_back', reason: 'shutdown' };
      return { kind: 'finish', state: 'cancelled', error: cancelError(run), timedOut: false };
  }
}

/** The time of a run is up for all its steps, also for one that may fail. */
function stepOutOfTime(run: LiveRun): { step: string; error: StoredError } | undefined {
  for (const [step, { state, error }] of run.steps) {
    if (state === 'failed' && error && isOutOfTime(run, error)) return { step, error };
  }
  return undefined;
}

function judgeFailure(run: LiveRun, step: string, error: StoredError, deps: ExecuteDeps): Verdict {
  // The time may also have been up in an earlier claim, and this one only goes on with the clean-up.
  const timedOut = run.abortedBy === 'timeout' || (error.name === 'TimeoutError' && error.class === 'fatal');
  const named = { ...error, message: `step ${step}: ${error.message}`, step };
  const policy = run.compiled.pipeline.retry;
  const used = run.claimed.attempt - 1;
  const isRetryable =
    policy !== undefined && canRetry(policy, used, error) && (!timedOut || policy.on.includes('TimeoutError'));
  if (policy && isRetryable) {
    const delayMs = retryDelayMs(policy, used + 1, deps.random());
    return { kind: 'retry_later', untilMs: deps.clock.now() + delayMs, error: named };
  }
  const failing = run.compiled.byId.get(step);
  const isDead = !timedOut && failing !== undefined && exhaustedPolicy(run, failing, undefined) === 'dead_letter';
  return { kind: 'finish', state: isDead ? 'dead_letter' : 'failed', error: named, timedOut };
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

async function finishRun(run: LiveRun, end: Verdict & { kind: 'finish' }, deps: ExecuteDeps): Promise<void> {
  const { claimed, record } = run;
  const error = end.error ? `${end.error.name}: ${end.error.message}` : undefined;
  const event = end.state === 'dead_letter' ? 'run.dead_lettered' : `run.${end.state}`;
  const from = end.state === 'rolled_back' ? 'rolling_back' : 'running';
  const ended: Omit<Transition, 'at'> = { event, from, to: end.state };
  if (error !== undefined) ended.reason = error;
  if (run.cancelledBy?.actor) ended.actor = run.cancelledBy.actor;
  noteTransition(run, ended, deps.clock);
  await deps.logs.flush(claimed);
  const finishedAt = new Date(deps.clock.now());
  const isOurs = await flushFinish(
    run,
    {
      state: end.state,
      error: end.error,
      startedAt: claimed.startedAt,
      finishedAt,
      attempt: claimed.attempt,
      claims: claimed.token,
      failedItems: run.failedItems,
      progress: end.state === 'completed' ? 100 : run.progress,
      message: run.message,
      limited: claimed.limits !== null,
      notices: noticesOf(run, end, finishedAt, deps),
    },
    deps,
  );
  if (!isOurs) return tellLost(run, deps);
  if (run.waits !== undefined) await cancelQuestions(run, deps);
  const finished: Events['run.finished'] = {
    runId: claimed.runId,
    tenant: claimed.tenant,
    pipeline: claimed.pipeline,
    origin: record.origin,
    state: end.state,
    result: resultOfState(end.state, end.timedOut),
    durationMs: Math.max(0, finishedAt.getTime() - claimed.startedAt.getTime()),
  };
  if (claimed.schedule !== null) finished.schedule = claimed.schedule;
  if (error !== undefined) finished.error = error;
  run.span.within(() => deps.events.emit('run.finished', finished));
  run.span.end(finished.result, end.error ?? undefined);
}

/** Nobody has to answer any more. What this does not reach is not shown: the questions of live runs are. */
async function cancelQuestions({ claimed }: LiveRun, deps: ExecuteDeps): Promise<void> {
  try {
    await cancelOpenWaits(deps.db, claimed.runId);
  } catch (error) {
    deps.events.emit('service.crashed', { service: 'waits', error: String(error) });
  }
}

/** What a dry run came to is seen by whoever started it. */
function noticesOf(
  { claimed, record }: LiveRun,
  end: { state: TerminalState; error: (StoredError & { step?: string }) | null },
  finishedAt: Date,
  deps: ExecuteDeps,
): readonly FailureNotice[] | undefined {
  const { state, error } = end;
  // The parent tells of its parts.
  if (record.dryRun || record.isPart || (state !== 'failed' && state !== 'dead_letter')) return undefined;
  return deps.noticesOf({
    id: claimed.runId,
    pipeline: claimed.pipeline,
    tenant: claimed.tenant,
    schedule: claimed.schedule,
    state,
    error: { name: error?.name ?? 'Error', message: error?.message ?? '', step: error?.step ?? null },
    started_at: claimed.startedAt.toISOString(),
    finished_at: finishedAt.toISOString(),
  });
}

async function releaseToWait(run: LiveRun, wait: Verdict & { kind: 'wait' }, deps: ExecuteDeps): Promise<void> {
  const { waitKind, stopsClock } = wait;
  noteTransition(run, { event: 'run.waiting', ...moved(run, 'waiting'), reason: waitKind }, deps.clock);
  const runAt = Number.isFinite(wait.untilMs) ? new Date(wait.untilMs) : null;
  await releaseAs(run, { state: 'waiting', waitKind, runAt, refundClaim: false, stopsClock }, deps);
}

async function releaseToPause(run: LiveRun, deps: ExecuteDeps): Promise<void> {
  const { actor, reason } = run.pausedBy ?? { actor: null, reason: null };
  const by = { ...(actor === null ? {} : { actor }), ...(reason === null ? {} : { reason }) };
  const { rollback } = run;
  const where = rollback?.hasBegun
    ? { from: 'rolling_back', data: { rolled_back_to: rollback.to } }
    : { from: 'running' };
  noteTransition(run, { event: 'run.paused', ...where, to: 'paused', ...by }, deps.clock);
  await releaseAs(run, { state: 'paused', waitKind: null, runAt: null, refundClaim: false, stopsClock: true }, deps);
}

async function releaseUndone(run: LiveRun, end: Verdict & { kind: 'stay_undone' }, deps: ExecuteDeps): Promise<void> {
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
  if (!(await releaseAs(run, release, deps))) return;
  const { runId, tenant, pipeline } = run.claimed;
  run.span.within(() => deps.events.emit('run.rollback_failed', { runId, tenant, pipeline, steps: end.steps, error }));
}

/** Whoever works on a run that is rolled back: it stays that until the rollback is over. */
function moved(run: LiveRun, to: string): { from?: string; to?: string } {
  return run.rollback?.hasBegun ? {} : { from: 'running', to };
}

/** The next attempt goes on at the failed step: what failed, or was not reached, is open again. */
async function releaseToRetry(run: LiveRun, untilMs: number, error: StoredError, deps: ExecuteDeps): Promise<void> {
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
  await releaseAs(run, { state: 'retrying', waitKind: null, runAt: new Date(untilMs), refundClaim: false }, deps);
}

async function giveBack(run: LiveRun, reason: string, deps: ExecuteDeps): Promise<void> {
  noteTransition(run, { event: 'run.released', ...moved(run, 'pending'), reason }, deps.clock);
  await releaseAs(run, { state: 'pending', waitKind: null, runAt: null, refundClaim: true }, deps);
}

/** False where the run is no longer ours. */
async function releaseAs(
  run: LiveRun,
  release: Omit<Parameters<typeof flushRelease>[1], 'progress' | 'message' | 'isCancelled' | 'home' | 'isPinned'>,
  deps: ExecuteDeps,
): Promise<boolean> {
  await deps.logs.flush(run.claimed);
  const { progress, message } = run;
  // A cancel that is being obeyed is no news, nor is a pause that came too late: what is left is the clean-up, and it may wait.
  const isCancelled = run.cancelledBy !== undefined || (run.cleaningUp && run.pausedBy !== undefined);
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
  const reason = release.waitKind ?? '';
  run.span.within(() => deps.events.emit('run.released', { runId, tenant, pipeline, state, reason }));
  run.span.release(state, reason || (state === 'retrying' ? 'run_retry' : 'shutdown'));
  return true;
}

function tellLost(run: LiveRun, deps: ExecuteDeps): void {
  const { runId, tenant } = run.claimed;
  run.span.within(() => deps.events.emit('run.lease_lost', { runId, tenant }));
  run.span.end('error', { name: 'LeaseLost', message: 'the run now belongs to another worker' });
}

/** Elsewhere, the steps that wrote them would have to run again. */
function hasFilesToGoBackTo(run: LiveRun, deps: ExecuteDeps): boolean {
  return deps.hasFiles(run.claimed.runId) && run.compiled.steps.some((step) => hasWritten(run, step));
}

function rollbackError(run: LiveRun): StoredError {
  const { message } = cancelError(run);
  return { name: 'RolledBack', message: message.replace('cancelled', 'rolled back'), class: 'fatal' };
}

function cancelError(run: LiveRun): StoredError {
  const by = run.cancelledBy?.actor ? ` by ${run.cancelledBy.actor}` : '';
  const why = run.cancelledBy?.reason ? `: ${run.cancelledBy.reason}` : '';
  return { name: 'Cancelled', message: `cancelled${by}${why}`, class: 'fatal' };
}
