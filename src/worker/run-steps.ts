// Runs the steps of a run as their needs allow: independent ones in parallel, each durable before the next needs it.
import { runsByChildren } from '../domain/child-run.ts';
import type { StoredError } from '../domain/outcome.ts';
import { isForPeople, type WaitKind } from '../domain/run.ts';
import type { AbortReason } from '../steps/api.ts';
import { keepResult, takeOrRun } from './cached-result.ts';
import { runAsChild } from './child-step.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import { distribute } from './distribute.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { countFailed, fanOut, restoredOutputs } from './fan-out.ts';
import { flushRun } from './flush-run.ts';
import {
  isHolding,
  type LiveRun,
  noteStep,
  type StepProgress,
  signalOf,
  stepProgress,
  toStepScope,
} from './live-run.ts';
import type { AttemptsEnd } from './run-attempts.ts';
import { reportStepAsks, reportStepDone, reportStepSkipped } from './run-progress.ts';
import { whileOurs } from './while-ours.ts';

type Wait = AttemptsEnd & { kind: 'waiting' };
type Waits = Map<string, Wait>;

export type StepsEnd =
  | { kind: 'completed' }
  | { kind: 'failed'; step: string; error: StoredError }
  /** Nothing can go on before this instant; Infinity: before somebody says so. */
  | { kind: 'waiting'; untilMs: number; waitKind: WaitKind; stopsClock: boolean }
  | { kind: 'paused' }
  | { kind: 'interrupted'; by: AbortReason };

/** The last outcome may still be unwritten when it returns: it travels with the run's finish. */
export function runSteps(run: LiveRun, steps: readonly CompiledStep[], deps: ExecuteDeps): Promise<StepsEnd> {
  return new Promise((resolve, reject) => {
    let active = 0;
    let interrupted: AbortReason | undefined;
    const waits: Waits = new Map();
    const open = new Set<CompiledStep>();
    for (const step of steps) if (!resume(run, step, deps)) open.add(step);

    const advance = async (): Promise<void> => {
      const ready = interrupted === undefined && !isHolding(run) ? takeReady(run, open, waits, deps) : [];
      // Whatever starts now may need what ended before; whoever still runs may take long.
      if (ready.length > 0 || active > 0) {
        active += ready.length;
        if (!(await flushRun(run, deps))) interrupted = run.abortedBy ?? 'lease_lost';
        if (interrupted !== undefined) active -= ready.length;
        else for (const step of ready) void carryOut(step);
      }
      if (active === 0) {
        run.goOn = undefined;
        resolve(endOf(run, steps, open, waits, interrupted));
      }
    };
    const carryOut = async (step: CompiledStep): Promise<void> => {
      try {
        const end = await runStep(run, step, deps);
        active -= 1;
        if (end.kind === 'interrupted') interrupted = end.by;
        if (interrupted === 'cancelled') cancelWaiting(run, open, waits, deps);
        if (end.kind === 'waiting') waits.set(step.definition.id, end);
        if (end.kind === 'waiting' || end.kind === 'paused') open.add(step);
        await advance();
      } catch (error) {
        reject(error);
      }
    };
    // Where nothing runs any more, the run is on its way back to the queue and goes on from there.
    run.goOn = () => {
      if (active > 0) advance().catch(reject);
    };
    advance().catch(reject);
  });
}

/** Nobody comes back to the steps that wait for a retry of theirs. */
function cancelWaiting(run: LiveRun, open: Set<CompiledStep>, waits: Waits, deps: ExecuteDeps): void {
  for (const step of open) {
    if (!waits.delete(step.definition.id)) continue;
    open.delete(step);
    noteEnd(run, step, stepProgress(run, step.definition.id), { kind: 'interrupted', by: 'cancelled' }, deps);
  }
}

/** Steps that ended in an earlier claim are not run again. */
function resume(run: LiveRun, step: CompiledStep, deps: ExecuteDeps): boolean {
  const progress = run.steps.get(step.definition.id);
  if (!progress || progress.state === 'pending') return false;
  if (progress.state === 'failed' && progress.finishedAt === null) {
    // The loading of the run has failed it, and it is not on record yet.
    progress.finishedAt = new Date(deps.clock.now());
    noteEnd(run, step, progress, { kind: 'failed' }, deps);
  }
  if (progress.state === 'completed' && step.items) run.failedItems += countFailed(run, step);
  if (progress.state === 'completed' && step.isCollected && progress.output === undefined) {
    progress.output = restoredOutputs(run, step);
    run.scope.steps[step.definition.id] = toStepScope(progress);
  }
  return true;
}

/** Takes the steps that may start now out of `open`; those that never can are settled on the way. */
function takeReady(run: LiveRun, open: Set<CompiledStep>, waits: Waits, deps: ExecuteDeps): CompiledStep[] {
  const ready: CompiledStep[] = [];
  for (let settled = true; settled; ) {
    settled = false;
    for (const step of open) {
      const readiness = readinessOf(run, step);
      if (readiness.kind === 'not_yet') continue;
      const until = waits.get(step.definition.id)?.untilMs;
      if (until !== undefined && until > deps.clock.now() && !signalOf(run).aborted) continue;
      open.delete(step);
      waits.delete(step.definition.id);
      if (readiness.kind === 'ready' && checkCondition(run, step, deps)) ready.push(step);
      else settled = true;
      if (readiness.kind === 'never') settleUnreached(run, step, readiness.because, deps);
    }
  }
  return ready;
}

type Readiness = { kind: 'ready' | 'not_yet' } | { kind: 'never'; because: string };

function readinessOf(run: LiveRun, step: CompiledStep): Readiness {
  for (const id of step.needs) {
    const need = run.steps.get(id);
    if (!need || need.state === 'pending' || need.state === 'running' || need.state === 'waiting') {
      return { kind: 'not_yet' };
    }
    if (need.state === 'cancelled') return { kind: 'never', because: `it needs ${id}, which did not run` };
    const isTolerated = run.compiled.byId.get(id)?.definition.continueOnError ?? false;
    if (need.state === 'failed' && !isTolerated) return { kind: 'never', because: `it needs ${id}, which failed` };
  }
  return { kind: 'ready' };
}

/** False where the step's `if` says no (it is skipped) or cannot be told (it has failed). */
function checkCondition(run: LiveRun, step: CompiledStep, deps: ExecuteDeps): boolean {
  if (!step.condition) return true;
  const said = step.condition.evaluate(run.scope);
  if (said.ok && said.value) return true;
  const progress = stepProgress(run, step.definition.id);
  progress.finishedAt = new Date(deps.clock.now());
  if (said.ok) {
    progress.state = 'skipped';
    noteStep(
      run,
      step,
      undefined,
      progress,
      { event: 'step.skipped', reason: `if: ${step.definition.if}` },
      deps.clock,
    );
    reportStepSkipped(run, step, deps.clock);
  } else {
    progress.state = 'failed';
    progress.error = said.error;
    noteStep(run, step, undefined, progress, { event: 'step.failed', reason: said.error.message }, deps.clock);
  }
  return false;
}

function settleUnreached(run: LiveRun, step: CompiledStep, because: string, deps: ExecuteDeps): void {
  const progress = stepProgress(run, step.definition.id);
  progress.state = 'cancelled';
  progress.error = { name: 'NotReached', message: because, class: 'fatal' };
  noteStep(run, step, undefined, progress, { event: 'step.cancelled', reason: because }, deps.clock);
}

async function runStep(run: LiveRun, step: CompiledStep, deps: ExecuteDeps): Promise<AttemptsEnd> {
  const progress = stepProgress(run, step.definition.id);
  run.running.set(step.definition.id, { step, progress, toldAt: false });
  const end = await carryOutStep(run, step, progress, deps);
  run.running.delete(step.definition.id);
  noteEnd(run, step, progress, end, deps);
  if (step.cacheKey && !step.items && end.kind === 'completed') await keepResult(run, step, undefined, progress, deps);
  return end;
}

function carryOutStep(
  run: LiveRun,
  step: CompiledStep,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<AttemptsEnd> {
  if (runsByChildren(step.definition)) {
    const own = whileOurs(run, deps);
    if (step.items) return distribute(run, step, progress, own);
    return takeOrRun(run, step, undefined, progress, deps, () => runAsChild(run, step, progress, own));
  }
  return step.items ? fanOut(run, step, progress, deps) : takeOrRun(run, step, undefined, progress, deps);
}

const cancelled: StoredError = { name: 'Cancelled', message: 'the run was cancelled', class: 'fatal' };

function isCancelled(progress: StepProgress | undefined): boolean {
  return progress?.state === 'cancelled' && progress.error?.name === cancelled.name;
}

function noteEnd(run: LiveRun, step: CompiledStep, progress: StepProgress, end: AttemptsEnd, deps: ExecuteDeps): void {
  const attempt = progress.attempts;
  if (end.kind === 'completed') {
    reportStepDone(run, step, deps.clock);
    // It ran again for the sake of its files.
    const isEdited = run.edited?.has(step.definition.id) ?? false;
    if (isEdited) progress.output = run.edited?.get(step.definition.id);
    const stored = step.items && !isEdited ? { ...progress, output: undefined } : progress;
    noteStep(
      run,
      step,
      undefined,
      stored,
      {
        event: 'step.completed',
        attempt,
        data: { progress: run.progress, ...(progress.cachedFrom && { cached_from: progress.cachedFrom }) },
      },
      deps.clock,
    );
    run.scope.steps[step.definition.id] = toStepScope(progress);
  } else if (end.kind === 'failed') {
    const reason = `${progress.error?.name}: ${progress.error?.message}`;
    noteStep(run, step, undefined, progress, { event: 'step.failed', attempt, reason }, deps.clock);
    if (step.definition.continueOnError) reportStepDone(run, step, deps.clock);
  } else if (end.kind === 'waiting') {
    progress.state = 'waiting';
    // What people or children end may end before its time: only a retry is held back until then.
    const isHeldBack = end.waitKind === 'step_retry' || end.waitKind === 'rate_limit';
    progress.notBefore = isHeldBack && Number.isFinite(end.untilMs) ? end.untilMs : 0;
    if (isForPeople(end.waitKind)) reportStepAsks(run, step, deps.clock);
    const reason = end.waitKind === 'step_retry' ? 'retry' : end.waitKind;
    noteStep(run, step, undefined, progress, { event: 'step.waiting', attempt, reason }, deps.clock);
    progress.state = 'pending';
  } else if (end.kind === 'skipped') {
    const reason = `skipped by ${end.by ?? 'nobody'}`;
    noteStep(run, step, undefined, progress, { event: 'step.skipped', attempt, reason }, deps.clock);
    reportStepSkipped(run, step, deps.clock);
  } else if (end.kind === 'paused') {
    progress.state = 'pending';
    noteStep(run, step, undefined, progress, { event: 'step.released', reason: 'pause' }, deps.clock);
  } else if (end.by === 'cancelled') {
    progress.state = 'cancelled';
    progress.finishedAt = new Date(deps.clock.now());
    progress.error = cancelled;
    noteStep(run, step, undefined, progress, { event: 'step.cancelled', attempt }, deps.clock);
  } else if (end.by === 'shutdown') {
    progress.state = 'pending';
    noteStep(run, step, undefined, progress, { event: 'step.released', reason: 'shutdown' }, deps.clock);
  }
}

function endOf(
  run: LiveRun,
  steps: readonly CompiledStep[],
  open: ReadonlySet<CompiledStep>,
  waits: Waits,
  interrupted: AbortReason | undefined,
): StepsEnd {
  if (interrupted !== undefined) return { kind: 'interrupted', by: interrupted };
  // An earlier claim obeyed the cancel; this one only goes on with the clean-up.
  if (steps.some(({ definition }) => isCancelled(run.steps.get(definition.id)))) {
    return { kind: 'interrupted', by: 'cancelled' };
  }
  if (open.size > 0 && isHolding(run)) return { kind: 'paused' };
  if (waits.size > 0) return waitOf(waits);
  for (const step of steps) {
    const progress = run.steps.get(step.definition.id);
    if (progress?.state !== 'failed' || step.definition.continueOnError) continue;
    const error = progress.error ?? { name: 'Error', message: 'the step failed', class: 'fatal' as const };
    return { kind: 'failed', step: step.definition.id, error };
  }
  return { kind: 'completed' };
}

/** It goes on with the first of them; people are told first what only they can end. */
function waitOf(waits: Waits): StepsEnd {
  const all = [...waits.values()];
  const shown = all.find((wait) => isForPeople(wait.waitKind)) ?? (all[0] as Wait);
  return {
    kind: 'waiting',
    untilMs: Math.min(...all.map((wait) => wait.untilMs)),
    waitKind: shown.waitKind,
    stopsClock: all.every((wait) => isForPeople(wait.waitKind)),
  };
}
