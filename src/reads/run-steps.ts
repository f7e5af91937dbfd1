// What became of each step of a run: those of its pipeline's version in their order, begun or not.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { type AdaptiveTimeout, formatAuto } from '../domain/adaptive-timeout.ts';
import { isUuid } from './cursor.ts';
import { runNotFound } from './get-run.ts';
import { compensationView, stepCompensations } from './step-compensations.ts';
import { findStepFacts, type StepFacts } from './step-facts.ts';
import { anyJson, maybeInstant, storedError } from './view-fields.ts';

export const stepView = z
  .object({
    step: z.string(),
    label: z.string().nullable(),
    uses: z.string().nullable(),
    needs: z.array(z.string()),
    kind: z.enum(['step', 'on_failure', 'finally']),
    state: z.enum(['pending', 'running', 'waiting', 'completed', 'failed', 'skipped', 'compensated', 'cancelled']),
    attempts: z.int(),
    retries: z.int(),
    items: z
      .object({ total: z.int(), completed: z.int(), failed: z.int(), skipped: z.int() })
      .nullable()
      .describe('of a fan-out: items that have begun'),
    started_at: maybeInstant,
    finished_at: maybeInstant,
    duration_ms: z.number().nullable(),
    waited_ms: z
      .number()
      .nullable()
      .describe('between the end of what it needs, or the start of the run, and its own start'),
    timeout_ms: z.int().nullable().describe('of one attempt; null: decided when the run is claimed'),
    timeout_from: z
      .enum(['definition', 'history', 'default'])
      .nullable()
      .describe('history: by `timeout.auto`; default: too few had completed for that'),
    timeout_auto: z.string().nullable().describe('the rule of a timeout that adapts, e.g. p99 × 3'),
    timeout_samples: z.int().nullable().describe('completed attempts that the rule went by'),
    cached_from: z
      .object({ run_id: z.uuid(), step: z.string(), at: z.string() })
      .nullable()
      .describe('it was not run: where its output comes from'),
    retry_at: maybeInstant,
    output: anyJson,
    edited: z.boolean().describe('a fork was given this output in place of its own'),
    error: storedError.nullable(),
    compensation: compensationView
      .nullable()
      .describe('the undoing of what it did; of a fan-out, of the item that is the worst off'),
  })
  .meta({ id: 'Step' });

export type StepView = z.infer<typeof stepView>;

const definitionOf = statement(
  'get_run_definition',
  `select p.definition, coalesce(r.started_at, q.started_at) as started_at
  from cronwright.runs r
  left join cronwright.queue q on q.run_id = r.id
  left join cronwright.pipelines p on p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version
  where r.id = $1 and ($2::text is null or r.tenant = $2)`,
);

const begunSteps = statement(
  'list_run_steps',
  `select s.step, s.state, s.attempts, s.retries, s.output, s.error, s.started_at, s.finished_at, s.retry_at,
    s.edited is not null as edited, now() as read_at, i.total, i.completed, i.failed, i.skipped
  from cronwright.step_runs s
  left join (
    select step, count(*) as total, count(*) filter (where state = 'completed') as completed,
      count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'skipped') as skipped
    from cronwright.step_runs where run_id = $1 and item >= 0 group by step
  ) i on i.step = s.step
  where s.run_id = $1 and s.item = -1
  order by s.started_at nulls last, s.step`,
);

interface BegunRow {
  step: string;
  state: StepView['state'];
  attempts: number;
  retries: number;
  output: unknown;
  error: StepView['error'];
  started_at: Date | null;
  finished_at: Date | null;
  retry_at: Date | null;
  edited: boolean;
  read_at: Date;
  total: number | null;
  completed: number;
  failed: number;
  skipped: number;
}

interface DefinedStep {
  id: string;
  label?: string;
  uses?: string;
  needs?: string[];
  timeoutMs?: number;
  adaptiveTimeout?: AdaptiveTimeout;
  cache?: unknown;
}

interface DefinitionRow {
  definition: StoredDefinition | null;
  started_at: Date | null;
}

interface StoredDefinition {
  steps?: DefinedStep[];
  onFailure?: DefinedStep[];
  finally?: DefinedStep[];
}

/** Throws `not_found`. */
export async function runSteps(db: Queryable, tenant: string | null, id: string): Promise<StepView[]> {
  const run = isUuid(id) ? (await db.query<DefinitionRow>(definitionOf, [id, tenant])).rows[0] : undefined;
  if (!run) throw runNotFound(id);
  const begun = new Map((await db.query<BegunRow>(begunSteps, [id])).rows.map((row) => [row.step, row]));
  const definition = run.definition ?? {};
  const defined = [
    ...(definition.steps ?? []).map((step) => ({ step, kind: 'step' as const })),
    ...(definition.onFailure ?? []).map((step) => ({ step, kind: 'on_failure' as const })),
    ...(definition.finally ?? []).map((step) => ({ step, kind: 'finally' as const })),
  ];
  const facts = await findStepFacts(
    db,
    id,
    defined.some(({ step }) => step.cache || step.adaptiveTimeout),
  );
  const views = defined.map(({ step, kind }) => ({
    ...view(step, kind, begun.get(step.id), facts),
    waited_ms: waitedMs(step, begun, run.started_at),
  }));
  const known = new Set(defined.map(({ step }) => step.id));
  // Steps of a version that nobody stored are shown as far as they have begun.
  const others = [...begun.values()].filter((row) => !known.has(row.step));
  const all = [...views, ...others.map((row) => view({ id: row.step }, 'step', row, facts))];
  const undone = await stepCompensations(db, id);
  return all.map((one) => ({ ...one, compensation: undone.get(one.step) ?? null }));
}

/** A step whose needs ended at different times waited for the last of them. */
function waitedMs(step: DefinedStep, begun: ReadonlyMap<string, BegunRow>, runStartedAt: Date | null): number | null {
  const startedAt = begun.get(step.id)?.started_at;
  const ends = (step.needs ?? []).map((need) => begun.get(need)?.finished_at?.getTime() ?? 0);
  const readyAt = ends.length > 0 ? Math.max(...ends) : (runStartedAt?.getTime() ?? 0);
  return startedAt && readyAt > 0 ? Math.max(0, startedAt.getTime() - readyAt) : null;
}

type TimeoutView = Pick<StepView, 'timeout_ms' | 'timeout_from' | 'timeout_auto' | 'timeout_samples'>;

function timeoutOf({ id, timeoutMs, adaptiveTimeout }: DefinedStep, { timeouts }: StepFacts): TimeoutView {
  const decided = timeouts[`steps.${id}`];
  if (adaptiveTimeout === undefined) {
    const isKnown = timeoutMs !== undefined;
    const from = isKnown ? ('definition' as const) : null;
    return { timeout_ms: timeoutMs ?? null, timeout_from: from, timeout_auto: null, timeout_samples: null };
  }
  return {
    timeout_ms: decided?.ms ?? null,
    timeout_from: decided?.from ?? null,
    timeout_auto: formatAuto(adaptiveTimeout),
    timeout_samples: decided?.samples ?? null,
  };
}

function view(step: DefinedStep, kind: StepView['kind'], row: BegunRow | undefined, facts: StepFacts): StepView {
  const end = row?.finished_at ?? row?.read_at;
  return {
    step: step.id,
    label: step.label ?? null,
    uses: step.uses ?? null,
    needs: step.needs ?? [],
    kind,
    state: row?.state ?? 'pending',
    attempts: row?.attempts ?? 0,
    retries: row?.retries ?? 0,
    items:
      row?.total === undefined || row.total === null
        ? null
        : { total: row.total, completed: row.completed, failed: row.failed, skipped: row.skipped },
    started_at: row?.started_at ?? null,
    finished_at: row?.finished_at ?? null,
    duration_ms: row?.started_at && end ? Math.max(0, end.getTime() - row.started_at.getTime()) : null,
    waited_ms: null,
    ...timeoutOf(step, facts),
    cached_from: facts.cachedFrom.get(step.id) ?? null,
    retry_at: row?.retry_at ?? null,
    output: row?.output ?? null,
    edited: row?.edited ?? false,
    error: row?.error ?? null,
    compensation: null,
  };
}
