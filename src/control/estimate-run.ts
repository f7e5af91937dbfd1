// Estimates a run before it starts: each step is asked with its input, and earlier runs tell of those that do not know.
import { z } from 'zod';
import { estimateOf, type RunCostEstimate, type StepFacts, type StepFigures } from '../domain/cost-estimate.ts';
import type { Scope } from '../domain/expressions/scope.ts';
import { templateReferences } from '../domain/expressions/step-references.ts';
import { compileCondition, compileTemplate, conditionText } from '../domain/expressions/template.ts';
import { createNewRun, type NewRun } from '../domain/new-run.ts';
import type { Pipeline, StepDefinition } from '../domain/pipeline.ts';
import { expectCost } from '../store/cost-totals.ts';
import { loadPastCosts } from '../store/past-costs.ts';
import { loadPastDurations } from '../store/past-durations.ts';
import type { ControlContext } from './control-context.ts';
import { type Caller, type RunRequest, type RunStarter, requirePipeline, type StartedRun } from './start-run.ts';

const source = z.enum(['step', 'history', 'none']).describe('the step says so; earlier runs show it; nobody knows');

export const costEstimate = z
  .object({
    pipeline: z.string(),
    usd_low: z.number().describe('US dollars; 0 for what nobody knows'),
    usd_high: z.number().describe('twice the low end'),
    duration_ms: z.number().nullable().describe('along the longest way through the steps; null: not known'),
    steps: z.array(
      z.object({
        step: z.string(),
        uses: z.string(),
        items: z.int().nullable().describe('of a fan-out; null: none, or not known before the run'),
        usd_low: z.number(),
        usd_high: z.number(),
        duration_ms: z.number().nullable(),
        usd_from: source,
        duration_from: source,
      }),
    ),
  })
  .meta({ id: 'CostEstimate' });

export type CostEstimate = RunCostEstimate & { pipeline: string };

/** Items that are asked one by one; of longer lists these stand for all. */
const mostAsked = 20;

/** Throws `invalid_input` where the inputs do not fit. Nothing is started. */
export async function estimateRun(
  context: ControlContext,
  pipeline: Pipeline,
  inputs: Readonly<Record<string, unknown>>,
): Promise<CostEstimate> {
  const run = createNewRun(pipeline, context.pipelines.termsOf(pipeline), { origin: 'api', inputs });
  const { id, tenant } = pipeline;
  const { steps } = pipeline;
  const [pastUsd, past] = await Promise.all([
    loadPastCosts(context.db, tenant, id),
    loadPastDurations(context.db, {
      tenant,
      pipeline: id,
      steps: steps.map((step) => ({ id: step.id, hasItems: step.foreach !== undefined })),
    }),
  ]);
  const scope = scopeOf(context, run);
  const facts: StepFacts[] = [];
  for (const step of steps) {
    const known = { usd: pastUsd.get(step.id), durationMs: past.steps.get(step.id)?.ms[50] };
    facts.push({ step, past: known, ...(await askStep(context, pipeline, step, scope)) });
  }
  return { pipeline: id, ...estimateOf(facts, past.run?.ms[50]) };
}

/** Estimates a run, starts it, and keeps what was estimated beside what it does cost. */
export async function startEstimatedRun(
  starter: RunStarter,
  pipeline: string,
  request: RunRequest,
  caller: Caller,
): Promise<StartedRun> {
  const { context } = starter;
  const estimate = await estimateRun(context, requirePipeline(context, caller.tenant, pipeline), request.inputs ?? {});
  const run = await starter.start(pipeline, request, caller);
  await expectCost(context.db, run.tenant, run.id, estimate.usd_low);
  return run;
}

async function askStep(
  context: ControlContext,
  pipeline: Pipeline,
  step: StepDefinition,
  scope: Scope,
): Promise<Pick<StepFacts, 'isSkipped' | 'items' | 'said'>> {
  const items = step.foreach && listOf(step.foreach.items, scope);
  const count = items?.length ?? null;
  if (isOff(step, scope) || count === 0) return { isSkipped: true, items: count, said: {} };
  // What other steps say is not known yet.
  const seesSteps = templateReferences([step.with, step.env]).some(([root]) => root === 'steps');
  const cannotKnow = seesSteps || (step.foreach && items === undefined && namesItem(step));
  if (cannotKnow || context.estimateStep === undefined) return { isSkipped: false, items: count, said: {} };
  const calls = items === undefined ? [undefined] : items.slice(0, mostAsked);
  const said: StepFigures[] = [];
  for (const [index, item] of calls.entries()) {
    const within = items === undefined ? scope : { ...scope, item, index };
    const env = compileTemplate({ ...pipeline.env, ...step.env }).evaluate(scope);
    const input = compileTemplate(step.with).evaluate(env.ok ? { ...within, env: env.value as never } : within);
    if (!input.ok) return { isSkipped: false, items: count, said: {} };
    const asked = { tenant: pipeline.tenant, pipeline: pipeline.id, step: step.id, input: input.value };
    said.push((await context.estimateStep(step.uses, asked)) ?? {});
  }
  return { isSkipped: false, items: count, said: { usd: mean(said, 'usd'), durationMs: mean(said, 'durationMs') } };
}

/** Undefined where it is not known before the run. */
function listOf(items: unknown, scope: Scope): readonly unknown[] | undefined {
  if (templateReferences(items).some(([root]) => root === 'steps')) return undefined;
  const evaluated =
    typeof items === 'string' || typeof items === 'object' ? compileTemplate(items).evaluate(scope) : null;
  return evaluated?.ok && Array.isArray(evaluated.value) ? evaluated.value : undefined;
}

function isOff(step: StepDefinition, scope: Scope): boolean {
  if (step.if === undefined) return false;
  if (templateReferences(`\${{ ${conditionText(step.if)} }}`).some(([root]) => root === 'steps')) return false;
  const found = compileCondition(step.if).evaluate(scope);
  return found.ok && !found.value;
}

function namesItem(step: StepDefinition): boolean {
  return templateReferences(step.with).some(([root]) => root === 'item' || root === 'index');
}

/** Undefined where one of them does not know. */
function mean(said: readonly StepFigures[], of: keyof StepFigures): number | undefined {
  let sum = 0;
  for (const one of said) {
    const value = one[of];
    if (value === undefined) return undefined;
    sum += value;
  }
  return said.length === 0 ? undefined : sum / said.length;
}

/** Secrets are none of an estimate's business: a step that names one in its input is not asked. */
function scopeOf({ clock }: ControlContext, run: NewRun): Scope {
  const { id, pipeline, tenant, origin, dryRun } = run;
  const createdAt = new Date(clock.now()).toISOString();
  const facts = { id, pipeline, tenant, origin, attempt: 1, created_at: createdAt, dry_run: dryRun, api_url: '' };
  return { inputs: run.inputs ?? {}, steps: {}, run: facts, schedule: null, env: {}, secrets: {}, tenant };
}
