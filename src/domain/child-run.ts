// Child runs: which steps are carried out by runs of their own, and what such a run is to its parent.
import type { Pipeline, StepDefinition } from './pipeline.ts';

/** The step type that runs another pipeline. */
export const pipelineRunType = 'pipeline.run';
/** How deep runs may start runs. */
export const maxDepth = 10;
/** Children at once where a distributed step does not say. */
export const defaultChildren = 100;

/** What a run is to the parent that waits for it. */
export interface ChildOf {
  /** The parent's step. */
  step: string;
  /** First item and the one after the last; -1 and 0: the step itself. */
  from: number;
  to: number;
  /** How often the step had ended before: a retry of it makes children of its own. */
  generation: number;
  /** 1 for the child of a run that is nobody's child. */
  depth: number;
  /** Keys of the slots that the parent and its ancestors hold. */
  held: readonly string[];
  /** What it did was undone with a rollback to a step before its own, and is not undone again. */
  undone?: boolean;
  /** The values of the items. */
  items?: readonly unknown[];
}

/** The queues of a pipeline's runs, and of those that carry single steps of it out. */
export function queuesOf({ queue, steps, onFailure, finally: last }: Pipeline): string[] {
  return [queue, ...[...steps, ...onFailure, ...last].flatMap((step) => step.queue ?? [])];
}

/** Whether children that are parts of the run carry the step, or its items, out. */
export function runsByParts(step: Pick<StepDefinition, 'uses' | 'queue' | 'distribute'>): boolean {
  return step.uses !== pipelineRunType && runsByChildren(step);
}

/** Whether runs of their own carry the step, or its items, out. */
export function runsByChildren(step: Pick<StepDefinition, 'uses' | 'queue' | 'distribute'>): boolean {
  return step.uses === pipelineRunType || step.queue !== undefined || step.distribute === true;
}
