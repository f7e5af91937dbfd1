// Runs that document a database in the words of an older job tracker: progress by object, times, tokens and money, derived, never stored.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { isTerminal, type RunState } from '../domain/run.ts';
import { getRun, runNotFound } from './get-run.ts';
import { listRuns, type RunFilter } from './list-runs.ts';
import type { RunView } from './run-view.ts';
import { maybeInstant, type Page } from './view-fields.ts';

/** The pipeline of every tenant whose runs these are. */
export const documentationPipeline = 'db-docs';

export const jobStatuses = ['queued', 'processing', 'paused', 'completed', 'failed', 'cancelled'] as const;
export type JobStatus = (typeof jobStatuses)[number];

export const documentationJob = z
  .object({
    jobId: z.uuid(),
    status: z.enum(jobStatuses),
    totalObjects: z.int(),
    processedObjects: z.int(),
    failedObjects: z.int(),
    skippedObjects: z.int(),
    progressPercentage: z.number().describe('0 … 100, of objects that are done with; one digit behind the point'),
    currentObjectId: z.string().nullable(),
    currentObjectName: z.string().nullable(),
    averageProcessingTimeMs: z.number().nullable().describe('of an object that was tried'),
    estimatedCompletionTime: maybeInstant.describe('by the average of the objects so far'),
    message: z.string(),
    organization: z.string().describe('the tenant'),
    createdAt: maybeInstant,
    startedAt: maybeInstant,
    completedAt: maybeInstant,
    pausedAt: maybeInstant,
    triggeredByUserId: z.string().nullable(),
    triggeredByUserEmail: z.string().nullable(),
    estimatedCost: z.number().nullable().describe('US dollars, the low end'),
    actualCost: z.number().describe('US dollars, by the ledger'),
    promptTokens: z.int(),
    completionTokens: z.int(),
    totalTokensUsed: z.int(),
  })
  .meta({ id: 'DocumentationJob' });

export type DocumentationJob = z.infer<typeof documentationJob>;

export const documentationJobDetail = documentationJob
  .extend({
    errorLog: z.array(
      z.object({ objectId: z.string().nullable(), error: z.string(), message: z.string(), at: maybeInstant }),
    ),
  })
  .meta({ id: 'DocumentationJobDetail' });

// The steps are known by their types: their ids are the pipeline's own business.
const steps = statement(
  'list_documentation_steps',
  `select r.id as run_id, r.inputs, p.documents as document_step,
    (select s.output from cronwright.step_runs s where s.run_id = r.id and s.step = p.done and s.item = -1) as pending,
    (select max(h.at) from cronwright.history h where h.run_id = r.id) as told_at
  from unnest($1::uuid[]) as j(id)
  join cronwright.runs r on r.id = j.id
  left join lateral (
    select max(e.step->>'id') filter (where e.step->>'uses' = 'docs.pending') as done,
      max(e.step->>'id') filter (where e.step->>'uses' = 'docs.describe_object') as documents
    from cronwright.pipelines v cross join lateral jsonb_array_elements(v.definition->'steps') as e(step)
    where v.tenant = r.tenant and v.id = r.pipeline and v.version = r.pipeline_version
  ) p on true`,
);

const items = statement(
  'count_documented_objects',
  `select s.run_id, count(*) filter (where s.state = 'completed' or (s.state = 'compensated' and s.error is null)) as processed,
    count(*) filter (where s.state = 'failed' or (s.state = 'compensated' and s.error is not null)) as failed,
    min(s.item) filter (where s.state in ('running', 'waiting')) as current,
    (avg(extract(epoch from (s.finished_at - s.started_at))) filter (where s.state in ('completed', 'failed')) * 1000)::float8 as average_ms
  from unnest($1::uuid[], $2::text[]) as j(run_id, step)
  join cronwright.step_runs s on s.run_id = j.run_id and s.step = j.step and s.item >= 0
  group by s.run_id`,
);

const costs = statement(
  'list_costs_of_runs',
  `select t.key, t.prompt_tokens, t.completion_tokens, (t.spent + t.unknown)::float8 as usd, t.estimated::float8 as estimated
  from unnest($1::text[], $2::text[]) as j(tenant, key)
  join cronwright.cost_totals t on t.tenant = j.tenant and t.key = j.key`,
);

const errors = statement(
  'list_errors_of_items',
  `select s.item, s.error, s.finished_at from cronwright.step_runs s
  where s.run_id = $1 and s.step = $2::text and s.item >= 0 and s.state in ('failed', 'compensated')
    and s.error is not null order by s.item limit 1000`,
);

interface Named {
  id: string;
  name: string;
}

interface StepsRow {
  run_id: string;
  inputs: Record<string, unknown> | null;
  document_step: string | null;
  pending: { todo?: Named[]; skipped?: Named[] } | null;
  told_at: Date | null;
}

interface ItemsRow {
  run_id: string;
  processed: number;
  failed: number;
  current: number | null;
  average_ms: number | null;
}

interface CostRow {
  key: string;
  prompt_tokens: number;
  completion_tokens: number;
  usd: number;
  estimated: number | null;
}

/** Throws `not_found`, also for runs of other pipelines. */
export async function getDocumentationJob(
  db: Queryable,
  tenant: string | null,
  id: string,
  now: Date,
): Promise<z.infer<typeof documentationJobDetail>> {
  const run = await requireDocumentationRun(db, tenant, id);
  const [found] = await describeJobs(db, [run], now);
  if (!found) throw runNotFound(id);
  return { ...found.job, errorLog: await errorsOf(db, run, found.steps) };
}

export async function requireDocumentationRun(db: Queryable, tenant: string | null, id: string): Promise<RunView> {
  const run = await getRun(db, tenant, id);
  if (run.pipeline !== documentationPipeline) throw runNotFound(id);
  return run;
}

export async function listDocumentationJobs(
  db: Queryable,
  filter: Pick<RunFilter, 'tenant' | 'states' | 'cursor' | 'limit'>,
  now: Date,
): Promise<Page<DocumentationJob>> {
  const page = await listRuns(db, { ...filter, pipeline: documentationPipeline });
  const found = await describeJobs(db, page.items, now);
  return { items: found.map(({ job }) => job), next_cursor: page.next_cursor };
}

/** The states of a run that a status stands for. */
export function statesOfStatus(status: JobStatus, states: readonly RunState[]): RunState[] {
  return states.filter((state) => statusOf(state) === status);
}

export function statusOf(state: RunState): JobStatus {
  if (state === 'scheduled' || state === 'pending') return 'queued';
  if (state === 'paused' || state === 'completed' || state === 'cancelled') return state;
  return isTerminal(state) || state === 'rollback_failed' ? 'failed' : 'processing';
}

async function describeJobs(
  db: Queryable,
  runs: readonly RunView[],
  now: Date,
): Promise<{ job: DocumentationJob; steps: StepsRow | undefined }[]> {
  if (runs.length === 0) return [];
  const ids = runs.map(({ id }) => id);
  const stepsOf = byRun((await db.query<StepsRow>(steps, [ids])).rows);
  const fanOuts = [...stepsOf.values()].filter((row) => row.document_step !== null);
  const params = [fanOuts.map((row) => row.run_id), fanOuts.map((row) => row.document_step)];
  const itemsOf = byRun((await db.query<ItemsRow>(items, params)).rows);
  const keys = runs.map(({ id }) => `run:${id}`);
  const spent = (await db.query<CostRow>(costs, [runs.map(({ tenant }) => tenant), keys])).rows;
  const costOf = new Map(spent.map((row) => [row.key, row]));
  return runs.map((run) => {
    const row = stepsOf.get(run.id);
    return {
      job: toJob(run, { steps: row, items: itemsOf.get(run.id), cost: costOf.get(`run:${run.id}`), now }),
      steps: row,
    };
  });
}

function byRun<Row extends { run_id: string }>(rows: readonly Row[]): Map<string, Row> {
  return new Map(rows.map((row) => [row.run_id, row]));
}

function toJob(
  run: RunView,
  about: { steps: StepsRow | undefined; items: ItemsRow | undefined; cost: CostRow | undefined; now: Date },
): DocumentationJob {
  const { todo, skipped = [] } = about.steps?.pending ?? {};
  const inputs = about.steps?.inputs ?? {};
  const asked = Array.isArray(inputs.objects) ? inputs.objects.length : 0;
  const { processed = 0, failed = 0, current = null, average_ms: average = null } = about.items ?? {};
  const total = todo ? todo.length + skipped.length : asked;
  const done = processed + failed + skipped.length;
  const status = statusOf(run.state);
  const object = isTerminal(run.state) || current === null ? undefined : todo?.[current];
  const left = average === null || status !== 'processing' ? null : average * (total - done);
  const { prompt_tokens: prompt = 0, completion_tokens: completion = 0, usd = 0, estimated = null } = about.cost ?? {};
  return {
    jobId: run.id,
    status,
    totalObjects: total,
    processedObjects: processed,
    failedObjects: failed,
    skippedObjects: skipped.length,
    progressPercentage: total === 0 ? (status === 'completed' ? 100 : 0) : Math.round((done / total) * 1_000) / 10,
    currentObjectId: object?.id ?? null,
    currentObjectName: object?.name ?? null,
    averageProcessingTimeMs: average === null ? null : Math.round(average),
    estimatedCompletionTime: left === null ? null : new Date(about.now.getTime() + left),
    message: messageOf(run, status),
    organization: run.tenant,
    createdAt: run.created_at,
    startedAt: run.started_at,
    completedAt: run.finished_at,
    pausedAt: run.state === 'paused' ? (about.steps?.told_at ?? null) : null,
    triggeredByUserId: textOf(inputs.user_id),
    triggeredByUserEmail: textOf(inputs.user_email),
    estimatedCost: estimated,
    actualCost: Math.round(usd * 1e6) / 1e6,
    promptTokens: prompt,
    completionTokens: completion,
    totalTokensUsed: prompt + completion,
  };
}

/** What is at hand to say, the error first. */
function messageOf(run: RunView, status: JobStatus): string {
  if (run.error !== null && isTerminal(run.state)) return run.error.message;
  if (run.state === 'waiting') return run.message ?? `waiting: ${run.wait_kind ?? 'for something'}`;
  return isTerminal(run.state) ? status : (run.message ?? status);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

interface ErrorRow {
  item: number;
  error: { name: string; message: string } | null;
  finished_at: Date | null;
}

async function errorsOf(db: Queryable, run: RunView, row: StepsRow | undefined) {
  const { rows } = await db.query<ErrorRow>(errors, [run.id, row?.document_step ?? '']);
  const ofObjects = rows.map(({ item, error, finished_at: at }) => ({
    objectId: row?.pending?.todo?.[item]?.id ?? null,
    error: error?.name ?? 'Error',
    message: error?.message ?? 'no message',
    at,
  }));
  if (run.error === null) return ofObjects;
  return [...ofObjects, { objectId: null, error: run.error.name, message: run.error.message, at: run.finished_at }];
}
