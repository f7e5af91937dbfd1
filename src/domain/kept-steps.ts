// Which steps of a run another run takes over from it, and which run again: for a retry and for a fork.
import { canSee, type NamePath, stepReferences, templateReferences } from './expressions/step-references.ts';
import type { Pipeline, StepDefinition } from './pipeline.ts';
import type { StepState } from './run.ts';

type Steps = Pick<Pipeline, 'steps' | 'env'>;
type States = ReadonlyMap<string, StepState>;

/**
 * Of a retry: those that completed, and those that were skipped although everything they need is kept (a step skipped because
 * another one failed gets its chance). `finally` and `on_failure` steps belong to one end of a run and always run again.
 */
export function stepsKeptByRetry(pipeline: Pick<Pipeline, 'steps'>, states: States): string[] {
  const kept = new Set<string>();
  let before = -1;
  while (kept.size > before) {
    before = kept.size;
    for (const { id, needs } of pipeline.steps) {
      const state = states.get(id);
      if (state === 'completed' || (state === 'skipped' && needs.every((need) => kept.has(need)))) kept.add(id);
    }
  }
  return pipeline.steps.map((step) => step.id).filter((step) => kept.has(step));
}

export interface ForkEdits {
  /** The step that runs again whatever became of it; what it needs is kept, whatever it names. */
  from: string | undefined;
  /** Names of inputs that have another value. */
  inputs: ReadonlySet<string>;
  /** Steps that are given another output. */
  outputs: ReadonlySet<string>;
  /** Steps whose definition is another one than they ran by. */
  changed: ReadonlySet<string>;
}

export interface ForkPlan {
  kept: string[];
  /** The others, with the reason. */
  again: ReadonlyMap<string, string>;
  /** Fan-outs that did not complete and go on: their completed items are kept. */
  continued: string[];
}

/**
 * Of a fork: what completed, unless it is `from`, could see an edited value, has another definition, or needs (however far
 * above) a step that runs again.
 */
export function stepsKeptByFork(pipeline: Steps, states: States, edits: ForkEdits): ForkPlan {
  const spared = edits.from === undefined ? new Set<string>() : needsOf(pipeline.steps, edits.from);
  const again = new Map<string, string>();
  const open = new Set<string>();
  const envPaths = templateReferences(pipeline.env);
  for (const step of pipeline.steps) {
    const state = states.get(step.id);
    const reason = step.id === edits.from ? 'it is the step to begin from' : undefined;
    const edited = spared.has(step.id) ? undefined : whyAgain(step, envPaths, edits);
    if (state !== 'completed' && state !== 'skipped') open.add(step.id);
    const said = reason ?? edited ?? (open.has(step.id) ? 'it did not complete' : undefined);
    if (said !== undefined) again.set(step.id, said);
    if (reason ?? edited) open.delete(step.id);
  }
  for (let before = -1; again.size > before; ) {
    before = again.size;
    for (const { id, needs } of pipeline.steps) {
      const need = needs.find((one) => again.has(one));
      if (need === undefined) continue;
      open.delete(id);
      if (!again.has(id)) again.set(id, `it needs ${need}, which runs again`);
    }
  }
  return {
    kept: pipeline.steps.map((step) => step.id).filter((id) => !again.has(id)),
    again,
    continued: [...open],
  };
}

function whyAgain(step: StepDefinition, envPaths: readonly NamePath[], edits: ForkEdits): string | undefined {
  if (edits.changed.has(step.id)) return 'its definition is another one in this version';
  if (edits.inputs.size + edits.outputs.size === 0) return undefined;
  const paths = [...stepReferences(step), ...envPaths];
  const sees = (root: string, keys: ReadonlySet<string>) =>
    [...keys].find((key) => paths.some((path) => canSee(path, root, key)));
  const input = sees('inputs', edits.inputs);
  if (input !== undefined) return `it names inputs.${input}, which is edited`;
  const output = sees('steps', edits.outputs);
  return output === undefined ? undefined : `it names steps.${output}, whose output is edited`;
}

/** Everything that a step needs, however far above. */
function needsOf(steps: readonly StepDefinition[], id: string): Set<string> {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const found = new Set<string>();
  const visit = (step: string): void => {
    for (const need of byId.get(step)?.needs ?? []) {
      if (found.has(need)) continue;
      found.add(need);
      visit(need);
    }
  };
  visit(id);
  return found;
}
