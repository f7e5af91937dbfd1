// A step that a run of its own carries out: the parent enqueues it, gives back its worker and takes over what came of it.
import type { Json } from '../base/json.ts';
import { pipelineRunType } from '../domain/child-run.ts';
import { errorMessage } from '../domain/errors.ts';
import type { StoredError } from '../domain/outcome.ts';
import { admitRuns, type SlotKey } from '../queue/admit-runs.ts';
import { cancelChildren, countEnding } from '../queue/cancel-children.ts';
import { enqueueChildren, type NewChild } from '../queue/enqueue-children.ts';
import {
  closeChildren,
  isAskedToEnd,
  listOpenChildren,
  type OpenChild,
  readOutcomes,
} from '../queue/settle-children.ts';
import { abortReasonOf } from '../steps/abort-reason.ts';
import { announceChildren, makePart, makeRunOfPipeline } from './child-runs.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { isHolding, type LiveRun, noteTransition, type StepProgress, signalOf } from './live-run.ts';
import type { AttemptsEnd } from './run-attempts.ts';

/** Larger outputs of a step are artifacts. */
const maxOutput = 1_048_576;
/** How long the end of a run waits for children that were asked to end. */
const endWithinMs = 10_000;

export const untilChildrenEnd: AttemptsEnd = { kind: 'waiting', untilMs: Infinity, waitKind: 'children' };

/** As `runAttempts`: leaves what came of it in `progress`. */
export async function runAsChild(
  run: LiveRun,
  step: CompiledStep,
  progress: StepProgress,
  deps: ExecuteDeps,
): Promise<AttemptsEnd> {
  const { id, uses } = step.definition;
  progress.state = 'running';
  progress.startedAt ??= new Date(deps.clock.now());
  for (;;) {
    const open = (await listOpenChildren(deps.db, run.claimed.runId, id)).filter((one) => one.generation >= 0);
    const child = open.find((one) => one.generation === progress.attempts);
    // First: a child that was cancelled with this run is no failure of the step.
    const interrupted = await interruptionOf(run, progress, deps, () => closeEnded(run, step, deps));
    if (interrupted) return interrupted;
    const earlier = open.filter((one) => one !== child);
    await closeUnread(earlier, deps);
    if (child && (await endedWithRun(run, [child], deps))) return untilChildrenEnd;
    if (child && child.state !== null) return takeOver(run, step, progress, child, deps);
    // One of an earlier try that still comes to its end is not joined by another at the same work.
    if (child || earlier.some((one) => one.state === null)) return untilChildrenEnd;
    if (isHolding(run)) return { kind: 'paused' };
    const made =
      uses === pipelineRunType
        ? await makeRunOfPipeline(run, step, undefined, progress.attempts, deps)
        : makePart(run, step, undefined, progress.attempts, deps);
    if (!made.ok) return endFailed(progress, made.error, deps);
    const enqueued = await enqueue(run, step, [made.child], deps);
    if (!enqueued) return { kind: 'interrupted', by: 'lease_lost' };
    if (made.child.isAwaited) continue;
    return endCompleted(progress, startedOutput(made.child), deps);
  }
}

/** Makes children durable and tells of them; false where the run is no longer ours. */
export async function enqueue(
  run: LiveRun,
  step: CompiledStep,
  children: readonly NewChild[],
  deps: ExecuteDeps,
): Promise<boolean> {
  const { runId, token } = run.claimed;
  const { isOurs, made } = await enqueueChildren(deps.children.db, { runId, token }, children);
  if (!isOurs) return false;
  const news = children.filter((child) => made.has(child.run.id));
  if (news.length === 0) return true;
  const data = { runs: news.length, first_run: news[0]?.run.id };
  noteTransition(run, { event: 'step.children_started', step: step.definition.id, data }, deps.clock);
  await announceChildren(news, deps);
  return true;
}

/** What ends the waiting for children before they have; they are ended first, and `settle` takes over from them what it wants. */
export async function interruptionOf(
  run: LiveRun,
  progress: StepProgress,
  deps: ExecuteDeps,
  settle: () => Promise<void>,
): Promise<AttemptsEnd | undefined> {
  const signal = signalOf(run);
  if (!signal.aborted) return undefined;
  const by = run.abortedBy === 'lease_lost' ? 'lease_lost' : abortReasonOf(signal.reason);
  if (by === 'lease_lost' || by === 'shutdown') return { kind: 'interrupted', by };
  await endChildren(run, deps);
  await settle();
  if (by !== 'timeout') return { kind: 'interrupted', by };
  return endFailed(progress, { name: 'TimeoutError', message: errorMessage(signal.reason), class: 'fatal' }, deps);
}

/** Ends what is live of the run's children, and waits for it a while: clean-up does not begin beside them. */
export async function endChildren(
  run: LiveRun,
  deps: ExecuteDeps,
  of: readonly string[] = [run.claimed.runId],
): Promise<void> {
  const { db } = deps.children;
  const reason = run.cancelledBy?.reason ?? (run.abortedBy === 'timeout' ? 'its parent ran out of time' : null);
  const by = { actor: run.cancelledBy?.actor ?? null, reason, rollback: run.rollback !== undefined };
  const { ended, asked, called, left, admits } = await cancelChildren(db, of, by);
  for (const child of ended) {
    deps.events.emit('run.finished', { ...child, state: 'cancelled', result: 'cancellation', durationMs: 0 });
  }
  await admit(admits, deps);
  if (called > 0 || admits.length > 0) deps.children.onReady();
  for (const node of asked) deps.children.onRequests(node);
  if (left === 0) return;
  const parents = [...of, ...ended.map((child) => child.runId)];
  const deadline = deps.clock.monotonic() + endWithinMs;
  while (!run.isHardAborted && deps.clock.monotonic() < deadline && (await countEnding(db, parents)) > 0) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** That they were cancelled is no failure of what they did: the run is to end, and obeys that with its next claim at the latest. */
export async function endedWithRun(run: LiveRun, children: readonly OpenChild[], deps: ExecuteDeps): Promise<boolean> {
  const isCut = children.some(({ state }) => state === 'cancelled' || state === 'rolled_back');
  return isCut && !run.cleaningUp && isAskedToEnd(deps.db, run.claimed);
}

/** What it cannot give slots to, the sweep does. */
async function admit(keys: readonly SlotKey[], deps: ExecuteDeps): Promise<void> {
  try {
    await admitRuns(deps.children.db, keys);
  } catch (error) {
    deps.events.emit('service.crashed', { service: 'admit', error: String(error) });
  }
}

async function closeEnded(run: LiveRun, step: CompiledStep, deps: ExecuteDeps): Promise<void> {
  await closeUnread(await listOpenChildren(deps.db, run.claimed.runId, step.definition.id), deps);
}

/** What has ended of these is nobody's to take over any more. */
export async function closeUnread(children: readonly OpenChild[], deps: ExecuteDeps): Promise<void> {
  const ended = children.filter((child) => child.state !== null);
  await closeChildren(
    deps.db,
    ended.map((child) => child.id),
  );
}

async function takeOver(
  run: LiveRun,
  step: CompiledStep,
  progress: StepProgress,
  child: OpenChild,
  deps: ExecuteDeps,
): Promise<AttemptsEnd> {
  const outcomes = await readOutcomes(deps.db, child.id);
  await closeChildren(deps.db, [child.id]);
  const data = { run: child.id, state: child.state };
  noteTransition(run, { event: 'step.children_ended', step: step.definition.id, data }, deps.clock);
  const own = child.isPart ? outcomes.find((one) => one.step === step.definition.id) : undefined;
  if (child.state !== 'completed') {
    const error = own?.state === 'failed' ? own.error : undefined;
    return endFailed(progress, error ?? errorOfChild(child), deps);
  }
  run.failedItems += child.failedItems;
  if (!child.isPart) return endCompleted(progress, outputOfRun(child, outcomes), deps);
  return endCompleted(progress, own?.output ?? undefined, deps);
}

export function errorOfChild({ id, state, error }: Pick<OpenChild, 'id' | 'state' | 'error'>): StoredError {
  if (error && state === 'failed') return { ...error, message: `run ${id} failed: ${error.message}` };
  const why = error ? `: ${error.message}` : '';
  return { name: 'ChildEnded', message: `run ${id} ended as ${state}${why}`, class: 'fatal' };
}

/** What `pipeline.run` gives: the run, and what its steps gave. */
export function outputOfRun(
  child: Pick<OpenChild, 'id' | 'state' | 'failedItems'>,
  outcomes: readonly { step: string; state: string; output: Json }[],
): Json {
  const outputs = Object.fromEntries(
    outcomes.filter((one) => one.state === 'completed').map((one) => [one.step, one.output]),
  );
  const whole = { run_id: child.id, state: child.state, failed_items: child.failedItems, outputs };
  return JSON.stringify(whole).length <= maxOutput ? whole : { ...whole, outputs: null };
}

export function startedOutput({ run }: NewChild): Json {
  return { run_id: run.id, state: 'pending', failed_items: 0, outputs: null };
}

function endCompleted(progress: StepProgress, output: Json | undefined, deps: ExecuteDeps): AttemptsEnd {
  progress.state = 'completed';
  progress.attempts += 1;
  progress.output = output;
  progress.error = null;
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'completed' };
}

export function endFailed(progress: StepProgress, error: StoredError, deps: ExecuteDeps): AttemptsEnd {
  progress.state = 'failed';
  progress.attempts += 1;
  progress.error = error;
  progress.finishedAt = new Date(deps.clock.now());
  return { kind: 'failed' };
}
