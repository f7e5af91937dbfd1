// Fan-out: one step over a list of items, a few at a time; every item has its own attempts and its own checkpoint.
import type { Json } from '../base/json.ts';
import type { StoredError } from '../domain/outcome.ts';
import { isForPeople } from '../domain/run.ts';
import type { AbortReason } from '../steps/api.ts';
import { keepResult, takeOrRun } from './cached-result.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { flushRun } from './flush-run.ts';
import { isHolding, isOutOfTime, itemProgress, type LiveRun, noteStep, type StepProgress } from './live-run.ts';
import type { AttemptsEnd } from './run-attempts.ts';
import { reportProgress } from './run-progress.ts';

/** Characters of JSON that the outputs of a step's items may come to where expressions read them. */
export const maxCollected = 8 * 1_048_576;

type Wait = AttemptsEnd & { kind: 'waiting' };

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
  const first = run.part?.from ?? 0;
  const all = items.map((value, at) => {
    const index = first + at;
    return { value, index, progress: itemProgress(run, step.definition.id, index) };
  });
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
  let collected = step.isCollected ? sizeOf(all.map((item) => item.progress.output)) : 0;
  let waiting: Wait | undefined;
  let stop: AttemptsEnd | undefined;
  const failedBefore = all.filter((item) => item.progress.state === 'failed');
  const decisive = failedBefore.find((item) => item.progress.error?.scope === 'run') ?? failedBefore[0];
  let firstError: StoredError | undefined = decisive?.progress.error ?? undefined;
  if (firstError && (onItemError === 'fail' || firstError.scope === 'run')) stop = { kind: 'failed' };
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
        waiting = waiting === undefined ? end : bothWaits(waiting, end);
        item.progress.state = 'waiting';
      }
      if (end.kind !== 'waiting') settled += 1;
      report();
      const { attempts: attempt, cachedFrom } = item.progress;
      const data = {
        ...{ done: settled, total: all.length, progress: run.progress },
        ...(cachedFrom && { cached_from: cachedFrom }),
      };
      const event = `item.${item.progress.state}`;
      noteStep(run, step, item.index, item.progress, { event, attempt, data }, deps.clock);
      if (end.kind === 'failed') {
        const { error } = item.progress;
        const isOver = isOutOfTime(run, error) || error?.scope === 'run';
        if (isOver || firstError === undefined) firstError = error ?? undefined;
        if (isOver || onItemError === 'fail') stop = { kind: 'failed' };
      }
      // An item's outcome is durable before its place is given to the next.
      if (!(await flushRun(run, deps))) stop = { kind: 'interrupted', by: run.abortedBy ?? 'lease_lost' };
      else if (step.cacheKey && end.kind === 'completed') await keepResult(run, step, item, item.progress, deps);
      if (step.isCollected) collected += sizeOf([item.progress.output]);
      if (collected > maxCollected) stop = { kind: 'failed' };
      // It is durable; ten thousand of them are not for this node's memory.
      if (!keepsOutputs(step)) item.progress.output = undefined;
    }
  };
  // Children of a distributed step are as many at once as it allows: the items of one come one by one.
  const lanes = run.part ? 1 : maxParallel;
  await Promise.all(Array.from({ length: Math.min(lanes, open.length) }, lane));
  if (stop?.kind === 'interrupted') return stop;
  if (collected > maxCollected) return failStep(progress, tooMuchOutput(step), deps);
  if (stop?.kind === 'failed') return failStep(progress, itemError(all.length, firstError), deps);
  // Also where the pause was withdrawn meanwhile: what it held back is taken up again.
  if (open.some((item) => item.progress.state !== 'waiting' && !isSettled(item.progress))) return { kind: 'paused' };
  if (isHolding(run) && settled < all.length) return { kind: 'paused' };
  if (waiting) return waiting;
  run.failedItems += countFailed(run, step);
  progress.state = 'completed';
  progress.attempts += 1;
  progress.output = step.isCollected ? all.map((item) => item.progress.output ?? null) : undefined;
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'completed' };
}

/** It goes on with the sooner; that people are waited for stops the clock of the run only where nothing else is. */
function bothWaits(one: Wait, other: Wait): Wait {
  const shown = isForPeople(one.waitKind) ? other : one;
  return { ...shown, untilMs: Math.min(one.untilMs, other.untilMs) };
}

/** Whether outputs of items stay in memory: expressions read them, or undoing the items does. */
export function keepsOutputs({ isCollected, type }: CompiledStep): boolean {
  return isCollected || type?.compensates === true;
}

/** Characters of JSON. */
function sizeOf(outputs: readonly (Json | undefined)[]): number {
  return outputs.reduce<number>((sum, one) => sum + (one === undefined ? 0 : JSON.stringify(one).length), 0);
}

export function tooMuchOutput({ definition }: CompiledStep): StoredError {
  const most = `${maxCollected / 1_048_576} MB`;
  const how = 'let the items put artifacts (ctx.artifacts.put) and give their ids';
  const message = `the outputs of the items of ${definition.id}, which expressions read, are larger than ${most}: ${how}`;
  return { name: 'OutputTooLarge', message, class: 'fatal' };
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
  if (items === undefined) return run.failedOfChildren?.get(step.definition.id) ?? 0;
  return [...items.values()].filter((item) => item.state === 'failed').length;
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

/** The values a step goes over; a child is given its own. */
export function evaluateItems(run: LiveRun, step: CompiledStep): unknown[] | StoredError {
  if (run.part?.items) return [...run.part.items];
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
