// Distributed fan-out: items run as child runs, a window of them at a time, so that many items are never many live runs.
import { defaultChildren, pipelineRunType } from '../domain/child-run.ts';
import type { StoredError } from '../domain/outcome.ts';
import { findItemError, loadItemOutputs, loadSettledItems } from '../queue/load-items.ts';
import {
  closeChildren,
  copyItemsOfChildren,
  listOpenChildren,
  type OpenChild,
  readOutcomes,
  reopenFailedItems,
} from '../queue/settle-children.ts';
import { type MadeChild, makePart, makeRunOfPipeline } from './child-runs.ts';
import {
  closeUnread,
  endedWithRun,
  endFailed,
  enqueue,
  errorOfChild,
  interruptionOf,
  outputOfRun,
  startedOutput,
  untilChildrenEnd,
} from './child-step.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { evaluateItems, maxCollected, tooMuchOutput } from './fan-out.ts';
import { flushRun } from './flush-run.ts';
import { freshProgress, isHolding, type LiveRun, noteStep, noteTransition, type StepProgress } from './live-run.ts';
import type { AttemptsEnd } from './run-attempts.ts';
import { reportProgress } from './run-progress.ts';

/** Children enqueued by one statement. */
const batch = 200;

const isOpen = 0;
const isCompleted = 1;
const isFailed = 2;

/** Which items are settled: a byte an item, whatever they gave. */
type Settled = Uint8Array;

/** As `fanOut`, by children. The items' values come from the list at each claim; their outcomes are in the database. */
export async function distribute(
  run: LiveRun,
  step: CompiledStep,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<AttemptsEnd> {
  const items = evaluateItems(run, step);
  if (!Array.isArray(items)) return endFailed(progress, items, deps);
  const { id } = step.definition;
  const { runId, token } = run.claimed;
  const mine = { runId, token, step: id, generation: progress.attempts };
  progress.state = 'running';
  progress.startedAt ??= new Date(deps.clock.now());
  if (mine.generation > 0) await reopenFailedItems(deps.db, mine);
  for (;;) {
    // First: children that were ended with this run are no failures of their items.
    const settle = () => keepSettled(run, step, mine.generation, deps);
    const interrupted = await interruptionOf(run, progress, deps, settle);
    if (interrupted) return interrupted;
    const children = await listOpenChildren(deps.db, runId, id);
    const ended = children.filter((child) => child.state !== null && child.generation === mine.generation);
    await closeUnread(
      children.filter((child) => child.generation !== mine.generation),
      deps,
    );
    if (await endedWithRun(run, ended, deps)) return untilChildrenEnd;
    if (ended.length > 0 && !(await takeOver(run, step, ended, deps))) return leaseLost;
    const settled = await loadSettled(run, step, items.length, deps);
    report(run, step, settled, deps);
    // Those of an earlier try count: no item has two at once.
    const live = children.filter((child) => child.state === null);
    const failed = count(settled, isFailed);
    // Of an item that ended all of them its child tells.
    const isStopped =
      failed > 0 && (step.definition.foreach?.onItemError === 'fail' || (await endedAll(run, step, deps)));
    const ranges = isStopped || isHolding(run) ? [] : nextRanges(step, settled, live);
    if (ranges.length > 0) {
      const made = await makeChildren(run, step, items, ranges, progress, deps);
      if (made === 'lease_lost') return leaseLost;
      if (made !== 'made') return endFailed(progress, made, deps);
      continue;
    }
    if (live.length > 0) return untilChildrenEnd;
    if (isStopped) return endFailed(progress, await itemErrorOf(run, step, items.length, deps), deps);
    if (count(settled, isOpen) > 0) return { kind: 'paused' };
    return await complete(run, step, progress, failed, deps);
  }
}

const leaseLost: AttemptsEnd = { kind: 'interrupted', by: 'lease_lost' };

/** What ended children came to is the items' outcome, durably, before their places are given away. */
async function takeOver(
  run: LiveRun,
  step: CompiledStep,
  ended: readonly OpenChild[],
  deps: ExecuteDeps,
): Promise<boolean> {
  const { runId, token } = run.claimed;
  const { id } = step.definition;
  const parts = ended.filter((child) => child.isPart);
  await copyItemsOfChildren(
    deps.db,
    { runId, token, step: id },
    parts.map((child) => child.id),
  );
  const lost = parts.filter((child) => child.state !== 'completed');
  if (lost.length > 0) {
    const { completed, failed, skipped } = await loadSettledItems(deps.db, runId, id);
    const known = new Set([...completed, ...failed, ...skipped]);
    const stops = step.definition.foreach?.onItemError === 'fail';
    for (const child of lost) {
      // The item that failed has ended it: the others are for the next try.
      const isTold = child.state === 'failed' && failed.some((item) => item >= child.from && item < child.to);
      if ((!stops && child.error?.scope !== 'run') || !isTold) failRest(run, step, child, known, deps);
    }
  }
  for (const child of ended) if (!child.isPart) await noteRunOfItem(run, step, child, deps);
  const completed = ended.filter((child) => child.state === 'completed').length;
  const data = { runs: ended.length, completed };
  noteTransition(run, { event: 'step.children_ended', step: id, data }, deps.clock);
  if (!(await flushRun(run, deps))) return false;
  await closeChildren(
    deps.db,
    ended.map((child) => child.id),
  );
  return true;
}

/** What items came to before the others were ended stays; the others are for the next try. */
async function keepSettled(run: LiveRun, step: CompiledStep, generation: number, deps: ExecuteDeps): Promise<void> {
  const { runId, token } = run.claimed;
  const { id } = step.definition;
  const children = (await listOpenChildren(deps.db, runId, id)).filter((child) => child.state !== null);
  const ended = children.filter((child) => child.generation === generation);
  await copyItemsOfChildren(
    deps.db,
    { runId, token, step: id },
    ended.filter((child) => child.isPart).map((child) => child.id),
  );
  for (const child of ended) {
    if (!child.isPart && child.state === 'completed') await noteRunOfItem(run, step, child, deps);
  }
  if (await flushRun(run, deps)) await closeUnread(children, deps);
}

/** A child that was lost (cancelled, a dead letter) took its items with it. */
function failRest(
  run: LiveRun,
  step: CompiledStep,
  child: OpenChild,
  known: ReadonlySet<number>,
  deps: ExecuteDeps,
): void {
  const error = errorOfChild(child);
  for (let item = child.from; item < child.to; item += 1) {
    if (known.has(item)) continue;
    const finishedAt = new Date(deps.clock.now());
    const progress = { ...freshProgress(), state: 'failed' as const, attempts: 1, error, finishedAt };
    noteStep(run, step, item, progress, { event: 'item.failed', reason: error.message }, deps.clock);
  }
}

async function noteRunOfItem(run: LiveRun, step: CompiledStep, child: OpenChild, deps: ExecuteDeps): Promise<void> {
  const isDone = child.state === 'completed';
  const progress: StepProgress = {
    ...freshProgress(),
    state: isDone ? 'completed' : 'failed',
    attempts: 1,
    output: isDone ? outputOfRun(child, await readOutcomes(deps.db, child.id)) : undefined,
    error: isDone ? null : errorOfChild(child),
    finishedAt: new Date(deps.clock.now()),
  };
  noteStep(run, step, child.from, progress, { event: `item.${progress.state}` }, deps.clock);
}

async function loadSettled(run: LiveRun, step: CompiledStep, total: number, deps: ExecuteDeps): Promise<Settled> {
  const settled = new Uint8Array(total);
  const { completed, failed, skipped } = await loadSettledItems(deps.db, run.claimed.runId, step.definition.id);
  for (const item of completed) if (item < total) settled[item] = isCompleted;
  for (const item of skipped) if (item < total) settled[item] = isCompleted;
  for (const item of failed) if (item < total) settled[item] = isFailed;
  return settled;
}

function count(settled: Settled, state: number): number {
  let found = 0;
  for (const one of settled) if (one === state) found += 1;
  return found;
}

function report(run: LiveRun, step: CompiledStep, settled: Settled, deps: ExecuteDeps): void {
  const total = settled.length;
  const done = total - count(settled, isOpen);
  reportProgress(run, step, { done, total, message: `${done} of ${total}` }, deps.clock);
}

/** Items of the next children, in order, as many as there is room for. */
function nextRanges(step: CompiledStep, settled: Settled, live: readonly OpenChild[]): { from: number; to: number }[] {
  const chunk = step.definition.chunk ?? 1;
  const room = Math.min((step.definition.foreach?.maxParallel ?? defaultChildren) - live.length, batch);
  const taken = settled.slice();
  for (const child of live) taken.fill(isCompleted, child.from, child.to);
  const ranges: { from: number; to: number }[] = [];
  for (let at = 0; at < taken.length && ranges.length < room; ) {
    if (taken[at] !== isOpen) {
      at += 1;
      continue;
    }
    const from = at;
    while (at < taken.length && at - from < chunk && taken[at] === isOpen) at += 1;
    ranges.push({ from, to: at });
  }
  return ranges;
}

async function makeChildren(
  run: LiveRun,
  step: CompiledStep,
  items: readonly unknown[],
  ranges: readonly { from: number; to: number }[],
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<'made' | 'lease_lost' | StoredError> {
  const children = [];
  for (const range of ranges) {
    const made: MadeChild =
      step.definition.uses === pipelineRunType
        ? await makeRunOfPipeline(run, step, { index: range.from, value: items[range.from] }, progress.attempts, deps)
        : makePart(run, step, { ...range, values: items.slice(range.from, range.to) }, progress.attempts, deps);
    if (!made.ok) return made.error;
    children.push(made.child);
  }
  if (!(await enqueue(run, step, children, deps))) return 'lease_lost';
  for (const child of children) {
    if (child.isAwaited) continue;
    const finishedAt = new Date(deps.clock.now());
    const output = startedOutput(child);
    const started = { ...freshProgress(), state: 'completed' as const, attempts: 1, output, finishedAt };
    noteStep(run, step, child.child.from, started, { event: 'item.completed' }, deps.clock);
  }
  return (await flushRun(run, deps)) ? 'made' : 'lease_lost';
}

async function endedAll(run: LiveRun, step: CompiledStep, deps: ExecuteDeps): Promise<boolean> {
  return (await findItemError(deps.db, run.claimed.runId, step.definition.id))?.scope === 'run';
}

async function itemErrorOf(run: LiveRun, step: CompiledStep, total: number, deps: ExecuteDeps): Promise<StoredError> {
  const error = await findItemError(deps.db, run.claimed.runId, step.definition.id);
  if (!error) return { name: 'ItemFailed', message: `an item of ${total} failed`, class: 'fatal' };
  return { ...error, message: `an item of ${total} failed: ${error.message}` };
}

async function complete(
  run: LiveRun,
  step: CompiledStep,
  progress: StepProgress,
  failed: number,
  deps: ExecuteDeps,
): Promise<AttemptsEnd> {
  if (step.isCollected) {
    const outputs = await loadItemOutputs(deps.db, run.claimed.runId, step.definition.id, maxCollected);
    if (outputs === undefined) return endFailed(progress, tooMuchOutput(step), deps);
    progress.output = outputs;
  }
  run.failedItems += failed;
  progress.state = 'completed';
  progress.attempts += 1;
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'completed' };
}
