// A run of the pipeline worksheet in the words of an older system: status, current step, prompt to PDF, error and retries; derived, never stored.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isUuid } from './cursor.ts';
import { getRun, type RunDetail, runNotFound } from './get-run.ts';
import { runSteps, type StepView } from './run-steps.ts';
import { maybeInstant } from './view-fields.ts';

/** The pipeline of every tenant whose runs these are. */
const worksheetPipeline = 'worksheet';

const statuses = ['pending', 'running', 'error', 'waiting_manual', 'waiting_ai_fix', 'completed', 'aborted'] as const;
type Status = (typeof statuses)[number];

const currentSteps = ['prompt', 'design', 'latex', 'compile', 'done'] as const;
type CurrentStep = (typeof currentSteps)[number];

export const worksheetJob = z
  .object({
    id: z.uuid(),
    user_id: z.string(),
    status: z.enum(statuses).describe('error: a retry is to come, or the run has failed for good'),
    current_step: z.enum(currentSteps).describe('done: the PDF is there'),
    prompt: z.string(),
    design: z.string().describe('JSON; empty until it is there'),
    latex: z.string().describe('as it is now: edited and repaired; empty until it is there'),
    pdf_url: z.string().describe('from the daemon’s root; empty until it is there'),
    error_message: z.string().describe('of the step that failed last; empty where none did'),
    error_log: z
      .string()
      .describe('what the program printed, or else the error whole, as JSON; empty where none failed'),
    conversation_id: z.uuid().describe('the run, whose thread main it is'),
    retry_count: z.int().describe('repairs that were tried'),
    max_retries: z.int(),
    created_at: maybeInstant,
    updated_at: maybeInstant,
    completed_at: maybeInstant,
  })
  .meta({ id: 'WorksheetJob' });

export type WorksheetJob = z.infer<typeof worksheetJob>;

// Steps are known by their types: their ids are the pipeline's own business.
const rules = statement(
  'find_worksheet_rules',
  `select max((e.step->'onError'->'CompileError'->'aiFix'->>'max')::int4) as most,
    (select max(h.at) from cronwright.history h where h.run_id = $1) as told_at
  from cronwright.runs r
  join cronwright.pipelines v on v.tenant = r.tenant and v.id = r.pipeline and v.version = r.pipeline_version
  cross join lateral jsonb_array_elements(v.definition->'steps') as e(step)
  where r.id = $1`,
);

const imported = statement(
  'find_imported_worksheet',
  'select run_id from cronwright.imports where tenant = $1 and pipeline = $2 and source = $3',
);

/** The id of a run, or what an older system called it before it was taken over. Throws `not_found`. */
export async function requireWorksheetRun(db: Queryable, tenant: string, id: string): Promise<RunDetail> {
  const run = isUuid(id) ? await getRun(db, tenant, id).catch(noneThere) : undefined;
  if (run?.pipeline === worksheetPipeline) return run;
  const { rows } = await db.query<{ run_id: string }>(imported, [tenant, worksheetPipeline, id]);
  if (rows[0] === undefined) throw runNotFound(id);
  return getRun(db, tenant, rows[0].run_id);
}

/** A database that is away is no job that is not there. */
function noneThere(error: unknown): undefined {
  if (!(error instanceof CronwrightError) || error.code !== 'not_found') throw error;
}

/** Throws `not_found`, also for runs of other pipelines. */
export async function getWorksheetJob(db: Queryable, tenant: string, id: string): Promise<WorksheetJob> {
  const run = await requireWorksheetRun(db, tenant, id);
  const steps = new Map((await runSteps(db, tenant, run.id)).map((step) => [step.uses ?? step.step, step]));
  const { rows } = await db.query<{ most: number | null; told_at: Date | null }>(rules, [run.id]);
  const outputOf = (uses: string) => (steps.get(uses)?.output ?? {}) as Record<string, unknown>;
  const compile = outputOf('latex.compile');
  const fixes = run.waits.filter((wait) => wait.asked_by === 'fix');
  const design = outputOf('latex.design').design;
  const error = errorOf(run, steps);
  return {
    id: run.id,
    user_id: text(run.inputs?.user_id),
    status: statusOf(run, steps.get('latex.compile')),
    current_step: currentStepOf(steps),
    prompt: text(run.inputs?.prompt),
    design: design === undefined ? '' : JSON.stringify(design),
    latex: text(compile.source) || latestSource(run) || text(outputOf('latex.generate').source),
    pdf_url: text(compile.url),
    error_message: error?.message ?? '',
    error_log: error === undefined ? '' : logOf(error),
    conversation_id: run.id,
    retry_count: fixes.length,
    max_retries: rows[0]?.most ?? 0,
    created_at: run.created_at,
    updated_at: rows[0]?.told_at ?? run.created_at,
    completed_at: run.state === 'completed' ? run.finished_at : null,
  };
}

function statusOf({ state, wait_kind, waits }: RunDetail, compile: StepView | undefined): Status {
  if (state === 'completed') return 'completed';
  if (state === 'cancelled') return 'aborted';
  const isAsking = waits.some((wait) => wait.state === 'open' && wait.kind !== 'timer');
  if (isAsking) return 'waiting_manual';
  // Once repairs were chosen they go on by themselves, until it compiles or people are asked again.
  const choice = waits.find((wait) => wait.asked_by === 'error');
  if (choice?.decision === 'ai_fix' && compile?.state !== 'completed' && isLive(state)) return 'waiting_ai_fix';
  if (state === 'waiting') return wait_kind === 'step_retry' || wait_kind === 'rate_limit' ? 'error' : 'running';
  if (state === 'scheduled' || state === 'pending' || state === 'paused') return 'pending';
  return state === 'running' ? 'running' : 'error';
}

function isLive(state: RunDetail['state']): boolean {
  return state === 'running' || state === 'pending' || state === 'waiting';
}

/** The first whose work is not there; the words of the older system know these five. */
function currentStepOf(steps: ReadonlyMap<string, StepView>): CurrentStep {
  const places: readonly [string, CurrentStep][] = [
    ['latex.validate_prompt', 'prompt'],
    ['latex.refine', 'prompt'],
    ['latex.design', 'design'],
    ['latex.generate', 'latex'],
    ['latex.compile', 'compile'],
  ];
  const next = places.find(([uses]) => steps.has(uses) && steps.get(uses)?.state !== 'completed');
  return next?.[1] ?? 'done';
}

interface Shown {
  message: string;
  details?: unknown;
}

/** What is asked about comes first: the step that asks has no error of its own. */
function errorOf(run: RunDetail, steps: ReadonlyMap<string, StepView>): Shown | undefined {
  const asked = run.waits.find((wait) => wait.state === 'open' && wait.asked_by !== 'step');
  const form = asked?.form as { error?: Shown } | null | undefined;
  if (form?.error) return { ...form.error, message: asked?.message ?? form.error.message };
  if (run.state === 'completed') return undefined;
  return [...steps.values()].find(({ error }) => error !== null)?.error ?? run.error ?? undefined;
}

function logOf(error: Shown): string {
  const log = text((error.details as { log?: unknown } | null | undefined)?.log);
  return log === '' ? JSON.stringify(error) : log;
}

/** What the newest edit or repair has put in place, or was asked about. */
function latestSource({ waits }: RunDetail): string {
  for (const { data, form } of waits) {
    const edited = (data as { with?: { source?: unknown } } | null)?.with?.source;
    const asked = (form as { input?: { source?: unknown } } | null)?.input?.source;
    if (typeof edited === 'string') return edited;
    if (typeof asked === 'string') return asked;
  }
  return '';
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
