// One claimed run in memory: what its steps have come to, what is not yet durable, and the signals that end it.
import type { Clock } from '../base/clock.ts';
import type { Json } from '../base/json.ts';
import { type ChildOf, runsByChildren } from '../domain/child-run.ts';
import type { Scope, StepScope } from '../domain/expressions/scope.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepState, Transition } from '../domain/run.ts';
import { noSpan, type RunSpan } from '../observe/trace.ts';
import type { ClaimedRun, RunRecord } from '../queue/claim-runs.ts';
import type { FencedWrite, StepWrite } from '../queue/fenced-write.ts';
import type { StepRecord } from '../queue/load-runs.ts';
import type { CompensationWrite } from '../queue/write-rollback.ts';
import { createAbortError } from '../steps/abort-reason.ts';
import type { AbortReason } from '../steps/api.ts';
import type { WaitRow } from '../store/waits.ts';
import type { RunTimeouts } from './adaptive-timeouts.ts';
import type { CompiledPipeline, CompiledStep } from './compiled-pipeline.ts';

/** What one step, or one item of a fan-out, has come to. */
export interface StepProgress {
  state: StepState;
  attempts: number;
  retries: number;
  rateLimitedMs: number;
  output: Json | undefined;
  error: StoredError | null;
  startedAt: Date | null;
  finishedAt: Date | null;
  /** Not before this instant, in milliseconds since the epoch; 0: at once. */
  notBefore: number;
  /** It was not run: where its output comes from. */
  cachedFrom?: { run_id: string; step: string; at: string };
  /** The run that did it, where this one took it over. */
  doneBy?: string;
  /** It stays the work of another run, and is not undone with this one. */
  isBorrowed?: boolean;
}

/** That a run is rolled back: down to a step that is kept, or all of it (null). */
export interface RollbackOrder {
  to: string | null;
  /** It is on record: the rollback is all that is left of the run. */
  hasBegun: boolean;
}

export interface LiveRun {
  claimed: ClaimedRun;
  record: RunRecord;
  compiled: CompiledPipeline;
  /** Decided at the claim; only where the pipeline has timeouts that adapt. */
  timeouts?: RunTimeouts;
  /** This claim's part of the run's trace. */
  span: RunSpan;
  steps: Map<string, StepProgress>;
  /** What a fork was given in place of what a step says; undefined where nothing was. */
  edited?: Map<string, Json>;
  /** Set where it carries out a part of its parent: which part, and whose it is. */
  part?: ChildOf & { parentId: string };
  /** Items of fan-outs, by step. */
  items: Map<string, Map<number, StepProgress>>;
  scope: Scope & { steps: Record<string, StepScope> };
  /** Ends the run's steps, whatever the reason. */
  main: AbortController;
  /** Ends clean-up steps too: only a lost lease or a shutdown does. */
  hard: AbortController;
  /** Whether `hard` has aborted; asked of every run, where a signal is dear to make. */
  isHardAborted: boolean;
  abortedBy: AbortReason | undefined;
  cancelledBy: { actor: string | null; reason: string | null } | undefined;
  /** Who wants it to hold still: nothing begins any more, and what runs comes to its end. */
  pausedBy: { actor: string | null; reason: string | null } | undefined;
  /** Takes up what a pause held back, where steps still run; absent: nothing does. */
  goOn: (() => void) | undefined;
  /** Set once the steps have ended: what the clean-up steps run under. */
  cleaningUp: boolean;
  progress: number;
  message: string | null;
  progressAt: Date | null;
  /** Steps that run now, with the instant they began; `true` once their start is durable. */
  running: Map<string, { step: CompiledStep; progress: StepProgress; toldAt: boolean }>;
  seq: number;
  failedItems: number;
  /** Set once an attempt of this claim has had to do with the ledger. */
  usesLedger?: boolean;
  /** Failed items of completed steps that children carried out, by step. */
  failedOfChildren?: Map<string, number>;
  /** What its steps have asked so far, by step and item; undefined where nothing was. */
  waits: Map<string, WaitRow[]> | undefined;
  /** Questions whose end this claim has noted, or found in the history; absent where there was none. */
  told?: Set<string>;
  /** Steps and items of which a crash left open what they did outside, where people are to say. */
  interrupted: Set<string> | undefined;
  /** What people and repairs have put in place of fields of a step's input, by step and item. */
  edits: Map<string, Readonly<Record<string, Json>>> | undefined;
  /** Set where a person wants what was done to be undone. */
  rollback: RollbackOrder | undefined;
  /** What was undone, or is being undone, by step and item; undefined where nothing was. */
  undone: Map<string, CompensationWrite> | undefined;
  /** The first step that runs again because this node does not have its files. */
  rebuiltFrom: string | undefined;
  unwritten: { steps: StepWrite[]; transitions: Transition[] };
  /** Flushes that are not answered yet; true once all of them were accepted. */
  flushing: Promise<boolean> | undefined;
}

export function createLiveRun(
  claimed: ClaimedRun,
  record: RunRecord,
  compiled: CompiledPipeline,
  prior: { steps: readonly StepRecord[]; seq: number },
  apiUrl: string | undefined,
): LiveRun {
  const run: LiveRun = {
    claimed,
    record,
    compiled,
    span: noSpan,
    steps: new Map(),
    items: new Map(),
    scope: createScope(claimed, record, compiled, apiUrl),
    main: new AbortController(),
    hard: new AbortController(),
    isHardAborted: false,
    abortedBy: undefined,
    cancelledBy: undefined,
    pausedBy: undefined,
    goOn: undefined,
    cleaningUp: false,
    progress: 0,
    message: null,
    progressAt: claimed.claimedAt,
    running: new Map(),
    seq: prior.seq,
    failedItems: 0,
    waits: undefined,
    interrupted: undefined,
    edits: undefined,
    rollback: claimed.rollback === null ? undefined : { to: claimed.rollback.to, hasBegun: true },
    undone: undefined,
    rebuiltFrom: undefined,
    unwritten: { steps: [], transitions: [] },
    flushing: undefined,
  };
  for (const row of prior.steps) restoreStep(run, row);
  return run;
}

/** Ends the run's steps. The first reason stays, but a lost lease beats all: nothing may be written after it. */
export function abortRun(run: LiveRun, reason: AbortReason, message?: string): void {
  if (run.abortedBy === undefined || reason === 'lease_lost' || (reason === 'shutdown' && run.cleaningUp)) {
    run.abortedBy = reason;
  }
  const error = createAbortError(reason, message);
  if (!run.main.signal.aborted) run.main.abort(error);
  if ((reason === 'lease_lost' || reason === 'shutdown') && !run.isHardAborted) {
    run.isHardAborted = true;
    run.hard.abort(error);
  }
}

/** Whether no step, item or attempt may begin, because of a pause. A clean-up is carried through, and so is a run's end. */
export function isHolding(run: LiveRun): boolean {
  return run.pausedBy !== undefined && !run.cleaningUp && run.abortedBy === undefined;
}

/** The pause was withdrawn before it was obeyed. */
export function forgetPause(run: LiveRun): void {
  run.pausedBy = undefined;
  run.goOn?.();
}

/** Whether an error is that of the run's own timeout: no policy of a step or an item gives the time back. */
export function isOutOfTime(run: LiveRun, error: StoredError | null | undefined): boolean {
  return run.abortedBy === 'timeout' && error?.name === 'TimeoutError' && error.class === 'fatal';
}

/** Whether the step has files in the run's workspace that others may need. A completed item of a fan-out wrote some, too. */
export function hasWritten(run: LiveRun, { type, definition }: CompiledStep): boolean {
  const { id } = definition;
  // What children wrote is theirs.
  if (type?.workspace !== 'writes' || runsByChildren(definition)) return false;
  if (run.steps.get(id)?.state === 'completed') return true;
  return [...(run.items.get(id)?.values() ?? [])].some((item) => item.state === 'completed');
}

export function signalOf(run: LiveRun): AbortSignal {
  return run.cleaningUp ? run.hard.signal : run.main.signal;
}

export function freshProgress(): StepProgress {
  return {
    state: 'pending',
    attempts: 0,
    retries: 0,
    rateLimitedMs: 0,
    output: undefined,
    error: null,
    startedAt: null,
    finishedAt: null,
    notBefore: 0,
  };
}

/** What people ask of a run that is at work is on record with its next write. */
export function noteRequest(
  run: LiveRun,
  { event, by }: { event: string; by: { actor: string | null; reason: string | null } | undefined },
  clock: Clock,
): void {
  noteTransition(
    run,
    {
      event,
      ...(by?.actor == null ? {} : { actor: by.actor }),
      ...(by?.reason == null ? {} : { reason: by.reason }),
    },
    clock,
  );
}

/** What a step has come to; made on first asking. */
export function stepProgress(run: LiveRun, id: string): StepProgress {
  let progress = run.steps.get(id);
  if (!progress) {
    progress = freshProgress();
    run.steps.set(id, progress);
  }
  return progress;
}

export function itemProgress(run: LiveRun, id: string, item: number): StepProgress {
  let items = run.items.get(id);
  if (!items) {
    items = new Map();
    run.items.set(id, items);
  }
  let progress = items.get(item);
  if (!progress) {
    progress = freshProgress();
    items.set(item, progress);
  }
  return progress;
}

export function stepKey(id: string, item: number | undefined): string {
  return `${id}/${item ?? -1}`;
}

/** What a step, or an item of it, has asked; in the order it did. */
export function waitsOf(run: LiveRun, id: string, item: number | undefined): readonly WaitRow[] {
  return run.waits?.get(stepKey(id, item)) ?? [];
}

/** Takes a question as it is now; an answer to the worker may carry fields for the step's input. */
export function addWait(run: LiveRun, row: WaitRow): void {
  run.waits ??= new Map();
  const key = `${row.step}/${row.item}`;
  run.waits.set(key, [...(run.waits.get(key) ?? []).filter((one) => one.key !== row.key), row]);
  if (row.askedBy === 'step' || row.state !== 'answered') return;
  const edits = (row.data as { with?: Record<string, Json> } | null)?.with;
  if (typeof edits !== 'object' || edits === null) return;
  run.edits ??= new Map();
  run.edits.set(key, { ...run.edits.get(key), ...edits });
}

/** Notes what became of a step for the next flush, and lets expressions see it. */
export function noteStep(
  run: LiveRun,
  step: CompiledStep,
  item: number | undefined,
  progress: StepProgress,
  transition: Omit<Transition, 'step' | 'item' | 'at'>,
  clock: Clock,
): void {
  const id = step.definition.id;
  run.unwritten.steps.push(toStepWrite(id, item, progress));
  const at = Math.round(clock.now());
  run.unwritten.transitions.push(
    item === undefined ? { ...transition, step: id, at } : { ...transition, step: id, item, at },
  );
  if (item === undefined) run.scope.steps[id] = toStepScope(progress);
}

export function noteTransition(run: LiveRun, transition: Omit<Transition, 'at'>, clock: Clock): void {
  run.unwritten.transitions.push({ ...transition, at: Math.round(clock.now()) });
}

export function toStepWrite(step: string, item: number | undefined, progress: StepProgress): StepWrite {
  return {
    step,
    item: item ?? -1,
    state: progress.state,
    attempts: progress.attempts,
    retries: progress.retries,
    output: progress.output,
    error: progress.error,
    startedAt: progress.startedAt,
    finishedAt: progress.finishedAt,
    retryAt: progress.notBefore > 0 ? new Date(progress.notBefore) : null,
    rateLimitedMs: progress.rateLimitedMs,
  };
}

/** Takes everything that is not yet durable, for one flush. */
export function takeUnwritten(run: LiveRun): FencedWrite {
  const { steps, transitions } = run.unwritten;
  run.unwritten = { steps: [], transitions: [] };
  run.seq += transitions.length;
  const { runId, tenant, token } = run.claimed;
  return { runId, tenant, token, steps, transitions, seq: run.seq };
}

/** Transitions alone, such as the claim's, wait for the next outcome: nothing that follows depends on them. */
export function hasUnwrittenOutcome(run: LiveRun): boolean {
  return run.unwritten.steps.length > 0;
}

export function toStepScope(progress: Pick<StepProgress, 'output' | 'state' | 'error'>): StepScope {
  return {
    output: progress.output ?? null,
    state: progress.state,
    error: progress.error && {
      name: progress.error.name,
      message: progress.error.message,
      class: progress.error.class,
    },
  };
}

export function createScope(
  claimed: ClaimedRun,
  record: RunRecord,
  compiled: CompiledPipeline,
  apiUrl: string | undefined,
): LiveRun['scope'] {
  const schedule = compiled.pipeline.schedules.find((one) => one.id === claimed.schedule);
  return {
    inputs: record.inputs ?? {},
    steps: {},
    run: {
      id: record.id,
      pipeline: claimed.pipeline,
      tenant: claimed.tenant,
      origin: record.origin,
      attempt: claimed.attempt,
      created_at: record.createdAt.toISOString(),
      dry_run: record.dryRun,
      api_url: apiUrl ?? '',
    },
    schedule:
      claimed.schedule === null
        ? null
        : {
            id: claimed.schedule,
            nominal_at: (record.nominalAt ?? record.createdAt).toISOString(),
            timezone: schedule?.timezone ?? 'UTC',
            late: record.late,
          },
    env: {},
    secrets: {},
    tenant: claimed.tenant,
  };
}

/** A step that was under way when its worker went runs again; what has ended stays as it is. */
export function restoreStep(run: LiveRun, row: StepRecord): void {
  const isOpen = row.state === 'running' || row.state === 'waiting' || row.state === 'pending';
  const progress: StepProgress = {
    state: isOpen ? 'pending' : row.state,
    attempts: row.attempts,
    retries: row.retries,
    rateLimitedMs: row.rateLimitedMs,
    output: row.output ?? undefined,
    error: row.error,
    startedAt: row.startedAt,
    finishedAt: row.finishedAt,
    notBefore: row.retryAt?.getTime() ?? 0,
  };
  if (row.doneBy) progress.doneBy = row.doneBy;
  if (row.isBorrowed) progress.isBorrowed = true;
  if (row.item >= 0) {
    // One that was reopened: the list may be another by now.
    if (isOpen && row.attempts === 0) return;
    const items = run.items.get(row.step) ?? new Map<number, StepProgress>();
    run.items.set(row.step, items.set(row.item, progress));
    return;
  }
  run.steps.set(row.step, progress);
  if (row.edited) {
    run.edited ??= new Map();
    run.edited.set(row.step, row.edited.output);
  }
  if (isOpen) return;
  run.scope.steps[row.step] = toStepScope(progress);
  const compiled = run.compiled.byId.get(row.step);
  const isPassed = row.state === 'completed' || row.state === 'skipped' || compiled?.definition.continueOnError;
  if (compiled && isPassed) run.progress = Math.max(run.progress, compiled.progress);
}
