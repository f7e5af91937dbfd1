// Values with `${{ }}` in them: compiled once, evaluated per step; what holds no expression costs nothing.
import type { StoredError } from '../outcome.ts';
import { celMessage } from './cel.ts';
import { compileExpression, type Expression, ExpressionFailure } from './expression.ts';
import type { KeptSecret, KeptValue } from './kept-value.ts';
import type { Scope, ScopeTypes } from './scope.ts';
import { splitTemplate } from './split-template.ts';

/** What an evaluation came to; an error is always `fatal` and never holds a secret. */
export type Evaluation<Value = unknown> = { ok: true; value: Value } | { ok: false; error: StoredError };

export interface Template {
  /** True where there is nothing to evaluate. */
  readonly isStatic: boolean;
  /** Names of the secrets that have to be in the scope. */
  readonly secrets: readonly string[];
  evaluate(scope: Scope): Evaluation;
  /** As `evaluate`, with secrets left as references; fails where an expression does more with one than to name it. */
  keep(scope: Scope): Evaluation<KeptValue>;
}

export interface Condition {
  readonly secrets: readonly string[];
  evaluate(scope: Scope): Evaluation<boolean>;
}

interface Node {
  secrets: readonly string[];
  /** Absent where the value is static. */
  evaluate?: (scope: Scope) => unknown;
  /** As `evaluate`; tells the secrets it leaves out. Absent where `evaluate` needs none. */
  keep?: (scope: Scope, path: KeptSecret['path'], found: KeptSecret[]) => unknown;
  value: unknown;
}

const noTypes: ScopeTypes = {};
const compiled = new WeakMap<ScopeTypes, WeakMap<object, Template>>();

/**
 * Compiles a value whose texts, at any depth, may hold expressions. A text that is one whole expression gives the expression's
 * value with its type; in a text around it, values are written out (null as nothing, lists and objects as JSON).
 * `types` tell which numbers are doubles (see `pipelineScopeTypes`); without them whole numbers are integers.
 * Compiled objects are remembered: calling this again with the same object is cheap.
 */
export function compileTemplate(value: unknown, types: ScopeTypes = noTypes): Template {
  if (typeof value !== 'object' || value === null) return createTemplate(compileNode(value, types, ''));
  const known = compiled.get(types) ?? new WeakMap<object, Template>();
  compiled.set(types, known);
  const cached = known.get(value);
  if (cached) return cached;
  const template = createTemplate(compileNode(value, types, ''));
  known.set(value, template);
  return template;
}

/** Compiles the text of an `if` (with or without `${{ }}`); a value that is not true or false is an error. */
export function compileCondition(text: string, types: ScopeTypes = noTypes): Condition {
  const expression = compileExpression(conditionText(text), types);
  return {
    secrets: expression.secrets,
    evaluate(scope) {
      const result = evaluateNode((at) => evaluateAt(expression, '', at), scope);
      if (!result.ok || typeof result.value === 'boolean') return result as Evaluation<boolean>;
      const got = result.value === null ? 'null' : typeof result.value;
      return { ok: false, error: storedError(`\${{ ${expression.text} }}: expected true or false, got ${got}`) };
    },
  };
}

/** The expression of an `if`, without the `${{ }}` that may stand around it. */
export function conditionText(text: string): string {
  const segments = splitTemplate(text);
  const [first] = segments;
  return segments.length === 1 && first?.kind === 'expression' ? first.text.trim() : text.trim();
}

function createTemplate(node: Node): Template {
  const { evaluate } = node;
  if (!evaluate) {
    const result: Evaluation = { ok: true, value: node.value };
    const kept: Evaluation<KeptValue> = { ok: true, value: { value: node.value, secrets: [] } };
    return { isStatic: true, secrets: [], evaluate: () => result, keep: () => kept };
  }
  return {
    isStatic: false,
    secrets: [...new Set(node.secrets)],
    evaluate: (scope) => evaluateNode(evaluate, scope),
    keep: (scope) =>
      evaluateNode((at) => {
        const secrets: KeptSecret[] = [];
        return { value: keepNode(node, at, [], secrets), secrets };
      }, scope) as Evaluation<KeptValue>,
  };
}

function keepNode(node: Node, scope: Scope, path: KeptSecret['path'], found: KeptSecret[]): unknown {
  if (node.keep) return node.keep(scope, path, found);
  return node.evaluate ? node.evaluate(scope) : node.value;
}

function evaluateNode(evaluate: (scope: Scope) => unknown, scope: Scope): Evaluation {
  try {
    return { ok: true, value: evaluate(scope) };
  } catch (error) {
    return { ok: false, error: storedError(error instanceof ExpressionFailure ? error.message : celMessage(error)) };
  }
}

function storedError(message: string): StoredError {
  return { name: 'ExpressionError', message, class: 'fatal' };
}

function compileNode(value: unknown, types: ScopeTypes, place: string): Node {
  if (typeof value === 'string') return compileText(value, types, place);
  if (typeof value !== 'object' || value === null) return { value, secrets: [] };
  const entries = Object.entries(value).map(([key, part]) => {
    const partPlace = Array.isArray(value) ? `${place}[${key}]` : place === '' ? key : `${place}.${key}`;
    return [key, compileNode(part, types, partPlace)] as const;
  });
  if (entries.every(([, node]) => !node.evaluate)) return { value, secrets: [] };
  const secrets = entries.flatMap(([, node]) => node.secrets);
  if (Array.isArray(value)) {
    const nodes = entries.map(([, node]) => node);
    return {
      value,
      secrets,
      evaluate: (scope) => nodes.map((node) => (node.evaluate ? node.evaluate(scope) : node.value)),
      keep: (scope, path, found) => nodes.map((node, index) => keepNode(node, scope, [...path, index], found)),
    };
  }
  return {
    value,
    secrets,
    evaluate: (scope) => evaluateEntries(entries, scope),
    keep: (scope, path, found) =>
      Object.fromEntries(entries.map(([key, node]) => [key, keepNode(node, scope, [...path, key], found)])),
  };
}

function evaluateEntries(entries: readonly (readonly [string, Node])[], scope: Scope): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, node] of entries) result[key] = node.evaluate ? node.evaluate(scope) : node.value;
  return result;
}

function compileText(text: string, types: ScopeTypes, place: string): Node {
  if (!text.includes('${{')) return { value: text, secrets: [] };
  const parts = splitTemplate(text).map((segment) =>
    segment.kind !== 'expression' ? segment.text : compileExpression(segment.text.trim(), types),
  );
  const expressions = parts.filter((part) => typeof part !== 'string');
  if (expressions.length === 0) return { value: text, secrets: [] };
  const secrets = expressions.flatMap((expression) => expression.secrets);
  const keep = secrets.length === 0 ? {} : { keep: keepParts(text, parts, place) };
  const [only] = parts;
  if (parts.length === 1 && only !== undefined && typeof only !== 'string') {
    return { value: text, secrets, evaluate: (scope) => evaluateAt(only, place, scope), ...keep };
  }
  return { value: text, secrets, evaluate: (scope) => joinParts(parts, place, scope), ...keep };
}

function keepParts(text: string, parts: readonly (string | Expression)[], place: string): NonNullable<Node['keep']> {
  return (scope, path, found) => {
    const kept = parts.map((part) => {
      if (typeof part === 'string') return part;
      if (part.secret !== undefined) return { secret: part.secret };
      if (part.secrets.length === 0) return writeOut(evaluateAt(part, place, scope));
      const at = place === '' ? '' : ` at ${place}`;
      const rule = 'what is kept for later may name a secret (secrets.NAME), and nothing more';
      throw new ExpressionFailure(`\${{ ${part.text} }}${at}: ${rule}`);
    });
    found.push({ path, parts: kept });
    // For people who look at it; what is sent is put together from the parts.
    return text;
  };
}

function joinParts(parts: readonly (string | Expression)[], place: string, scope: Scope): string {
  let joined = '';
  for (const part of parts) joined += typeof part === 'string' ? part : writeOut(evaluateAt(part, place, scope));
  return joined;
}

function writeOut(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null || value === undefined) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function evaluateAt(expression: Expression, place: string, scope: Scope): unknown {
  try {
    return expression.evaluate(scope);
  } catch (error) {
    const at = place === '' ? '' : ` at ${place}`;
    const message = error instanceof ExpressionFailure ? error.message : celMessage(error);
    throw new ExpressionFailure(`\${{ ${expression.text} }}${at}: ${message}`, { cause: error });
  }
}
