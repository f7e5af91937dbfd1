// Undoes what the steps of a run did, newest first; each compensation's start and end is durable, and none is made twice once recorded.
import { sleepUnlessAborted } from '../base/service.ts';
import { runsByParts } from '../domain/child-run.ts';
import type { StoredError } from '../domain/outcome.ts';
import { decideRetry, fastRetry, workerHoldMs } from '../domain/retry-policy.ts';
import type { StepState, Transition } from '../domain/run.ts';
import { loadItemOutputs } from '../queue/load-items.ts';
import { loadItemOutput, loadStartedItems } from '../queue/load-started-items.ts';
import { type BegunStep, countLiveParts, takeOverBegun } from '../queue/take-over-begun.ts';
import type { CompensationWrite } from '../queue/write-rollback.ts';
import type { AbortReason, CompensationReason } from '../steps/api.ts';
import type { AttemptResult } from '../steps/observed-step.ts';
import type { RegisteredStep } from '../steps/registry.ts';
import { removeCacheEntries } from '../store/step-cache.ts';
import { endChildren } from './child-step.ts';
import { type CompiledStep, canUndo } from './compiled-pipeline.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { maxCollected } from './fan-out.ts';
import { flushRollback, flushRun } from './flush-run.ts';
import {
  freshProgress,
  type LiveRun,
  noteTransition,
  type StepProgress,
  stepKey,
  toStepScope,
  toStepWrite,
} from './live-run.ts';
import { evaluateInput, type StepInput } from './step-input.ts';
import { attemptKey } from './step-key.ts';
import { allNeeds, type Undoable, undoOrder } from './undo-order.ts';
import { whileOurs } from './while-ours.ts';

export type UndoEnd =
  | { kind: 'done' }
  /** The steps that could not be undone; those that they need are as they were. */
  | { kind: 'failed'; steps: readonly string[]; error: StoredError }
  /** Further off than a worker is held for. */
  | { kind: 'waiting'; untilMs: number }
  | { kind: 'interrupted'; by: AbortReason };

/** Milliseconds one compensation may take where the pipeline does not say. */
const defaultTimeoutMs = 600_000;
/** How long until another look at parts that have not stopped. */
const untilStoppedMs = 2_000;

interface Unit extends Undoable {
  compiled: CompiledStep;
  progress: StepProgress;
}

type UnitEnd =
  | { kind: 'undone' }
  | { kind: 'failed'; error: StoredError }
  | Exclude<UndoEnd, { kind: 'done' | 'failed' }>;

/** Undoes all that has started and is not in `keeps`. A dry run has done nothing. */
export async function undoSteps(
  run: LiveRun,
  undo: { reason: CompensationReason; keeps: ReadonlySet<string> },
  given: ExecuteDeps,
): Promise<UndoEnd> {
  const { compiled } = run;
  if (run.record.dryRun || !compiled.undoes) return { kind: 'done' };
  const deps = whileOurs(run, given);
  await forgetResults(run, deps);
  const order = [...compiled.steps, ...compiled.onFailure, ...compiled.finally].map(({ definition }) => definition);
  // What is told of items is read back from where it is stored.
  if (!(await flushRun(run, deps))) return lost(run);
  const begun = await begunByParts(run, deps);
  if (!(begun instanceof Map)) return begun;
  await restoreFanOuts(run, deps);
  const units = await startedUnits(run, undo.keeps, begun, deps);
  const failed = new Map<string, StoredError>();
  let held = new Set<string>();
  for (const unit of undoOrder(units, order)) {
    // What a step that could not be undone stands on is left to it.
    if (isSettled(run, unit) || held.has(unit.step)) continue;
    const end = await undoUnit(run, unit, undo.reason, deps);
    if (end.kind === 'undone' && !(await settleFanOut(run, unit, units, deps))) return lost(run);
    if (end.kind === 'failed') {
      failed.set(nameOf(unit), failed.get(nameOf(unit)) ?? end.error);
      held = allNeeds([...failed.keys()].map(stepOfName), order);
    } else if (end.kind !== 'undone') return end;
  }
  const [first] = failed.values();
  return first ? { kind: 'failed', steps: [...failed.keys()], error: first } : { kind: 'done' };
}

/** Parts only stop: what they began is the run's own to undo, once nobody is at it any more. */
async function begunByParts(run: LiveRun, deps: ExecuteDeps): Promise<Map<string, BegunStep> | UndoEnd> {
  if (![...run.compiled.byId.values()].some(({ definition }) => runsByParts(definition))) return new Map();
  const { runId, token } = run.claimed;
  const { parentId, origin } = run.record;
  const undoesEnded = parentId !== null && (origin === 'api' || origin === 'cli');
  const parents = undoesEnded ? [runId, parentId] : [runId];
  if ((await countLiveParts(deps.db, parents)) > 0) {
    await endChildren(run, deps, parents);
    if (run.isHardAborted) return lost(run);
    const left = await countLiveParts(deps.db, parents);
    if (left > 0) return { kind: 'waiting', untilMs: deps.clock.now() + untilStoppedMs };
  }
  return (await takeOverBegun(deps.db, { runId, token }, parents)) ?? lost(run);
}

/** No later run is to take from the cache what is undone. Before it is, so that a crash leaves nothing behind. */
async function forgetResults(run: LiveRun, deps: ExecuteDeps): Promise<void> {
  if (!run.compiled.steps.some(({ definition }) => definition.cache)) return;
  const others = [...run.steps.values()].flatMap(({ doneBy, isBorrowed }) => (doneBy && !isBorrowed ? [doneBy] : []));
  await removeCacheEntries(deps.db, [run.claimed.runId, ...new Set(others)]);
}

/** `step`, or `step/item`. */
function nameOf({ step, item }: Undoable): string {
  return item < 0 ? step : `${step}/${item}`;
}

function stepOfName(name: string): string {
  return name.split('/')[0] ?? name;
}

function isSettled(run: LiveRun, { step, item }: Undoable): boolean {
  const state = run.undone?.get(`${step}/${item}`)?.state;
  return state === 'completed' || state === 'irreversible';
}

/** Steps of the run's own clean-up are not undone; those that it has taken over from the run it undoes are. */
async function startedUnits(
  run: LiveRun,
  keeps: ReadonlySet<string>,
  begun: ReadonlyMap<string, BegunStep>,
  deps: ExecuteDeps,
): Promise<Unit[]> {
  const { steps, onFailure, finally: last } = run.compiled;
  const cleanUp = [...onFailure, ...last].filter(({ definition }) => run.steps.get(definition.id)?.doneBy);
  const units: Unit[] = [];
  for (const compiled of [...steps, ...cleanUp]) {
    const { id } = compiled.definition;
    const progress = run.steps.get(id);
    if (!canUndo(compiled) || keeps.has(id) || !progress) continue;
    const whole = () => [{ item: -1, progress: asBegun(compiled, progress, begun.get(id)) }];
    const started = compiled.items ? await startedItems(run, id, deps) : whole();
    for (const one of started) {
      if (!hasStarted(one.progress) || one.progress.isBorrowed) continue;
      const { startedAt, finishedAt, state } = one.progress;
      const isFinished = state === 'completed' || state === 'failed' || state === 'compensated';
      units.push({ ...one, compiled, step: id, startedAt, finishedAt: isFinished ? finishedAt : null });
    }
  }
  return units;
}

/** That a run leaves a step to a part is not its beginning; and it may not have read any more what the part came to. */
function asBegun({ definition }: CompiledStep, progress: StepProgress, begun: BegunStep | undefined): StepProgress {
  const { state, doneBy } = progress;
  if (!runsByParts(definition) || state === 'completed' || state === 'compensated') return progress;
  // What another run did long ago may be known from its own record alone.
  if (!begun) return doneBy && state === 'failed' ? progress : { ...progress, startedAt: null };
  const { isCompleted, output, startedAt, finishedAt } = begun;
  return isCompleted
    ? { ...progress, state: 'completed', output, startedAt, finishedAt }
    : { ...progress, startedAt, finishedAt };
}

/** From the database: memory does not hold what all the items of a run came to. */
async function startedItems(run: LiveRun, step: string, deps: ExecuteDeps) {
  const rows = await loadStartedItems(deps.db, run.claimed.runId, step);
  return rows.map(({ item, doneBy, isBorrowed, ...row }) => ({
    item,
    progress: {
      ...freshProgress(),
      ...row,
      ...(doneBy === null ? {} : { doneBy }),
      ...(isBorrowed ? { isBorrowed: true } : {}),
    },
  }));
}

/** Not by its attempts: one that a stopping node gave back is not counted, and had begun. */
function hasStarted({ startedAt, state }: StepProgress): boolean {
  return state !== 'skipped' && startedAt !== null;
}

async function undoUnit(run: LiveRun, unit: Unit, reason: CompensationReason, deps: ExecuteDeps): Promise<UnitEnd> {
  const { compiled, progress, step } = unit;
  const type = compiled.type as RegisteredStep;
  const row = compensationOf(run, unit);
  if (!type.compensates) {
    row.state = 'irreversible';
    row.finishedAt = new Date(deps.clock.now());
    note(run, unit, { event: 'step.irreversible', ...because(type.irreversible) }, deps);
    return (await flushRollback(run, { compensations: [{ ...row }] }, deps)) ? { kind: 'undone' } : lost(run);
  }
  if (unit.item >= 0) progress.output = await loadItemOutput(deps.db, run.claimed.runId, step, unit.item);
  run.running.set(step, { step: compiled, progress, toldAt: true });
  run.message = `undoing ${nameOf(unit)}`;
  try {
    return await tryUntilUndone(run, unit, row, reason, deps);
  } finally {
    run.running.delete(step);
    run.message = null;
  }
}

async function tryUntilUndone(
  run: LiveRun,
  unit: Unit,
  row: CompensationWrite,
  reason: CompensationReason,
  deps: ExecuteDeps,
): Promise<UnitEnd> {
  const { clock } = deps;
  const policy = (unit.compiled.definition.compensate || undefined)?.retry ?? fastRetry;
  const used = { retries: row.state === 'failed' ? 0 : row.retries, rateLimitedMs: 0, rateLimitedInARow: 0 };
  for (;;) {
    if (run.isHardAborted) return lost(run);
    const heldMs = (row.retryAt?.getTime() ?? 0) - clock.now();
    if (heldMs > workerHoldMs) return { kind: 'waiting', untilMs: clock.now() + heldMs };
    if (heldMs > 0 && !(await sleepUnlessAborted(heldMs, run.hard.signal))) continue;
    const input = await inputOf(run, unit, deps);
    // Its input could not be made when it was to run either: it never began.
    if (!input.ok && isSameError(input.error, unit.progress.error)) return settle(run, unit, row, deps);
    row.attempts += 1;
    Object.assign(row, {
      state: 'running',
      error: null,
      retryAt: null,
      startedAt: row.startedAt ?? new Date(clock.now()),
    });
    note(run, unit, { event: 'step.compensating', attempt: row.attempts, data: { reason } }, deps);
    if (!(await flushRollback(run, { compensations: [{ ...row }] }, deps))) return lost(run);
    const result: AttemptResult = input.ok
      ? await attemptUndo(run, unit, row, input, reason, deps)
      : { kind: 'failed', error: input.error };
    if (result.kind === 'completed') return settle(run, unit, row, deps);
    if (result.kind !== 'failed' && result.kind !== 'timeout') return lost(run);
    const { error } = result;
    used.rateLimitedInARow = error.class === 'rate_limited' ? used.rateLimitedInARow + 1 : 0;
    const decision = decideRetry(policy, used, error, deps.random());
    row.error = error;
    if (decision.kind === 'give_up') return giveUp(run, unit, row, error, deps);
    Object.assign(used, decision);
    row.retries = decision.retries;
    row.retryAt = new Date(clock.now() + decision.delayMs);
    noteRetry(run, unit, row, error, decision.delayMs, deps);
    if (!(await flushRollback(run, { compensations: [{ ...row }] }, deps))) return lost(run);
  }
}

/** The node stops, or the run is another's: whoever goes on sees what is recorded. */
function lost(run: LiveRun): { kind: 'interrupted'; by: AbortReason } {
  return { kind: 'interrupted', by: run.abortedBy === 'shutdown' ? 'shutdown' : 'lease_lost' };
}

async function attemptUndo(
  run: LiveRun,
  unit: Unit,
  row: CompensationWrite,
  input: StepInput & { ok: true },
  reason: CompensationReason,
  deps: ExecuteDeps,
): Promise<AttemptResult> {
  const { compiled, progress, step } = unit;
  const { runId, tenant, pipeline, token } = run.claimed;
  const item = unit.item < 0 ? undefined : unit.item;
  const timeoutMs = (compiled.definition.compensate || undefined)?.timeoutMs ?? defaultTimeoutMs;
  // Where another run did it, names that were made of the run's id are that one's.
  const by = progress.doneBy ?? run.part?.parentId ?? runId;
  return run.span.within(() =>
    deps.observed.run(compiled.type as RegisteredStep, {
      runId,
      tenant,
      pipeline,
      step,
      item,
      attempt: row.attempts,
      token,
      idempotencyKey: `${attemptKey(run, step, item, by)}/compensate`,
      dryRun: false,
      input: input.value,
      env: input.env,
      traceparent: run.record.traceparent ?? undefined,
      timeoutMs,
      ...(compiled.definition.limits ? { limits: compiled.definition.limits } : {}),
      signal: run.hard.signal,
      secrets: input.secrets,
      compensation: { reason, output: row.was === 'completed' ? (progress.output ?? null) : undefined, doneBy: by },
    }),
  );
}

async function inputOf(run: LiveRun, { compiled, progress, item }: Unit, deps: ExecuteDeps): Promise<StepInput> {
  const { scope } = run;
  const own = { ...scope, run: { ...scope.run, id: progress.doneBy ?? run.claimed.runId } };
  const seen: LiveRun = { ...run, scope: own };
  if (item < 0) return evaluateInput(seen, compiled, undefined, deps);
  const items = compiled.items?.evaluate(own);
  if (items && !items.ok) return items;
  const list = items?.value;
  const value: unknown = Array.isArray(list) ? list[item] : undefined;
  return evaluateInput(seen, compiled, { index: item, value }, deps);
}

async function settle(run: LiveRun, unit: Unit, row: CompensationWrite, deps: ExecuteDeps): Promise<UnitEnd> {
  const { progress, step, item } = unit;
  Object.assign(row, { state: 'completed', error: null, retryAt: null, finishedAt: new Date(deps.clock.now()) });
  // What expressions of the clean-up see, and what the run is judged by, stays what the step came to.
  const stored = { ...progress, state: 'compensated' as StepState };
  run.unwritten.steps.push(toStepWrite(step, item < 0 ? undefined : item, stored));
  note(run, unit, { event: 'step.compensated', ...(row.attempts > 0 ? { attempt: row.attempts } : {}) }, deps);
  return (await flushRollback(run, { compensations: [{ ...row }] }, deps)) ? { kind: 'undone' } : lost(run);
}

/** With the last of its items the step itself is undone. False where the run is no longer ours. */
async function settleFanOut(run: LiveRun, unit: Unit, units: readonly Unit[], deps: ExecuteDeps): Promise<boolean> {
  const { step, compiled } = unit;
  const progress = run.steps.get(step);
  const isUndone = (one: Unit) => run.undone?.get(`${step}/${one.item}`)?.state === 'completed';
  if (unit.item < 0 || !progress || !units.every((one) => one.step !== step || isUndone(one))) return true;
  const whole = compensationOf(run, { compiled, progress, step, item: -1, startedAt: null, finishedAt: null });
  Object.assign(whole, { state: 'completed', finishedAt: new Date(deps.clock.now()) });
  run.unwritten.steps.push(toStepWrite(step, undefined, { ...progress, output: undefined, state: 'compensated' }));
  return flushRollback(run, { compensations: [{ ...whole }] }, deps);
}

async function giveUp(
  run: LiveRun,
  unit: Unit,
  row: CompensationWrite,
  error: StoredError,
  deps: ExecuteDeps,
): Promise<UnitEnd> {
  Object.assign(row, { state: 'failed', retries: 0, retryAt: null, finishedAt: new Date(deps.clock.now()) });
  note(run, unit, { event: 'step.compensation_failed', attempt: row.attempts, ...because(textOf(error)) }, deps);
  deps.logs.say(run.claimed, 'error', `it could not be undone: ${textOf(error)}`, about(unit, row));
  return (await flushRollback(run, { compensations: [{ ...row }] }, deps)) ? { kind: 'failed', error } : lost(run);
}

function noteRetry(
  run: LiveRun,
  unit: Unit,
  row: CompensationWrite,
  error: StoredError,
  delayMs: number,
  deps: ExecuteDeps,
): void {
  const data = { delay_ms: delayMs, class: error.class };
  const retried = { event: 'step.compensation_retried', attempt: row.attempts, ...because(textOf(error)), data };
  note(run, unit, retried, deps);
  const text = `undoing it failed (${textOf(error)}); next try in ${delayMs} ms`;
  deps.logs.say(run.claimed, 'warn', text, about(unit, row));
}

/** Made on first asking. */
function compensationOf(run: LiveRun, { step, item, progress }: Unit): CompensationWrite {
  run.undone ??= new Map();
  const key = stepKey(step, item < 0 ? undefined : item);
  const known = run.undone.get(key);
  if (known && known.state !== 'reset') return known;
  const row: CompensationWrite = {
    step,
    item,
    state: 'running',
    was: progress.state,
    attempts: 0,
    retries: 0,
    times: known?.times ?? 0,
    error: null,
    startedAt: null,
    finishedAt: null,
    retryAt: null,
  };
  run.undone.set(key, row);
  return row;
}

/** Outputs of fan-outs are stored by item; expressions see them as one list. */
async function restoreFanOuts(run: LiveRun, deps: ExecuteDeps): Promise<void> {
  for (const step of run.compiled.steps) {
    const { id } = step.definition;
    const progress = run.steps.get(id);
    if (!step.items || !step.isCollected || progress?.state !== 'completed' || progress.output !== undefined) continue;
    progress.output = await loadItemOutputs(deps.db, run.claimed.runId, id, maxCollected);
    run.scope.steps[id] = toStepScope(progress);
  }
}

function note(
  run: LiveRun,
  { step, item }: Unit,
  transition: Omit<Transition, 'at' | 'step' | 'item'>,
  deps: ExecuteDeps,
): void {
  noteTransition(run, { ...transition, step, ...(item < 0 ? {} : { item }) }, deps.clock);
}

function about({ step, item }: Unit, row: CompensationWrite) {
  return { step, ...(item < 0 ? {} : { item }), attempt: row.attempts };
}

function because(reason: string | undefined): { reason?: string } {
  return reason === undefined ? {} : { reason };
}

function textOf({ name, message }: StoredError): string {
  return `${name}: ${message}`;
}

function isSameError(error: StoredError, other: StoredError | null): boolean {
  return error.name === other?.name && error.message === other.message;
}
