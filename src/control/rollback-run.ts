// Rolls a run back: a live one down to a step or whole, one that could not be undone again, an ended one by a new run.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { createNewRun, type NewRun } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import { isTerminal, type RunState, type StepState } from '../domain/run.ts';
import type { SlotKey } from '../queue/admit-runs.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { admitQuietly, announceRuns } from './announce-runs.ts';
import { forbiddenTransition } from './forbidden-transition.ts';
import { type LockedRun, lockRun } from './lock-run.ts';
import { cancelChildrenOf } from './reach-children.ts';
import { hasStarted, isAskedAlready, requestRollback } from './request-rollback.ts';
import { refuseToUndoPart } from './retry-line.ts';
import type { Caller, RunStarter } from './start-run.ts';
import { findRollbackOf, noteHomeOfFiles, readSourceRun, requireVersion } from './take-over-steps.ts';

export interface RolledBackRun {
  /** Of an ended run: the new one, which undoes it. */
  id: string;
  state: RunState;
  /** Asked for; the state changes when a worker obeys. Null: it goes on with a rollback that failed. */
  requested: 'rollback' | null;
  /** The ended run that is undone. */
  parent_id: string | null;
}

export interface RollbackOptions {
  /** The step that is kept, with all that it needs. */
  to?: string | undefined;
  reason?: string | undefined;
}

const stepsOf = statement(
  'read_steps_for_rollback',
  `select s.step, s.item, s.state, s.started_at is not null as started,
    coalesce(s.is_borrowed, false) or (r.origin = 'fork' and s.done_by is not null) as borrowed
  from cronwright.step_runs s join cronwright.runs r on r.id = s.run_id where s.run_id = $1`,
);

// Everything that the steps came to, for the expressions in the inputs of what is undone.
const takeOver = statement(
  'take_over_to_undo',
  `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, error, checkpoint,
    started_at, finished_at, retry_at, rate_limited_ms, edited, done_by, is_borrowed)
  select $2, step, item, tenant, state, attempts, retries, 0, output, error, checkpoint, started_at, finished_at, null,
    rate_limited_ms, edited, coalesce(done_by, $1), is_borrowed
  from cronwright.step_runs where run_id = $1
  on conflict do nothing`,
);

const takeOverUndone = statement(
  'take_over_compensations',
  `insert into cronwright.compensations (run_id, step, item, tenant, state, was, attempts, retries, times, error, started_at,
    finished_at, retry_at)
  select $2, step, item, tenant, state, was, attempts, 0, times, error, started_at, finished_at, null
  from cronwright.compensations where run_id = $1
  on conflict do nothing`,
);

// A rollback is carried out also while its pipeline is paused.
const markRollback = statement(
  'mark_rollback_run',
  `update cronwright.queue
  set state = 'pending', paused_from = null, held_by = null,
    request = 'cancel', request_by = $2, request_reason = $3, request_rollback = true
  where run_id = $1`,
);

/** Throws `not_found`, `invalid_input` (`to`), `conflict` where nothing can be undone, `limit_reached`. */
export async function rollbackRun(
  starter: RunStarter,
  id: string,
  options: RollbackOptions,
  caller: Caller,
): Promise<RolledBackRun> {
  const { context } = starter;
  const live = await context.db.transaction(async (tx) => {
    const run = await lockRun(tx, caller.tenant, id);
    if (run.state !== 'rollback_failed') await refuseToUndoPart(tx, id, run.state);
    return isTerminal(run.state) ? undefined : { run, wanted: await undoLive(tx, run, id, options, caller) };
  });
  if (!live) return undoByNewRun(starter, id, options, caller);
  const { run, wanted } = live;
  // Before anybody works on it: its children may hold all the places.
  if (run.state !== 'rollback_failed') {
    await cancelChildrenOf(context, id, { actor: caller.actor, reason: options.reason, rollback: true });
  }
  if (run.state === 'running') context.wake.requests(run.node);
  await admitQuietly(context, wanted);
  context.wake.workers();
  if (run.state === 'rollback_failed') return { id, state: 'rolling_back', requested: null, parent_id: null };
  return { id, state: run.state === 'running' ? 'running' : 'pending', requested: 'rollback', parent_id: null };
}

/** Only this needs room in the queue. */
async function undoByNewRun(
  starter: RunStarter,
  id: string,
  options: RollbackOptions,
  caller: Caller,
): Promise<RolledBackRun> {
  const { context, room } = starter;
  await room.reserve(caller.tenant, 1);
  const made = await context.db.transaction(async (tx) => {
    const run = await lockRun(tx, caller.tenant, id);
    return undoEnded(starter, tx, run, id, options, caller);
  });
  await announceRuns(context, [made]);
  return { id: made.id, state: 'pending', requested: 'rollback', parent_id: id };
}

async function undoLive(
  tx: Queryable,
  run: LockedRun,
  id: string,
  { to, reason }: RollbackOptions,
  caller: Caller,
): Promise<SlotKey[]> {
  if (run.state === 'rolling_back') throw forbiddenTransition(id, run.state, 'rolling_back', 'it is that already');
  if (run.state === 'rollback_failed') {
    if (to !== undefined)
      throw forbiddenTransition(id, run.state, 'rolling_back', 'it goes on as it began, without `to`');
  } else if (isAskedAlready(run, { id, requested: 'rolling_back', wish: { to: to ?? null } })) {
    return [];
  } else if (run.state !== 'running' && !(await hasStarted(tx, id))) {
    throw forbiddenTransition(id, run.state, 'rolling_back', 'none of its steps has begun; cancel it');
  }
  if (to !== undefined) await requireCheckpoint(tx, run, id, to, caller.tenant);
  return requestRollback(tx, run, { id, actor: caller.actor, reason, to });
}

/** Throws `invalid_input` where there is no such step, `conflict` where it has not completed. */
async function requireCheckpoint(tx: Queryable, run: LockedRun, id: string, to: string, tenant: string): Promise<void> {
  const { pipeline_version: version } = await readSourceRun(tx, id);
  const pipeline = await requireVersion(tx, tenant, run.pipeline, version);
  if (!pipeline.steps.some((step) => step.id === to)) {
    const known = pipeline.steps.map((step) => step.id).join(', ');
    throw new CronwrightError('invalid_input', `pipeline "${pipeline.id}" has no step "${to}" to roll back to`, {
      problems: [{ path: 'to', message: 'unknown step', got: to, expected: `one of: ${known}` }],
    });
  }
  const { rows } = await tx.query<StepRow>(stepsOf, [id]);
  const state = rows.find((row) => row.step === to && row.item < 0)?.state ?? 'pending';
  if (state === 'completed' || state === 'skipped') return;
  const why = `step "${to}" is ${state}, and only a completed one is a checkpoint`;
  throw forbiddenTransition(id, run.state, 'rolling_back', why);
}

interface StepRow {
  step: string;
  item: number;
  state: StepState;
  started: boolean;
  borrowed: boolean;
}

async function undoEnded(
  starter: RunStarter,
  tx: Queryable,
  run: LockedRun,
  id: string,
  { to, reason }: RollbackOptions,
  caller: Caller,
): Promise<NewRun> {
  const { context } = starter;
  const refuse = (why: string) => forbiddenTransition(id, run.state, 'rolling_back', why);
  if (to !== undefined) throw refuse('it has ended: fork it from that step, or roll it back whole');
  const undone = await findRollbackOf(tx, id);
  if (undone !== undefined) throw refuse(`run "${undone}" undoes it or has done so`);
  const from = await readSourceRun(tx, id);
  if (from.dry_run) throw refuse('a dry run leaves nothing behind');
  const pipeline = await requireVersion(tx, caller.tenant, run.pipeline, from.pipeline_version);
  const { rows } = await tx.query<StepRow>(stepsOf, [id]);
  if (!hasSomethingToUndo(pipeline, rows, context.pipelines.undoes)) {
    throw refuse('none of its steps left something behind that can be undone');
  }
  const made = createNewRun(pipeline, context.pipelines.termsOf(pipeline), {
    origin: caller.origin,
    inputs: from.inputs ?? {},
    priority: from.priority,
    actor: caller.actor,
    parentId: id,
    traceparent: caller.traceparent,
    // It stands for the same nominal time, and in no other run's way.
    ...(from.schedule === null
      ? {}
      : { schedule: { id: from.schedule, nominalAt: from.nominal_at, late: from.late, exclusive: false } }),
  });
  await enqueueRuns(tx, [made]);
  await tx.query(takeOver, [id, made.id]);
  await tx.query(takeOverUndone, [id, made.id]);
  await noteHomeOfFiles(tx, { from: id, to: made.id });
  await tx.query(markRollback, [made.id, caller.actor, reason ?? null]);
  return made;
}

function hasSomethingToUndo(
  pipeline: Pipeline,
  rows: readonly StepRow[],
  undoes: (step: Pipeline['steps'][number]) => boolean,
): boolean {
  const steps = [...pipeline.steps, ...pipeline.onFailure, ...pipeline.finally];
  const open = new Set(
    rows.filter((row) => row.started && !row.borrowed && row.state !== 'compensated').map((row) => row.step),
  );
  return steps.some((step) => open.has(step.id) && undoes(step));
}
