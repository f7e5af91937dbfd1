// Takes over a run of another system: a run that begins with the outputs that other one's steps gave, once for each of its names.

import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError, errorMessage, type Problem } from '../domain/errors.ts';
import type { NewRun } from '../domain/new-run.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { encodeOutput } from '../steps/encode-output.ts';
import { SecretMask } from '../steps/secret-mask.ts';
import { appendConversationIn, type Message } from '../store/conversations.ts';
import { announceRuns } from './announce-runs.ts';
import type { ControlContext } from './control-context.ts';
import { type Caller, newRunOf, type RunStarter, requirePipeline, type StartedRun } from './start-run.ts';

export interface ImportRequest {
  /** What the other system calls it; of a pipeline one run a name. */
  source: string;
  inputs?: Readonly<Record<string, unknown>> | undefined;
  priority?: number | undefined;
  /** Of the steps that were done there, by step. */
  outputs: Readonly<Record<string, unknown>>;
  /** What was said there, by thread. */
  conversations?: Readonly<Record<string, readonly Message[]>> | undefined;
  /** For the history: its state there, its error. */
  facts?: Json | undefined;
}

export interface ImportedRun extends Pick<StartedRun, 'id' | 'tenant' | 'pipeline'> {
  /** False: it was there already, and nothing was changed. */
  imported: boolean;
  /** Steps that do not run again. */
  kept_steps: string[];
}

const known = statement(
  'find_imported_run',
  'select run_id from cronwright.imports where tenant = $1 and pipeline = $2 and source = $3',
);

// Who comes first for a name takes it; a repetition of this transaction finds its own run there.
const takeName = statement(
  'take_import_name',
  `insert into cronwright.imports (tenant, pipeline, source, run_id) values ($1, $2, $3, $4)
  on conflict (tenant, pipeline, source) do nothing`,
);

// Token 0 and borrowed: another system did it, and a rollback of this run does not undo it.
const putSteps = statement(
  'put_imported_steps',
  `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, started_at,
    finished_at, rate_limited_ms, edited, is_borrowed)
  select $1, u.step, -1, $2, 'completed', 0, 0, 0, u.output::jsonb, now(), now(), 0,
    jsonb_build_object('output', u.output::jsonb), true
  from unnest($3::text[], $4::text[]) as u(step, output)`,
);

// Its first claim reads what it begins with.
const notePast = statement('note_imported_past', 'update cronwright.queue set has_history = true where run_id = $1');

// Number 1 is the enqueue; nobody else can have written of a run that is not committed yet.
const tell = statement(
  'tell_imported',
  `insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
  values ($1, 2, $2, null, now(),
    jsonb_build_array($3::jsonb || jsonb_build_object('at', floor(extract(epoch from now()) * 1000)))::json)`,
);

/** Throws `not_found`, `invalid_input` (what is no output of a step, or cannot be kept), `limit_reached`. */
export async function importRun(
  starter: RunStarter,
  pipelineId: string,
  request: ImportRequest,
  caller: Caller,
): Promise<ImportedRun> {
  const { context, room } = starter;
  const pipeline = requirePipeline(context, caller.tenant, pipelineId);
  const { inputs, priority } = request;
  const run = newRunOf(context, pipeline, { inputs, priority }, caller);
  const outputs = await checkOutputs(context, pipeline, request.outputs);
  const kept = [...outputs.keys()];
  const name = [caller.tenant, pipelineId, request.source];
  const answer = { tenant: run.tenant, pipeline: run.pipeline, kept_steps: kept };
  const there = await findImported(context.db, name);
  if (there !== undefined) return { ...answer, id: there, imported: false };
  await room.reserve(caller.tenant, 1);
  const id = await context.db.transaction(
    async (tx) => {
      await tx.query(takeName, [...name, run.id]);
      const taken = await findImported(tx, name);
      if (taken !== run.id || (await enqueueRuns(tx, [run])).length === 0) return taken ?? run.id;
      await tx.query(putSteps, [run.id, run.tenant, kept, [...outputs.values()]]);
      await tx.query(notePast, [run.id]);
      await sayAll(tx, run, kept.at(-1) ?? pipeline.steps[0]?.id ?? '', request);
      await tellImported(tx, run, { source: request.source, kept_steps: kept, facts: request.facts ?? null });
      return run.id;
    },
    { idempotent: true },
  );
  const isOurs = id === run.id;
  if (isOurs) await announceRuns(context, [run]);
  return { ...answer, id, imported: isOurs };
}

async function findImported(db: Queryable, name: readonly string[]): Promise<string | undefined> {
  return (await db.query<{ run_id: string }>(known, name)).rows[0]?.run_id;
}

/** As JSON, by step in the order of the pipeline. */
async function checkOutputs(
  context: ControlContext,
  pipeline: Pipeline,
  given: ImportRequest['outputs'],
): Promise<Map<string, string>> {
  const problems: Problem[] = [];
  const wrong = (step: string, message: string, got: string, expected: string) =>
    problems.push({ path: `outputs.${step}`, message, got, expected });
  const names = pipeline.steps.map((step) => step.id);
  for (const step of Object.keys(given)) {
    if (!names.includes(step)) wrong(step, 'no such step', step, `one of: ${names.join(', ')}`);
  }
  const encoded = new Map<string, string>();
  for (const { id, uses, needs, foreach } of pipeline.steps) {
    if (!Object.hasOwn(given, id)) continue;
    const value = given[id];
    const missing = needs.find((need) => !Object.hasOwn(given, need));
    if (missing !== undefined) wrong(id, `it needs ${missing}, which has no output`, 'nothing', `outputs.${missing}`);
    if (foreach && !Array.isArray(value)) wrong(id, 'a step with foreach gives a list', typeof value, 'a list');
    for (const one of foreach && Array.isArray(value) ? value : [value]) {
      const [problem] = (await context.outputProblems?.(uses, one)) ?? [];
      if (problem === undefined) continue;
      const at = [id, ...problem.path].join('.');
      wrong(at, problem.message, JSON.stringify(one)?.slice(0, 100) ?? 'nothing', `the output of ${uses}`);
    }
    try {
      encoded.set(id, encodeOutput(value, new SecretMask(), 'the output').outputJson);
    } catch (error) {
      wrong(id, errorMessage(error), 'too much, or no JSON', 'JSON of at most 1 MB');
    }
  }
  if (names.every((name) => Object.hasOwn(given, name)))
    wrong('', 'every step has one', 'all', 'a step that is left to run');
  if (problems.length === 0) return encoded;
  const text = problems.map(
    ({ path, message, got, expected }) => `${path}: ${message}; got ${got}, expected ${expected}`,
  );
  throw new CronwrightError('invalid_input', text.join('; '), { problems });
}

async function sayAll(tx: Queryable, run: NewRun, step: string, request: ImportRequest): Promise<void> {
  const { id: runId, tenant, pipeline } = run;
  const key = `import/${request.source}`;
  const by = { tenant, pipeline, runId, wholeId: runId, step, item: -1, attempt: 1, token: 0, idempotencyKey: key };
  for (const [thread, messages] of Object.entries(request.conversations ?? {})) {
    await appendConversationIn(tx, by, { thread, key, messages }, null);
  }
}

async function tellImported(tx: Queryable, run: NewRun, data: { [key: string]: Json }): Promise<void> {
  const transition = { event: 'run.imported', ...(run.actor === null ? {} : { actor: run.actor }), data };
  await tx.query(tell, [run.id, run.tenant, JSON.stringify(transition)]);
}
