// Turns a claimed batch into runs in memory: definitions and, where a run has been claimed before, its checkpoints.
import type { Queryable } from '../db/database.ts';
import type { ClaimedRun, RunRecord } from '../queue/claim-runs.ts';
import { loadCompensations } from '../queue/load-compensations.ts';
import { loadLastSeq, loadSteps, type StepRecord } from '../queue/load-runs.ts';
import type { CompensationWrite } from '../queue/write-rollback.ts';
import { loadWaits } from '../store/waits.ts';
import type { AdaptiveTimeouts } from './adaptive-timeouts.ts';
import {
  type CompiledPipeline,
  type CompiledStep,
  compilePipeline,
  missingTypes,
  partOfPipeline,
} from './compiled-pipeline.ts';
import { type Definitions, InvalidDefinition } from './definitions.ts';
import {
  addWait,
  createLiveRun,
  freshProgress,
  hasWritten,
  itemProgress,
  type LiveRun,
  stepProgress,
  toStepScope,
  toStepWrite,
} from './live-run.ts';
import { loadFanOuts } from './load-fan-outs.ts';
import type { BatchScopes, ParentScopes } from './parent-scope.ts';
import type { RefusedRun } from './refuse-runs.ts';
import { interruptedError } from './resume-wait.ts';

export async function loadLiveRuns(
  claimed: readonly ClaimedRun[],
  deps: {
    db: Queryable;
    definitions: Definitions;
    apiUrl: () => string | undefined;
    /** Whether this node has the files of the run, or of the run it goes on from. */
    hasWorkspace: HasWorkspace;
    /** Whether a run is left to others where this node lacks a step type of it; else the step fails. */
    leavesToOthers: boolean;
    timeouts: AdaptiveTimeouts;
    parents: ParentScopes;
  },
): Promise<{ runs: LiveRun[]; refused: RefusedRun[] }> {
  const resumed = claimed.filter(hasPast).map((one) => one.runId);
  const [steps, seqs] =
    resumed.length === 0
      ? [new Map(), new Map()]
      : await Promise.all([loadSteps(deps.db, resumed), loadLastSeq(deps.db, resumed)]);
  const undone = await loadUndone(claimed.filter(hasPast), deps);
  const made: Made[] = [];
  const refused: RefusedRun[] = [];
  for (const one of claimed) {
    const { record } = one;
    if (!record) continue;
    const whole = await definitionOf(one, deps.definitions);
    const compiled = partOf(whole, record);
    const prior = { steps: steps.get(one.runId) ?? [], seq: seqs.get(one.runId) ?? 1 };
    const isInvalid = compiled instanceof InvalidDefinition;
    const missing = isInvalid || compiled === undefined || !deps.leavesToOthers ? [] : missingTypes(compiled);
    if (missing.length > 0) {
      refused.push({ claimed: one, missing });
      continue;
    }
    const usable = isInvalid ? undefined : compiled;
    const run = createLiveRun(one, record, usable ?? missingDefinition(one), prior, deps.apiUrl());
    if (isInvalid) failDefinition(run, compiled);
    made.push({ one, run, prior, partOf: usable && usable !== whole ? (whole as CompiledPipeline) : undefined });
  }
  await loadMore(made, deps);
  const asking: LiveRun[] = [];
  for (const { one, run, prior } of made) {
    const isElsewhere = hasPast(one) && !deps.hasWorkspace(one);
    restoreUndone(run, undone.get(one.runId) ?? []);
    if (isElsewhere && prior.steps.length > 0 && !isUndoing(run)) reopenLostSteps(run);
    handleInterruptedSteps(run, prior.steps);
    if (one.token > 1 && mayHaveAsked(run, prior.steps)) asking.push(run);
  }
  if (asking.length > 0) await addWaits(deps.db, asking);
  return { runs: made.map(({ run }) => run), refused };
}

interface Made {
  one: ClaimedRun;
  run: LiveRun;
  prior: { steps: StepRecord[]; seq: number };
  /** The pipeline of its parent, where it is a part of that. */
  partOf: CompiledPipeline | undefined;
}

/** Runs of a batch that load at once what is theirs alone. */
const atOnce = 4;

/** What few runs need: fan-outs that had begun, what the parent gave, past durations. */
async function loadMore(
  made: readonly Made[],
  deps: { db: Queryable; timeouts: AdaptiveTimeouts; parents: ParentScopes },
): Promise<void> {
  const needy = made.filter(
    ({ one, run, partOf }) => partOf || run.compiled.adapts || (hasPast(one) && run.compiled.fansOut),
  );
  if (needy.length === 0) return;
  const parents = deps.parents.forBatch();
  const left = needy.values();
  const lane = async () => {
    for (const { one, run, prior, partOf } of left) {
      if (hasPast(one) && run.compiled.fansOut) prior.steps = [...prior.steps, ...(await loadFanOuts(deps.db, run))];
      if (partOf) await becomePart(run, partOf, parents);
      if (run.compiled.adapts) run.timeouts = await deps.timeouts.of(run.compiled);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, needy.length) }, lane));
}

/** How far the undoing of a run is, where there is something to undo. */
async function loadUndone(
  resumed: readonly ClaimedRun[],
  deps: { db: Queryable; definitions: Definitions },
): Promise<Map<string, CompensationWrite[]>> {
  const ids: string[] = [];
  for (const one of resumed) {
    const compiled = await definitionOf(one, deps.definitions);
    const undoes = compiled !== undefined && !(compiled instanceof InvalidDefinition) && compiled.undoes;
    if (undoes || one.rollback !== null) ids.push(one.runId);
  }
  return ids.length === 0 ? new Map() : loadCompensations(deps.db, ids);
}

/** What a step came to is what the run is judged by, also once it was undone. */
function restoreUndone(run: LiveRun, rows: readonly CompensationWrite[]): void {
  if (rows.length === 0) return;
  run.undone = new Map(rows.map((row) => [`${row.step}/${row.item}`, row]));
  for (const { step, item, was } of rows) {
    const progress = item < 0 ? run.steps.get(step) : run.items.get(step)?.get(item);
    if (progress?.state !== 'compensated') continue;
    progress.state = was;
    if (item < 0) run.scope.steps[step] = toStepScope(progress);
  }
}

/** What is undone is not made again, whatever became of its files. */
function isUndoing(run: LiveRun): boolean {
  const { claimed, undone } = run;
  if (claimed.rollback !== null || claimed.request?.rollback) return true;
  return undone !== undefined && [...undone.values()].some((row) => row.state !== 'reset');
}

/** A child that is a part of its parent carries out one step of the pipeline. */
function partOf<Whole>(whole: Whole, record: RunRecord): Whole | CompiledPipeline {
  if (!record.isPart || !record.child || whole === undefined || whole instanceof InvalidDefinition) return whole;
  const pipeline = whole as unknown as CompiledPipeline;
  const step = pipeline.byId.get(record.child.step);
  return step === undefined ? whole : partOfPipeline(pipeline, step);
}

async function becomePart(run: LiveRun, whole: CompiledPipeline, parents: BatchScopes): Promise<void> {
  const { claimed, record } = run;
  const { child, parentId } = record;
  const step = child && whole.byId.get(child.step);
  if (!child || !parentId || !step) return;
  run.part = { ...child, parentId };
  const scope = await parents.of(claimed, record, whole, step);
  if (scope) run.scope = scope;
}

export type HasWorkspace = (claimed: Pick<ClaimedRun, 'runId' | 'home' | 'record'>) => boolean;

/** A first claim has nothing behind it, but where the run goes on from another's checkpoints or was woken at its time. */
export function hasPast({ token, record, hasHistory }: ClaimedRun): boolean {
  const goesOn = Boolean(record?.parentId) && !record?.child;
  return token > 1 || hasHistory || goesOn || Boolean(record?.runAt);
}

/** What a run asked in earlier claims is read only where it may have asked something. */
function mayHaveAsked(run: LiveRun, prior: readonly StepRecord[]): boolean {
  return run.compiled.asksPeople || prior.some((row) => row.state === 'waiting' && row.retryAt === null);
}

async function addWaits(db: Queryable, runs: readonly LiveRun[]): Promise<void> {
  const ids = runs.map((run) => run.claimed.runId);
  const waits = await loadWaits(db, ids);
  for (const run of runs) for (const row of waits.get(run.claimed.runId) ?? []) addWait(run, row);
}

/**
 * A step with outside effects that had begun when its worker died may have had them. Where the pipeline does not want it
 * to run a second time by itself, it fails and a person decides by retrying the run, or the run waits for that person.
 */
function handleInterruptedSteps(run: LiveRun, prior: readonly StepRecord[]): void {
  if (run.compiled.pipeline.onInterrupted === 'retry') return;
  for (const row of prior) {
    const step = run.compiled.byId.get(row.step);
    if (row.state !== 'running' || step?.type?.effects !== 'outside') continue;
    // A fan-out has no effects but its items'.
    if (row.item < 0 && step.items) continue;
    if (run.compiled.pipeline.onInterrupted === 'wait_manual' && run.compiled.steps.includes(step)) {
      run.interrupted ??= new Set();
      run.interrupted.add(`${row.step}/${row.item}`);
      continue;
    }
    const progress = row.item < 0 ? stepProgress(run, row.step) : itemProgress(run, row.step, row.item);
    progress.state = 'failed';
    progress.error = interruptedError;
  }
}

/**
 * The files are elsewhere, or gone: the run goes on from the first step that wrote any. What is reopened is also written,
 * before anything runs: a later claim would take the old outcomes of steps that were not reached again for new ones.
 */
function reopenLostSteps(run: LiveRun): void {
  const { steps } = run.compiled;
  const first = steps.findIndex((step) => hasWritten(run, step));
  if (first < 0) return;
  run.rebuiltFrom = steps[first]?.definition.id;
  for (const { definition } of steps.slice(first)) {
    const { id } = definition;
    if (run.steps.delete(id)) run.unwritten.steps.push(toStepWrite(id, undefined, freshProgress()));
    for (const item of run.items.get(id)?.keys() ?? []) {
      run.unwritten.steps.push(toStepWrite(id, item, freshProgress()));
    }
    run.items.delete(id);
    delete run.scope.steps[id];
  }
  run.progress = Math.max(0, ...steps.map((step) => (isPassed(run, step) ? step.progress : 0)));
}

function isPassed(run: LiveRun, { definition }: CompiledStep): boolean {
  const state = run.steps.get(definition.id)?.state;
  return state === 'completed' || state === 'skipped' || (state === 'failed' && definition.continueOnError);
}

/** A version that does not compile is the fault of its runs, and of no other in the batch. */
async function definitionOf(
  claimed: ClaimedRun,
  definitions: Definitions,
): Promise<CompiledPipeline | InvalidDefinition | undefined> {
  try {
    return await definitions.get(claimed.tenant, claimed.pipeline, claimed.pipelineVersion);
  } catch (error) {
    if (error instanceof InvalidDefinition) return error;
    throw error;
  }
}

function failDefinition(run: LiveRun, { name, message }: InvalidDefinition): void {
  const progress = stepProgress(run, 'definition');
  progress.state = 'failed';
  progress.error = { name, message, class: 'fatal' };
}

/** A pipeline of one step whose type does not exist: it fails the run with a reason instead of losing it. */
function missingDefinition(claimed: ClaimedRun): CompiledPipeline {
  const definition = {
    id: 'definition',
    uses: `${claimed.pipeline}@${claimed.pipelineVersion}`,
    with: {},
    needs: [],
    continueOnError: false,
    env: {},
    retry: { initialMs: 0, multiplier: 1, maxMs: 0, jitter: 0, maxRetries: 0, on: [] },
    timeoutMs: 1_000,
  };
  return compilePipeline(
    {
      id: claimed.pipeline,
      tenant: claimed.tenant,
      version: claimed.pipelineVersion,
      inputs: {},
      env: {},
      schedules: [],
      priority: claimed.priority,
      queue: claimed.queue,
      timeoutMs: 60_000,
      onInterrupted: 'retry',
      steps: [definition],
      finally: [],
      onFailure: [],
    },
    { get: () => undefined, list: () => [], sensor: () => undefined, sensors: () => [] },
  );
}
