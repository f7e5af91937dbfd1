// Fan-out: one step over a list of items, a few at a time; every item has its own attempts and its own checkpoint.
import type { Json } from '../base/json.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { AbortReason } from '../steps/api.ts';
import { keepResult, takeOrRun } from './cached-result.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushRun } from './flush-run.ts';
import { isHolding, isOutOfTime, itemProgress, type LiveRun, noteStep, type StepProgress } from './live-run.ts';
import type { AttemptsEnd } from './run-attempts.ts';
import { reportProgress } from './run-progress.ts';

/** Leaves the list of outputs (null for an item that has none) in `progress.output`. */
export async function fanOut(
  run: LiveRun,
  step: CompiledStep,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<AttemptsEnd> {
  const items = evaluateItems(run, step);
  if (!Array.isArray(items)) return failStep(progress, items, deps);
  const { maxParallel, onItemError } = step.definition.foreach ?? { maxParallel: 1, onItemError: 'fail' };
  const all = items.map((value, index) => ({ value, index, progress: itemProgress(run, step.definition.id, index) }));
  const open = all.filter((item) => !isSettled(item.progress));
  progress.state = 'running';
  progress.startedAt ??= new Date(deps.clock.now());
  let settled = all.length - open.length;
  const report = () => {
    const message = `${settled} of ${all.length}`;
    reportProgress(run, step, { done: settled, total: all.length, message }, deps.clock);
  };
  report();
  for (const { index, progress: item } of all) noteUntold(run, step, index, item, deps);

  let next = 0;
  let waiting: (AttemptsEnd & { kind: 'waiting' }) | undefined;
  let stop: AttemptsEnd | undefined;
  let firstError: StoredError | undefined =
    all.find((item) => item.progress.state === 'failed')?.progress.error ?? undefined;
  if (firstError && onItemError === 'fail') stop = { kind: 'failed' };
  const lane = async () => {
    while (!stop && next < open.length && !isHolding(run)) {
      const item = open[next];
      next += 1;
      if (!item) return;
      const end = await takeOrRun(run, step, item, item.progress, deps);
      if (end.kind === 'interrupted') {
        noteInterrupted(run, step, item.index, item.progress, end.by, deps);
        stop = end;
        return;
      }
      if (end.kind === 'paused') {
        noteInterrupted(run, step, item.index, item.progress, 'pause', deps);
        return;
      }
      if (end.kind === 'waiting') {
        waiting = waiting === undefined || end.untilMs < waiting.untilMs ? end : waiting;
        item.progress.state = 'waiting';
      }
      noteStep(
        run,
        step,
        item.index,
        item.progress,
        {
          event: `item.${item.progress.state}`,
          attempt: item.progress.attempts,
          ...(item.progress.cachedFrom && { data: { cached_from: item.progress.cachedFrom } }),
        },
        deps.clock,
      );
      if (end.kind !== 'waiting') settled += 1;
      report();
      if (end.kind === 'failed') {
        const { error } = item.progress;
        const isOver = isOutOfTime(run, error);
        if (isOver || firstError === undefined) firstError = error ?? undefined;
        if (isOver || onItemError === 'fail') stop = { kind: 'failed' };
      }
      // An item's outcome is durable before its place is given to the next.
      if (!(await flushRun(run, deps))) stop = { kind: 'interrupted', by: run.abortedBy ?? 'lease_lost' };
      else if (step.cacheKey && end.kind === 'completed') await keepResult(run, step, item, item.progress, deps);
    }
  };
  await Promise.all(Array.from({ length: Math.min(maxParallel, open.length) }, lane));
  if (stop?.kind === 'interrupted') return stop;
  if (stop?.kind === 'failed') return failStep(progress, itemError(all.length, firstError), deps);
  if (isHolding(run) && settled < all.length) return { kind: 'paused' };
  if (waiting) return waiting;
  run.failedItems += countFailed(run, step);
  progress.state = 'completed';
  progress.attempts += 1;
  progress.output = all.map((item) => item.progress.output ?? null);
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'completed' };
}

/** The outputs of a fan-out that ended before this claim, from its items. */
export function restoredOutputs(run: LiveRun, step: CompiledStep): Json {
  const items = run.items.get(step.definition.id) ?? new Map<number, StepProgress>();
  const indexes = [...items.keys()].sort((a, b) => a - b);
  return indexes.map((index) => items.get(index)?.output ?? null);
}

/** Items of the step that have failed for good. */
export function countFailed(run: LiveRun, step: CompiledStep): number {
  const items = run.items.get(step.definition.id);
  return items === undefined ? 0 : [...items.values()].filter((item) => item.state === 'failed').length;
}

/** An item that the loading of its run has failed is not on record yet. */
function noteUntold(run: LiveRun, step: CompiledStep, index: number, item: StepProgress, deps: ExecuteDeps): void {
  if (item.state !== 'failed' || item.finishedAt !== null) return;
  item.finishedAt = new Date(deps.clock.now());
  noteStep(run, step, index, item, { event: 'item.failed', attempt: item.attempts }, deps.clock);
}

/** What had begun is on record as under way: its interruption is, too, and nobody takes it for a crash. */
function noteInterrupted(
  run: LiveRun,
  step: CompiledStep,
  index: number,
  item: StepProgress,
  by: AbortReason | 'pause',
  deps: ExecuteDeps,
): void {
  if (item.startedAt === null || by === 'lease_lost') return;
  item.state = by === 'cancelled' ? 'cancelled' : 'pending';
  const event = by === 'cancelled' ? 'item.cancelled' : 'item.released';
  noteStep(run, step, index, item, { event, reason: by }, deps.clock);
}

function evaluateItems(run: LiveRun, step: CompiledStep): unknown[] | StoredError {
  const evaluated = step.items?.evaluate(run.scope);
  if (!evaluated) return { name: 'InvalidItems', message: 'the step has no list to go over', class: 'fatal' };
  if (!evaluated.ok) return evaluated.error;
  if (Array.isArray(evaluated.value)) return evaluated.value;
  const got = evaluated.value === null ? 'null' : typeof evaluated.value;
  return {
    name: 'InvalidItems',
    message: `foreach of step ${step.definition.id}: expected a list, got ${got}`,
    class: 'fatal',
  };
}

function isSettled(progress: StepProgress): boolean {
  return progress.state === 'completed' || progress.state === 'failed' || progress.state === 'skipped';
}

function failStep(progress: StepProgress, error: StoredError, deps: ExecuteDeps): AttemptsEnd {
  progress.state = 'failed';
  progress.error = error;
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'failed' };
}

function itemError(total: number, error: StoredError | undefined): StoredError {
  if (!error) return { name: 'ItemFailed', message: `an item of ${total} failed`, class: 'fatal' };
  return { ...error, message: `an item of ${total} failed: ${error.message}` };
}
