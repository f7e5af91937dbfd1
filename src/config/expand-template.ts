// Puts the values of parameters into the body of a template: what names parameters alone is computed, elsewhere they become literals.

import { errorMessage } from '../domain/errors.ts';
import { parseCel } from '../domain/expressions/cel.ts';
import { compileExpression } from '../domain/expressions/expression.ts';
import { findReferences, type Reference } from '../domain/expressions/references.ts';
import type { Scope } from '../domain/expressions/scope.ts';
import { splitTemplate } from '../domain/expressions/split-template.ts';
import type { Finding } from './pipeline-check.ts';
import type { KeyPath } from './yaml-source.ts';

export interface PlacedFinding {
  path: KeyPath;
  finding: Finding;
}

/** A name of a parameter within a body. */
export interface ParameterUse {
  path: KeyPath;
  /** In the text at the path. */
  offset: number;
  /** Undefined where `parameters` stands without a name. */
  name: string | undefined;
}

/** Every place of a body where a parameter is named. What cannot be parsed is for the checks of the pipelines. */
export function findParameterUses(body: unknown): ParameterUse[] {
  const uses: ParameterUse[] = [];
  visitTexts(body, [], (text, path) => {
    for (const { expression, start } of expressionsOf(text, path)) {
      for (const { path: name, start: at } of parametersOf(expression)) {
        uses.push({ path, offset: start + at, name: name[1] === undefined ? undefined : String(name[1]) });
      }
    }
  });
  return uses;
}

/** The body with the values in it. A key whose whole value is a parameter that is null is left out. */
export function expandTemplate(
  body: Readonly<Record<string, unknown>>,
  values: Readonly<Record<string, unknown>>,
): { value: Record<string, unknown>; problems: PlacedFinding[] } {
  const problems: PlacedFinding[] = [];
  const scope = { parameters: values } as unknown as Scope;
  return { value: expand(body, []) as Record<string, unknown>, problems };

  function expand(part: unknown, path: KeyPath): unknown {
    if (typeof part === 'string') return expandText(part, path);
    if (Array.isArray(part)) return part.map((item, index) => expand(item, [...path, index]));
    if (typeof part !== 'object' || part === null) return part;
    const entries = Object.entries(part).map(([key, inner]) => [key, inner, expand(inner, [...path, key])] as const);
    return Object.fromEntries(
      entries.filter(([, inner, now]) => now !== null || inner === null).map(([key, , now]) => [key, now]),
    );
  }

  function expandText(text: string, path: KeyPath): unknown {
    if (isBareCondition(text, path)) return withLiterals(text, path, 0);
    if (!text.includes('${{')) return text;
    const parts = splitTemplate(text).map((segment): unknown => {
      if (segment.kind !== 'expression') return segment.text;
      const all = referencesOf(segment.text);
      const isKnown = all.length > 0 && all.every(isParameter);
      if (!isKnown) return `\${{${withLiterals(segment.text, path, segment.start)}}}`;
      return compute(segment.text, path, segment.start);
    });
    return parts.length === 1 ? parts[0] : parts.map(writeOut).join('');
  }

  function compute(text: string, path: KeyPath, offset: number): unknown {
    try {
      const value = compileExpression(text.trim()).evaluate(scope);
      const only = referencesOf(text)[0];
      const isWhole = only !== undefined && text.trim() === text.slice(only.start, only.end);
      if (!isWhole && holdsExpression(value)) refuseComputed(path, offset);
      return value;
    } catch (error) {
      problems.push({ path, finding: { message: errorMessage(error), got: text.trim(), offset } });
      return null;
    }
  }

  /** The names of run time stay, those of parameters become what they stand for. */
  function withLiterals(text: string, path: KeyPath, offset: number): string {
    let result = '';
    let from = 0;
    for (const { start, end, test, path: name } of parametersOf(text)) {
      const value = lookUp(values, name.slice(1));
      if (holdsExpression(value)) refuseComputed(path, offset + start);
      if (value === undefined && !test) {
        problems.push({
          path,
          finding: { message: 'there is no such value', got: text.slice(start, end), offset: offset + start },
        });
      }
      result += text.slice(from, start) + (test ? String(value !== undefined && value !== null) : literal(value));
      from = end;
    }
    return result + text.slice(from);
  }

  function refuseComputed(path: KeyPath, offset: number): void {
    const message = 'a parameter that holds an expression cannot be computed with';
    problems.push({ path, finding: { message, expected: 'the parameter alone in its ${' + '{ }}', offset } });
  }
}

function visitTexts(part: unknown, path: KeyPath, visit: (text: string, path: KeyPath) => void): void {
  if (typeof part === 'string') visit(part, path);
  else if (Array.isArray(part)) for (const [index, item] of part.entries()) visitTexts(item, [...path, index], visit);
  else if (typeof part === 'object' && part !== null) {
    for (const [key, inner] of Object.entries(part)) visitTexts(inner, [...path, key], visit);
  }
}

function expressionsOf(text: string, path: KeyPath): { expression: string; start: number }[] {
  if (isBareCondition(text, path)) return [{ expression: text, start: 0 }];
  if (!text.includes('${{')) return [];
  return splitTemplate(text).flatMap((segment) =>
    segment.kind === 'expression' ? [{ expression: segment.text, start: segment.start }] : [],
  );
}

/** The `if` of a step is an expression without any sign of it. */
function isBareCondition(text: string, path: KeyPath): boolean {
  const [list, , key] = path;
  const isStep = list === 'steps' || list === 'finally' || list === 'on_failure';
  return isStep && path.length === 3 && key === 'if' && !text.includes('${{');
}

function referencesOf(text: string): Reference[] {
  const parsed = parseCel(text);
  return 'problem' in parsed ? [] : findReferences(parsed.ast);
}

function parametersOf(text: string): Reference[] {
  return text.includes('parameters') ? referencesOf(text).filter(isParameter) : [];
}

function isParameter({ path }: Reference): boolean {
  return path[0] === 'parameters';
}

function lookUp(values: unknown, path: readonly (string | number)[]): unknown {
  let at = values;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string | number, unknown>)[key];
  }
  return at;
}

/** JSON is CEL. */
function literal(value: unknown): string {
  const json = JSON.stringify(value ?? null);
  return typeof value === 'number' && value < 0 ? `(${json})` : json;
}

function holdsExpression(value: unknown): boolean {
  let holds = false;
  visitTexts(value, [], (text) => {
    holds ||= text.includes('${{');
  });
  return holds;
}

function writeOut(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
