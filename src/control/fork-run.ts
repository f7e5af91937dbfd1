// Forks a run, live or ended: a new run that keeps completed steps of it, with inputs or outputs that somebody edited.
import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import { type ForkPlan, stepsKeptByFork } from '../domain/kept-steps.ts';
import { createNewRun, type NewRun } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import { isTerminal, type RunState } from '../domain/run.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { encodeOutput } from '../steps/encode-output.ts';
import { SecretMask } from '../steps/secret-mask.ts';
import { takeOverConversations } from '../store/conversations.ts';
import { announceRuns } from './announce-runs.ts';
import type { ControlContext } from './control-context.ts';
import { lockRun } from './lock-run.ts';
import { type Caller, type RunStarter, requirePipeline, type StartedRun, startedRun } from './start-run.ts';
import {
  readSourceRun,
  readStepStates,
  requireVersion,
  type SourceRun,
  scheduleOf,
  takeOverSteps,
} from './take-over-steps.ts';

export interface ForkRequest {
  /** The step to begin from; default: the first that did not complete, or could see what is edited. */
  from?: string | undefined;
  /** Laid over the inputs of the run. */
  inputs?: Readonly<Record<string, unknown>> | undefined;
  /** In place of what kept steps said. */
  outputs?: Readonly<Record<string, unknown>> | undefined;
  priority?: number | undefined;
  dryRun?: boolean | undefined;
  /** `same`: that of the run (default). `current`: the pipeline as it is in force. */
  version?: 'same' | 'current' | undefined;
  /** What its steps find said: by kept steps (default), or all that was, also by steps that run again. */
  conversation?: 'kept' | 'whole' | undefined;
}

export interface ForkedRun extends StartedRun {
  parent_id: string;
  /** Steps that are taken over and do not run again. */
  kept_steps: string[];
  edited: { inputs: string[]; outputs: string[] };
}

const putOutputs = statement(
  'put_edited_outputs',
  `update cronwright.step_runs s set output = u.output::jsonb, edited = jsonb_build_object('output', u.output::jsonb)
  from unnest($2::text[], $3::text[]) as u(step, output)
  where s.run_id = $1 and s.item = -1 and s.step = u.step`,
);

// Those of a rollback down to a step, after which the run goes on, are reset.
const undoing = statement(
  'find_undoing_of_run',
  "select step from cronwright.compensations where run_id = $1 and state <> 'reset' limit 1",
);

// Number 1 is the enqueue; nobody else can have written of a run that is not committed yet.
const tell = statement(
  'tell_forked',
  `insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
  values ($1, 2, $2, null, now(),
    jsonb_build_array($3::jsonb || jsonb_build_object('at', floor(extract(epoch from now()) * 1000)))::json)`,
);

/** Throws `not_found`, `invalid_input` (what cannot be edited or kept), `conflict` (version, being undone), `limit_reached`. */
export async function forkRun(
  starter: RunStarter,
  id: string,
  request: ForkRequest,
  caller: Caller,
): Promise<ForkedRun> {
  const { context, room } = starter;
  const outputs = encodeOutputs(request.outputs ?? {});
  await room.reserve(caller.tenant, 1);
  const forked = await context.db.transaction(async (tx) => {
    // A live run's worker cannot write while its row is locked: what is read and what is copied are the same.
    const parent = await lockRun(tx, caller.tenant, id);
    if (!isTerminal(parent.state)) await refuseWhileUndone(tx, id, parent.state);
    const from = await readSourceRun(tx, id);
    const old = await requireVersion(tx, caller.tenant, parent.pipeline, from.pipeline_version);
    const pipeline = request.version === 'current' ? requirePipeline(context, caller.tenant, parent.pipeline) : old;
    const run = newFork(context, pipeline, { id, from, request }, caller);
    const edited = { inputs: editedInputs(pipeline, from, run), outputs: [...outputs.keys()] };
    const plan = stepsKeptByFork(pipeline, await readStepStates(tx, id), {
      from: requireStep(pipeline, request.from),
      inputs: new Set(edited.inputs),
      outputs: new Set(edited.outputs),
      changed: changedSteps(old, pipeline),
    });
    await checkPlan(context, pipeline, plan, outputs);
    await enqueueRuns(tx, [run]);
    await takeOverSteps(tx, { from: id, to: run.id }, plan);
    if (request.conversation === 'whole') {
      const all = { kept: old.steps.map((step) => step.id), continued: [] };
      await takeOverConversations(tx, { from: id, to: run.id }, all);
    }
    if (outputs.size > 0) await tx.query(putOutputs, [run.id, [...outputs.keys()], [...outputs.values()]]);
    await tellForked(tx, run, { parent_id: id, from: request.from ?? null, kept_steps: plan.kept, edited });
    return { run, kept_steps: plan.kept, edited };
  });
  await announceRuns(context, [forked.run]);
  const { run, kept_steps, edited } = forked;
  return { ...startedRun(context, run), parent_id: id, kept_steps, edited };
}

/** What has completed and is undone next is nothing to go on from. Once it has ended, its steps say what became of them. */
async function refuseWhileUndone(tx: Queryable, id: string, state: RunState): Promise<void> {
  const isLeft = state === 'rolling_back' || state === 'rollback_failed';
  if (!isLeft && (await tx.query(undoing, [id])).rows.length === 0) return;
  throw new CronwrightError('conflict', `run "${id}" is being undone: fork it once it has ended`, {
    details: { state, requested: 'fork' },
  });
}

function newFork(
  context: ControlContext,
  pipeline: Pipeline,
  { id, from, request }: { id: string; from: SourceRun; request: ForkRequest },
  caller: Caller,
): NewRun {
  const { schedule } = scheduleOf(from, pipeline);
  return createNewRun(pipeline, context.pipelines.termsOf(pipeline), {
    origin: 'fork',
    inputs: { ...declaredInputs(pipeline, from), ...request.inputs },
    priority: request.priority ?? from.priority,
    dryRun: request.dryRun ?? from.dry_run,
    actor: caller.actor,
    parentId: id,
    traceparent: caller.traceparent,
    // Beside the run it came from, which may still hold the schedule's slot.
    ...(schedule === undefined ? {} : { schedule: { ...schedule, exclusive: false } }),
  });
}

/** Another version may know fewer inputs. */
function declaredInputs(pipeline: Pipeline, from: SourceRun): Record<string, unknown> {
  return Object.fromEntries(Object.entries(from.inputs ?? {}).filter(([name]) => Object.hasOwn(pipeline.inputs, name)));
}

function editedInputs(pipeline: Pipeline, from: SourceRun, run: NewRun): string[] {
  const before = from.inputs ?? {};
  return Object.keys(pipeline.inputs).filter(
    (name) => !isDeepStrictEqual(before[name] ?? null, run.inputs?.[name] ?? null),
  );
}

/** Steps that do something else than they did, also where only the pipeline's `env` changed. */
function changedSteps(old: Pipeline, pipeline: Pipeline): Set<string> {
  if (old.version === pipeline.version) return new Set();
  const before = new Map(old.steps.map((step) => [step.id, whatItDoes(old, step)]));
  return new Set(
    pipeline.steps
      .filter((step) => !isDeepStrictEqual(before.get(step.id), whatItDoes(pipeline, step)))
      .map((step) => step.id),
  );
}

/** How it is tried, shown and timed decides nothing of its output. */
function whatItDoes(pipeline: Pipeline, step: Pipeline['steps'][number]): Json {
  const { label: _label, retry: _retry, timeoutMs: _timeoutMs, progress: _progress, ...rest } = step;
  return JSON.parse(JSON.stringify({ ...rest, env: { ...pipeline.env, ...step.env } })) as Json;
}

function requireStep(pipeline: Pipeline, from: string | undefined): string | undefined {
  if (from === undefined || pipeline.steps.some((step) => step.id === from)) return from;
  throw wrong('from', `pipeline "${pipeline.id}" has no such step`, from, stepNames(pipeline));
}

/** An edited output has to be of a step that is kept, and something has to be left to do. */
async function checkPlan(
  context: ControlContext,
  pipeline: Pipeline,
  plan: ForkPlan,
  outputs: ReadonlyMap<string, string>,
): Promise<void> {
  for (const [id, text] of outputs) {
    const step = pipeline.steps.find((one) => one.id === id);
    if (!step) throw wrong(`outputs.${id}`, 'no such step', id, stepNames(pipeline));
    const again = plan.again.get(id);
    if (again !== undefined) {
      throw wrong(`outputs.${id}`, `the step runs again (${again})`, id, `a step that is kept: ${list(plan.kept)}`);
    }
    const value: unknown = JSON.parse(text);
    if (step.foreach && !Array.isArray(value)) {
      throw wrong(`outputs.${id}`, 'a step with foreach gives a list', text.slice(0, 100), 'a list');
    }
    for (const one of step.foreach ? (value as unknown[]) : [value]) {
      const [problem] = (await context.outputProblems?.(step.uses, one)) ?? [];
      if (problem === undefined) continue;
      const at = ['outputs', id, ...problem.path].join('.');
      throw wrong(at, problem.message, JSON.stringify(one).slice(0, 100), `the output of ${step.uses}`);
    }
  }
  if (plan.kept.length < pipeline.steps.length) return;
  throw wrong('from', 'every step is kept, so nothing would run', 'nothing', 'a step to begin from, or edits');
}

/** As JSON, by step. */
function encodeOutputs(outputs: Readonly<Record<string, unknown>>): Map<string, string> {
  const encoded = new Map<string, string>();
  for (const [step, value] of Object.entries(outputs)) {
    try {
      encoded.set(step, encodeOutput(value, new SecretMask(), 'the output').outputJson);
    } catch (error) {
      throw wrong(`outputs.${step}`, errorMessage(error), 'too much, or no JSON', 'JSON of at most 1 MB');
    }
  }
  return encoded;
}

async function tellForked(tx: Queryable, run: NewRun, data: Record<string, unknown>): Promise<void> {
  const transition = { event: 'run.forked', ...(run.actor === null ? {} : { actor: run.actor }), data };
  await tx.query(tell, [run.id, run.tenant, JSON.stringify(transition)]);
}

function stepNames(pipeline: Pipeline): string {
  return `one of: ${list(pipeline.steps.map((step) => step.id))}`;
}

function list(words: readonly string[]): string {
  return words.join(', ') || 'none';
}

function wrong(path: string, message: string, got: string, expected: string): CronwrightError {
  const text = `${path}: ${message}; got ${got}, expected ${expected}`;
  return new CronwrightError('invalid_input', text, { problems: [{ path, message, got, expected }] });
}
