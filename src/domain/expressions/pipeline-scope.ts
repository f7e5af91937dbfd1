// Which names each step of a pipeline may use, and their types: inputs, the steps it needs, the item of its fan-out.
import type { Pipeline, StepDefinition } from '../pipeline.ts';
import type { StepCatalogue } from '../step-catalogue.ts';
import { checkExpression } from './check-expression.ts';
import { fixedScopeTypes, fixScopeTypes, type ScopeTypes, stepScopeType } from './scope.ts';
import { splitTemplate } from './split-template.ts';
import { anyType, typeFromJsonSchema, typeOfValue, type ValueType } from './value-type.ts';

/** The parts of a pipeline that decide what its steps can name. */
export type ScopedPipeline = Pick<Pipeline, 'inputs' | 'env' | 'steps' | 'finally' | 'onFailure'>;

export interface PipelineScopes {
  /** For `env` of the pipeline: no steps, no env. */
  readonly pipeline: ScopeTypes;
  /** For `with` of a step: everything it may name. The same object for every call with the same step. */
  forStep(step: StepDefinition): ScopeTypes;
  /** For `if`, `foreach` and `env` of a step: as `forStep`, without `item` and `index`, and without its own env. */
  beforeStep(step: StepDefinition): ScopeTypes;
  /** For `with` of a step's `ai_fix`: as `forStep`, with the error and the input that failed. */
  forFix(step: StepDefinition): ScopeTypes;
}

const remembered = new WeakMap<ScopedPipeline, { catalogue: StepCatalogue; scopes: PipelineScopes }>();

/** The scopes of a pipeline's steps; computed once per pipeline object and catalogue. */
export function pipelineScopes(pipeline: ScopedPipeline, catalogue: StepCatalogue): PipelineScopes {
  const known = remembered.get(pipeline);
  if (known?.catalogue === catalogue) return known.scopes;
  const scopes = computeScopes(pipeline, catalogue);
  remembered.set(pipeline, { catalogue, scopes });
  return scopes;
}

function computeScopes(pipeline: ScopedPipeline, catalogue: StepCatalogue): PipelineScopes {
  const base: ScopeTypes = { ...fixedScopeTypes, inputs: inputsType(pipeline) };
  const before = new Map<StepDefinition, ScopeTypes>();
  const within = new Map<StepDefinition, ScopeTypes>();

  for (const [step, visible] of visibleSteps(pipeline)) {
    const steps: Record<string, ValueType> = Object.create(null);
    for (const other of visible) steps[other.id] = stepScopeType(outputType(other, catalogue));
    const outside = {
      ...base,
      steps: { kind: 'object', fields: steps, open: false },
      env: envType(pipeline.env),
    } as const satisfies ScopeTypes;
    before.set(step, outside);
    within.set(step, {
      ...outside,
      env: envType({ ...pipeline.env, ...step.env }),
      ...(step.foreach ? { item: itemType(step.foreach.items, outside), index: { kind: 'int' } as const } : {}),
    });
  }
  return {
    pipeline: base,
    forStep: (step) => within.get(step) ?? base,
    beforeStep: (step) => before.get(step) ?? base,
    forFix: (step) => ({ ...(within.get(step) ?? base), ...fixScopeTypes }),
  };
}

/** Every step with the steps it can name: those it needs, however far above; at the end, all that have been. */
function visibleSteps(pipeline: ScopedPipeline): [StepDefinition, StepDefinition[]][] {
  const byId = new Map(pipeline.steps.map((step) => [step.id, step]));
  const result: [StepDefinition, StepDefinition[]][] = pipeline.steps.map((step) => [step, ancestors(step, byId)]);
  const ended: StepDefinition[] = [...pipeline.steps];
  for (const step of [...pipeline.onFailure, ...pipeline.finally]) {
    result.push([step, [...ended]]);
    ended.push(step);
  }
  return result;
}

function ancestors(step: StepDefinition, byId: ReadonlyMap<string, StepDefinition>): StepDefinition[] {
  const found = new Set<StepDefinition>();
  const open = [...step.needs];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const needed = byId.get(id);
    if (!needed || needed === step || found.has(needed)) continue;
    found.add(needed);
    open.push(...needed.needs);
  }
  return [...found];
}

function inputsType(pipeline: ScopedPipeline): ValueType {
  const fields: Record<string, ValueType> = Object.create(null);
  for (const [name, input] of Object.entries(pipeline.inputs)) {
    const type = typeFromJsonSchema(
      input.type === 'object' ? { type: 'object', additionalProperties: true } : { type: input.type },
    );
    fields[name] = input.required || input.default !== undefined ? type : { ...type, nullable: true };
  }
  return { kind: 'object', fields, open: false };
}

function envType(env: Readonly<Record<string, string>>): ValueType {
  const fields = Object.fromEntries(Object.keys(env).map((name) => [name, { kind: 'string' } as const]));
  return { kind: 'object', fields, open: false };
}

function outputType(step: StepDefinition, catalogue: StepCatalogue): ValueType {
  const type = typeFromJsonSchema(catalogue.get(step.uses)?.outputSchema);
  return step.foreach ? { kind: 'list', item: type } : type;
}

/** The type of the items of a `foreach`; `any` where its expression is wrong, which is reported where it stands. */
function itemType(items: unknown, types: ScopeTypes): ValueType {
  const list = typeof items === 'string' ? expressionType(items, types) : typeOfValue(items);
  return list.kind === 'list' ? list.item : anyType;
}

function expressionType(text: string, types: ScopeTypes): ValueType {
  const [only, ...rest] = splitTemplate(text.trim());
  if (only?.kind !== 'expression' || rest.length > 0) return anyType;
  return checkExpression(only.text, types).type;
}
