// What a step's definition names in its expressions: its condition, and every text at any depth of the rest.
import type { StepDefinition } from '../pipeline.ts';
import { parseCel } from './cel.ts';
import { findReferences } from './references.ts';
import { splitTemplate } from './split-template.ts';
import { conditionText } from './template.ts';

/** `['inputs', 'remote']`; shorter where the rest of the name is computed. */
export type NamePath = readonly (string | number)[];

export function stepReferences(step: StepDefinition): NamePath[] {
  const condition = step.if === undefined ? [] : referencesOf(conditionText(step.if));
  return [...condition, ...templateReferences({ ...step, if: null })];
}

export function templateReferences(value: unknown): NamePath[] {
  if (typeof value === 'string') {
    if (!value.includes('${{')) return [];
    return splitTemplate(value).flatMap(({ kind, text }) => (kind === 'expression' ? referencesOf(text.trim()) : []));
  }
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(templateReferences);
}

/** Whether an expression that names `path` can see what is at `root.key`. */
export function canSee(path: NamePath, root: string, key: string): boolean {
  return path[0] === root && (path.length === 1 || path[1] === key);
}

/** A text that is no expression names nothing: its step fails whatever is edited. */
function referencesOf(text: string): NamePath[] {
  const parsed = parseCel(text);
  return 'problem' in parsed ? [] : findReferences(parsed.ast).map(({ path }) => path);
}
