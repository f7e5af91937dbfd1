// A pipeline made ready to run: step types looked up, templates compiled, positions of needs resolved; once per version.

import { runsByChildren } from '../domain/child-run.ts';
import { pipelineScopes } from '../domain/expressions/pipeline-scope.ts';
import type { ScopeTypes } from '../domain/expressions/scope.ts';
import { stepReferences } from '../domain/expressions/step-references.ts';
import { type Condition, compileCondition, compileTemplate, type Template } from '../domain/expressions/template.ts';
import type { Pipeline, StepDefinition } from '../domain/pipeline.ts';
import type { RegisteredStep, Registry } from '../steps/registry.ts';

export interface CompiledStep {
  definition: StepDefinition;
  /** Undefined where this node does not have the step type. */
  type: RegisteredStep | undefined;
  input: Template;
  env: Template;
  condition: Condition | undefined;
  items: Template | undefined;
  /** The steps that repair its input, by the name of the error; absent where there are none. */
  fixes?: ReadonlyMap<string, { step: CompiledStep; type: RegisteredStep | undefined }>;
  /** What the step's result depends on; undefined where it is never taken from an earlier run. */
  cacheKey?: Template | undefined;
  /** What its calls are limited with, where the pipeline says so. */
  rateLimitKey?: Template | undefined;
  /** Whether expressions read the outputs of its items. */
  isCollected: boolean;
  /** Ids of the steps it needs. */
  needs: readonly string[];
  /** Progress of the run once it has completed, 0…100. */
  progress: number;
  /** Progress before it: the greatest of what it needs. */
  progressBefore: number;
}

export interface CompiledPipeline {
  pipeline: Pipeline;
  steps: readonly CompiledStep[];
  onFailure: readonly CompiledStep[];
  finally: readonly CompiledStep[];
  byId: ReadonlyMap<string, CompiledStep>;
  /** Whether children carry some of its steps out. */
  hasChildren: boolean;
  /** Whether a step of it goes over a list. */
  fansOut: boolean;
  /** Whether a timeout of it follows the past. */
  adapts: boolean;
  /** Whether there is something to undo, or to say that it cannot be. */
  undoes: boolean;
  /** Whether a failure or a crash may make a run of it wait for people. */
  asksPeople: boolean;
}

export function compilePipeline(pipeline: Pipeline, registry: Registry): CompiledPipeline {
  const milestones = stepMilestones(pipeline.steps);
  const isRead = outputsRead(pipeline);
  const compile = (step: StepDefinition) => compileStep(pipeline, step, registry, milestones, isRead(step.id));
  const compiled = {
    pipeline,
    steps: pipeline.steps.map(compile),
    onFailure: pipeline.onFailure.map(compile),
    finally: pipeline.finally.map(compile),
  };
  const all = [...compiled.steps, ...compiled.onFailure, ...compiled.finally];
  const byId = new Map(all.map((step) => [step.definition.id, step]));
  const adapts = pipeline.adaptiveTimeout !== undefined || all.some((step) => step.definition.adaptiveTimeout);
  const hasChildren = all.some((step) => runsByChildren(step.definition));
  const fansOut = all.some((step) => step.items !== undefined);
  const undoes = all.some(canUndo);
  return { ...compiled, byId, hasChildren, fansOut, adapts, undoes, asksPeople: asksPeople(pipeline) };
}

/** Whether something is said of undoing it. */
export function canUndo({ type, definition }: CompiledStep): boolean {
  return definition.compensate !== false && (type?.compensates === true || type?.irreversible !== undefined);
}

function asksPeople({ onInterrupted, onExhausted, steps }: Pipeline): boolean {
  if (onInterrupted === 'wait_manual' || onExhausted === 'wait_manual') return true;
  return steps.some((step) => step.onExhausted === 'wait_manual' || step.onError !== undefined);
}

/** Which steps' outputs the expressions of a pipeline read. Asked only of fan-outs: their outputs may be many. */
function outputsRead({ steps, onFailure, finally: last }: Pipeline): (step: string) => boolean {
  const all = [...steps, ...onFailure, ...last];
  if (all.every((step) => step.foreach === undefined)) return () => false;
  const paths = all.flatMap(stepReferences).filter(([root]) => root === 'steps');
  return (id) => paths.some(([, step, part]) => (step ?? id) === id && (part ?? 'output') === 'output');
}

/** A pipeline of one step, or of some items of it: what a child run that is a part of its parent carries out. */
export function partOfPipeline(compiled: CompiledPipeline, step: CompiledStep): CompiledPipeline {
  const { queue: _queue, distribute: _distribute, chunk: _chunk, if: _if, ...definition } = step.definition;
  const only: CompiledStep = {
    ...step,
    definition: { ...definition, needs: [], continueOnError: false },
    condition: undefined,
    isCollected: false,
    needs: [],
    progress: 100,
    progressBefore: 0,
  };
  const { retry: _retry, ...pipeline } = compiled.pipeline;
  return {
    ...compiled,
    pipeline,
    steps: [only],
    onFailure: [],
    finally: [],
    byId: new Map([[definition.id, only]]),
    hasChildren: false,
    fansOut: only.items !== undefined,
  };
}

/** Light where every step is; a step type this node does not know counts as heavy. */
export function weightOfPipeline(pipeline: Pipeline, registry: Registry): 'light' | 'heavy' {
  const steps = [...pipeline.steps, ...pipeline.onFailure, ...pipeline.finally];
  const isLight = (step: StepDefinition) => runsByChildren(step) || registry.get(step.uses)?.weight === 'light';
  return steps.every(isLight) ? 'light' : 'heavy';
}

/** Step types of the pipeline that this node does not have. */
export function missingTypes({ byId }: CompiledPipeline): string[] {
  const own = [...byId.values()].filter(({ definition }) => !runsByChildren(definition));
  const repairs = own.flatMap(({ fixes }) => [...(fixes?.values() ?? [])].map((fix) => fix.step));
  const missing = [...own, ...repairs].filter((step) => step.type === undefined).map((step) => step.definition.uses);
  return [...new Set(missing)];
}

function compileStep(
  pipeline: Pipeline,
  step: StepDefinition,
  registry: Registry,
  milestones: ReadonlyMap<string, number>,
  isRead: boolean,
): CompiledStep {
  const scopes = pipelineScopes(pipeline, registry);
  const compiled: CompiledStep = {
    definition: step,
    type: registry.get(step.uses),
    input: compileTemplate(step.with, scopes.forStep(step)),
    env: compileTemplate({ ...pipeline.env, ...step.env }, scopes.beforeStep(step)),
    condition: step.if === undefined ? undefined : compileCondition(step.if, scopes.beforeStep(step)),
    items: step.foreach ? compileTemplate(step.foreach.items, scopes.beforeStep(step)) : undefined,
    ...(step.rateLimitKey === undefined
      ? {}
      : { rateLimitKey: compileTemplate(step.rateLimitKey, scopes.forStep(step)) }),
    ...(step.cache ? { cacheKey: compileTemplate(step.cache.key, scopes.forStep(step)) } : {}),
    isCollected: step.foreach !== undefined && isRead,
    needs: step.needs,
    // Clean-up steps say nothing of how far the run is.
    progress: milestones.get(step.id) ?? 0,
    progressBefore: Math.max(0, ...step.needs.map((need) => milestones.get(need) ?? 0)),
  };
  if (step.onError) compiled.fixes = compileFixes(compiled, step.onError, scopes.forFix(step), registry);
  return compiled;
}

/** A repair is its step with another type and another input. */
function compileFixes(
  step: CompiledStep,
  rules: NonNullable<StepDefinition['onError']>,
  types: ScopeTypes,
  registry: Registry,
): NonNullable<CompiledStep['fixes']> {
  const fixes = new Map<string, { step: CompiledStep; type: RegisteredStep | undefined }>();
  for (const [error, { aiFix }] of Object.entries(rules)) {
    if (!aiFix) continue;
    const type = registry.get(aiFix.uses);
    const definition = { ...step.definition, uses: aiFix.uses };
    fixes.set(error, { step: { ...step, definition, type, input: compileTemplate(aiFix.with, types) }, type });
  }
  return fixes;
}

/** The milestones that steps name; the others get equal shares by their place in the file. */
function stepMilestones(steps: readonly StepDefinition[]): Map<string, number> {
  const named = steps.some((step) => step.progress !== undefined);
  const milestones = new Map<string, number>();
  let last = 0;
  for (const [i, step] of steps.entries()) {
    if (step.progress !== undefined) last = step.progress;
    else if (!named) last = Math.round(((i + 1) / steps.length) * 100);
    milestones.set(step.id, last);
  }
  return milestones;
}
