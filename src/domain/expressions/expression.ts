// One compiled expression: what it names, and how it is evaluated; compiled once per text and types.
import { celMessage, compileCel, parseCel, variableName } from './cel.ts';
import { fromCel, toCel } from './cel-values.ts';
import { findReferences, type Reference } from './references.ts';
import type { Scope, ScopeTypes } from './scope.ts';
import { anyType, typeOfPart, type ValueType } from './value-type.ts';

export interface Expression {
  readonly text: string;
  /** Names of the secrets it reads. */
  readonly secrets: readonly string[];
  /** The secret that it is as a whole; undefined where it is anything else. */
  readonly secret?: string;
  /** The value as JSON; throws an ExpressionFailure. */
  evaluate(scope: Scope): unknown;
}

/** Why an expression gave no value. Only thrown within this folder; callers see it as a StoredError. */
export class ExpressionFailure extends Error {
  override readonly name = 'ExpressionError';
}

const noTypes: ScopeTypes = {};
const maxCached = 20_000;
const compiled = new WeakMap<ScopeTypes, Map<string, Expression>>();

/** Compiles the text of an expression (without `${{ }}`). A text that cannot be parsed fails when evaluated. */
export function compileExpression(text: string, types: ScopeTypes = noTypes): Expression {
  const known = compiled.get(types) ?? new Map<string, Expression>();
  compiled.set(types, known);
  const cached = known.get(text);
  if (cached) return cached;
  if (known.size >= maxCached) known.clear();
  const expression = compile(text, types);
  known.set(text, expression);
  return expression;
}

function compile(text: string, types: ScopeTypes): Expression {
  const parsed = parseCel(text);
  if ('problem' in parsed) return brokenExpression(text, parsed.problem.message);
  const references = findReferences(parsed.ast);
  const secrets = references.flatMap(({ path }) => (path[0] === 'secrets' && path.length > 1 ? [String(path[1])] : []));
  const [first] = references;
  const isWhole =
    first !== undefined && !first.test && first.start === parsed.ast.start && first.end === parsed.ast.end;
  if (isWhole) {
    const isSecret = first.path[0] === 'secrets' && first.path.length === 2;
    const secret = isSecret ? { secret: String(first.path[1]) } : {};
    return { text, secrets, ...secret, evaluate: (scope) => evaluateReference(first, scope) };
  }
  try {
    return { text, secrets, evaluate: compileGeneral(text, references, types, secrets.length > 0) };
  } catch (error) {
    return brokenExpression(text, celMessage(error));
  }
}

/** A single reference needs no CEL and no conversion: its value is passed on as it is. */
function evaluateReference(reference: Reference, scope: Scope): unknown {
  const value = lookUp(scope, reference.path);
  if (value === undefined) throw new ExpressionFailure(missing(scope, reference.path));
  return value;
}

function compileGeneral(text: string, references: readonly Reference[], types: ScopeTypes, hasSecrets: boolean) {
  const distinct: { reference: Reference; type: ValueType; name: string }[] = [];
  const numbers = references.map((reference) => {
    const known = distinct.findIndex((other) => isSameReference(other.reference, reference));
    if (known >= 0) return known;
    const name = variableName(distinct.length);
    return distinct.push({ reference, type: typeOfPath(types, reference.path), name }) - 1;
  });
  const run = compileCel(text, references, numbers);
  return (scope: Scope): unknown => {
    const variables: Record<string, unknown> = {};
    for (const { reference, type, name } of distinct) {
      const value = lookUp(scope, reference.path);
      // A missing value stays undefined: CEL fails only if it gets there, so `has(x) && x > 1` works.
      if (reference.test) variables[name] = value !== undefined;
      else if (value !== undefined) variables[name] = toCel(value, type);
    }
    try {
      return fromCel(run(variables));
    } catch (error) {
      throw new ExpressionFailure(failureMessage(error, scope, distinct, hasSecrets), {
        cause: hasSecrets ? undefined : error,
      });
    }
  };
}

function failureMessage(
  error: unknown,
  scope: Scope,
  distinct: readonly { reference: Reference; name: string }[],
  hasSecrets: boolean,
): string {
  const message = celMessage(error);
  const unknown = /^Unknown variable: (_\d+)$/.exec(message);
  const reference = unknown && distinct.find(({ name }) => name === unknown[1])?.reference;
  if (reference) return missing(scope, reference.path);
  // The library quotes values in some messages.
  return hasSecrets ? 'it cannot be evaluated; details are withheld because it reads a secret' : message;
}

function brokenExpression(text: string, message: string): Expression {
  const evaluate = () => {
    throw new ExpressionFailure(message);
  };
  return { text, secrets: [], evaluate };
}

function lookUp(scope: Scope, path: readonly (string | number)[]): unknown {
  let value: unknown = scope;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

function missing(scope: Scope, path: readonly (string | number)[]): string {
  for (let length = path.length - 1; length > 0; length--) {
    const parent = lookUp(scope, path.slice(0, length));
    if (parent === undefined) continue;
    const kind =
      parent === null ? 'null' : Array.isArray(parent) ? `a list of ${parent.length}` : `of type ${typeof parent}`;
    return `${formatPath(path)} does not exist: ${formatPath(path.slice(0, length))} is ${kind} and has no ${JSON.stringify(path[length])}`;
  }
  return `${formatPath(path)} does not exist here`;
}

export function formatPath(path: readonly (string | number)[]): string {
  return path
    .map((key, index) => {
      if (typeof key === 'number') return `[${key}]`;
      if (!/^[A-Za-z_]\w*$/.test(key)) return `[${JSON.stringify(key)}]`;
      return index === 0 ? key : `.${key}`;
    })
    .join('');
}

function typeOfPath(types: ScopeTypes, path: readonly (string | number)[]): ValueType {
  const [root, ...keys] = path;
  let type: ValueType | undefined = types[String(root)];
  for (const key of keys) type = type && typeOfPart(type, key);
  return type ?? anyType;
}

function isSameReference(a: Reference, b: Reference): boolean {
  return a.test === b.test && a.path.length === b.path.length && a.path.every((key, index) => key === b.path[index]);
}
