// Checks every expression of a pipeline against the names its place can see, and `with` against the step type's schema.
import { checkExpression } from '../domain/expressions/check-expression.ts';
import { type PipelineScopes, pipelineScopes } from '../domain/expressions/pipeline-scope.ts';
import type { ScopeTypes } from '../domain/expressions/scope.ts';
import { splitTemplate } from '../domain/expressions/split-template.ts';
import { anyType, describeType, type ValueType } from '../domain/expressions/value-type.ts';
import { checkWith } from './check-with.ts';
import type { PipelineCheck, PlacedStep, StepCheck } from './pipeline-check.ts';
import type { KeyPath } from './yaml-source.ts';
import { valueAt } from './zod-problems.ts';

/** The type an expression at a place of `with` gives; by its path, as JSON. */
export type ExpressionTypes = Map<string, ValueType>;

type Hint = (path: readonly (string | number)[]) => string | undefined;

export async function checkExpressions(check: PipelineCheck): Promise<void> {
  const scopes = pipelineScopes(check.pipeline, check.catalogue);
  checkTexts(check, check.pipeline.env, ['env'], scopes.pipeline, () => undefined);
  for (const placed of check.steps) if (placed.isWhole) await checkStep(check, placed, scopes);
}

async function checkStep(check: PipelineCheck, placed: PlacedStep, scopes: PipelineScopes): Promise<void> {
  const { step, path } = placed;
  const before = scopes.beforeStep(step);
  const within = scopes.forStep(step);
  const hint = hintFor(check, placed);
  if (step.if !== undefined) checkCondition(check, placed, before, hint);
  if (step.foreach) checkForeach(check, placed, before, hint);
  checkTexts(check, step.env, [...path, 'env'], before, hint);
  const types = checkTexts(check, step.with, [...path, 'with'], within, hint);
  if (step.rateLimitKey) checkTexts(check, step.rateLimitKey, [...path, 'rate_limit_key'], within, hint);
  if (step.cache) checkTexts(check, step.cache.key, [...path, 'cache', 'key'], within, hint);
  for (const [name, { aiFix }] of Object.entries(step.onError ?? {})) {
    if (aiFix) checkTexts(check, aiFix.with, [...path, 'on_error', name, 'ai_fix', 'with'], scopes.forFix(step), hint);
  }
  const type = check.catalogue.get(step.uses);
  if (type) await checkWith(check, placed, type, types);
}

/** Checks every text at any depth; returns the type of each place that holds an expression. */
export function checkTexts(
  check: StepCheck,
  value: unknown,
  path: KeyPath,
  types: ScopeTypes,
  hint: Hint,
): ExpressionTypes {
  const found: ExpressionTypes = new Map();
  visit(value, path);
  return found;

  function visit(part: unknown, at: KeyPath): void {
    if (typeof part === 'string' && part.includes('${{'))
      found.set(JSON.stringify(at), checkText(check, part, at, types, hint));
    else if (Array.isArray(part)) for (const [index, item] of part.entries()) visit(item, [...at, index]);
    else if (typeof part === 'object' && part !== null) {
      for (const [key, inner] of Object.entries(part)) {
        if (key.includes('${{'))
          check.problem([...at, key], {
            atKey: true,
            message: 'a key cannot be an expression',
            expected: 'a plain key',
          });
        visit(inner, [...at, key]);
      }
    }
  }
}

function checkText(check: StepCheck, text: string, path: KeyPath, types: ScopeTypes, hint: Hint): ValueType {
  const segments = splitTemplate(text);
  let type: ValueType = anyType;
  for (const segment of segments) {
    if (segment.kind === 'unclosed') {
      check.problem(path, {
        message: 'the expression is never closed',
        expected: '`}}` at its end',
        offset: segment.start,
      });
    } else if (segment.kind === 'expression') {
      type = checkOne(check, segment.text, path, segment.start, types, hint);
    }
  }
  return segments.length === 1 ? type : { kind: 'string' };
}

function checkOne(
  check: StepCheck,
  text: string,
  path: KeyPath,
  offset: number,
  types: ScopeTypes,
  hint: Hint,
): ValueType {
  const trimmed = text.trimStart();
  const lead = offset + text.length - trimmed.length;
  const checked = checkExpression(trimmed.trimEnd(), types, hint);
  for (const { start, ...problem } of checked.problems) check.problem(path, { ...problem, offset: lead + start });
  return checked.type;
}

function checkCondition(check: PipelineCheck, { path }: PlacedStep, types: ScopeTypes, hint: Hint): void {
  const at = [...path, 'if'];
  const written = valueAt(check.document.value, at);
  if (typeof written !== 'string') return;
  const segments = splitTemplate(written);
  const [only] = segments;
  if (segments.length > 1 || only?.kind === 'unclosed') {
    check.problem(at, {
      message: 'a condition is one expression',
      got: written,
      expected: 'CEL, alone or in one pair of ${' + '{ }}',
    });
    return;
  }
  const isWrapped = only?.kind === 'expression';
  const type = checkOne(check, isWrapped ? only.text : written, at, isWrapped ? only.start : 0, types, hint);
  if (type.kind !== 'bool' && type.kind !== 'any') {
    check.problem(at, {
      message: 'the condition is neither true nor false',
      got: describeType(type),
      expected: 'boolean',
    });
  }
}

function checkForeach(check: PipelineCheck, { step, path }: PlacedStep, types: ScopeTypes, hint: Hint): void {
  const at = [...path, 'foreach'];
  const items = step.foreach?.items;
  if (typeof items !== 'string') {
    checkTexts(check, items, at, types, hint);
    return;
  }
  const segments = splitTemplate(items);
  if (segments.length !== 1 || segments[0]?.kind !== 'expression') {
    if (segments.some(({ kind }) => kind === 'unclosed')) checkText(check, items, at, types, hint);
    else
      check.problem(at, {
        message: 'not a list',
        got: JSON.stringify(items),
        expected: 'a list, or one expression that gives one',
      });
    return;
  }
  const type = checkText(check, items, at, types, hint);
  if (type.kind !== 'list' && type.kind !== 'any') {
    check.problem(at, { message: 'the expression gives no list', got: describeType(type), expected: 'list' });
  }
}

/** Says why a name that exists elsewhere in the pipeline is not known here. */
function hintFor(check: PipelineCheck, { step, path }: PlacedStep): Hint {
  return (name) => {
    const [root, second] = name;
    if (root === 'steps' && name.length === 2) {
      if (second === step.id) return 'a step cannot read its own output';
      const other = check.steps.find((placed) => placed.step.id === second);
      if (!other) return undefined;
      if (path[0] === 'steps' && other.path[0] === 'steps')
        return `the step "${second}" is not needed by "${step.id}"; add it to its \`needs\``;
      return `the step "${second}" has not run at this point`;
    }
    if ((root === 'item' || root === 'index') && name.length === 1) {
      return `\`${root}\` exists only in \`with\` and \`cache\` of a step with \`foreach\``;
    }
    return undefined;
  };
}
