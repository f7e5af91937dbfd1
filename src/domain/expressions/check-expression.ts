// Checks an expression before anything runs: its syntax, the names it uses, the types of its operators.
import { closestWord } from '../closest-word.ts';
import { checkCel, parseCel } from './cel.ts';
import { formatPath } from './expression.ts';
import { comprehensionDepth, findReferences, matchPatterns, type Reference } from './references.ts';
import type { ScopeTypes } from './scope.ts';
import { anyType, describeType, typeOfPart, type ValueType } from './value-type.ts';

export interface ExpressionProblem {
  readonly message: string;
  readonly got?: string;
  readonly expected?: string;
  /** Offset in the text of the expression. */
  readonly start: number;
}

export interface CheckedExpression {
  /** `any` where there are problems. */
  readonly type: ValueType;
  readonly problems: readonly ExpressionProblem[];
}

const maxComprehensionDepth = 3;

/**
 * Checks the text of an expression against the names and types of the place where it stands. `hint` may say more about an
 * unknown name, given its path.
 */
export function checkExpression(
  text: string,
  types: ScopeTypes,
  hint: (path: readonly (string | number)[]) => string | undefined = () => undefined,
): CheckedExpression {
  if (text.trim() === '')
    return failed([{ message: 'the expression is empty', expected: 'a CEL expression', start: 0 }]);
  const parsed = parseCel(text);
  if ('problem' in parsed)
    return failed([{ message: `not a valid expression: ${parsed.problem.message}`, start: parsed.problem.start }]);
  const references = findReferences(parsed.ast);
  const resolved = references.map((reference) => resolve(reference, types, hint));
  const problems = [...resolved.flatMap((one) => ('message' in one ? [one] : [])), ...costProblems(parsed.ast)];
  if (problems.length > 0) return failed(problems);
  const known = resolved.map((one) => ('type' in one ? one.type : anyType));
  const [first] = references;
  if (first && !first.test && first.start === parsed.ast.start && first.end === parsed.ast.end) {
    return { type: known[0] ?? anyType, problems: [] };
  }
  const checked = checkCel(text, references, known);
  if ('type' in checked) return { type: checked.type, problems: [] };
  return failed([{ message: typeMessage(checked.problem.message), start: checked.problem.start }]);
}

function failed(problems: readonly ExpressionProblem[]): CheckedExpression {
  return { type: anyType, problems };
}

type Resolved = { type: ValueType } | ExpressionProblem;

function resolve(
  reference: Reference,
  types: ScopeTypes,
  hint: (path: readonly (string | number)[]) => string | undefined,
): Resolved {
  const { path, start } = reference;
  const [root = '', ...keys] = path;
  const rootType = Object.hasOwn(types, root) ? types[root] : undefined;
  if (!rootType) return unknownName(path, 1, Object.keys(types), start, hint);
  if (root === 'secrets' && keys.length === 0) {
    return {
      message: 'secrets can only be read one by one, by a name that is written out',
      expected: 'secrets.NAME',
      start,
    };
  }
  let type: ValueType = rootType;
  for (const [index, key] of keys.entries()) {
    const part = typeOfPart(type, key);
    if (!part) return unknownPart(path, index + 1, type, reference, hint);
    type = part;
  }
  return { type };
}

function unknownPart(
  path: readonly (string | number)[],
  at: number,
  parent: ValueType,
  reference: Reference,
  hint: (path: readonly (string | number)[]) => string | undefined,
): ExpressionProblem {
  if (parent.kind === 'object') return unknownName(path, at + 1, Object.keys(parent.fields), reference.start, hint);
  const text = formatPath(path.slice(0, at));
  return {
    message: `${text} is of type ${describeType(parent)} and has no ${JSON.stringify(path[at])}`,
    start: reference.start,
  };
}

function unknownName(
  path: readonly (string | number)[],
  length: number,
  candidates: readonly string[],
  start: number,
  hint: (path: readonly (string | number)[]) => string | undefined,
): ExpressionProblem {
  const name = formatPath(path.slice(0, length));
  const said = hint(path.slice(0, length));
  if (said !== undefined) return { message: said, got: name, start };
  const meant = closestWord(String(path[length - 1]), candidates);
  const message = meant === undefined ? 'unknown name' : `unknown name; did you mean "${meant}"?`;
  const expected =
    candidates.length === 0
      ? `nothing: ${formatPath(path.slice(0, length - 1)) || 'there'} is empty`
      : `one of: ${[...candidates].sort().join(', ')}`;
  return { message, got: name, expected, start };
}

function costProblems(ast: Parameters<typeof comprehensionDepth>[0]): ExpressionProblem[] {
  const problems: ExpressionProblem[] = [];
  if (comprehensionDepth(ast) > maxComprehensionDepth) {
    const message = `list macros may stand ${maxComprehensionDepth} deep in one another, not deeper`;
    problems.push({ message, start: ast.start });
  }
  for (const { pattern, start } of matchPatterns(ast)) {
    const reason = patternProblem(pattern);
    if (reason) problems.push({ message: reason, expected: 'a simple regular expression, written out', start });
  }
  return problems;
}

/** JavaScript's regular expressions can take exponential time; those that do repeat a group that repeats or chooses. */
function patternProblem(pattern: string | null): string | undefined {
  if (pattern === null) return 'the pattern of matches() has to be written out';
  if (pattern.length > 200) return 'the pattern of matches() is longer than 200 characters';
  if (/\([^)]*[*+|{][^)]*\)\s*[*+{]/.test(pattern) || /\\[1-9]/.test(pattern)) {
    return 'the pattern of matches() repeats a group that itself repeats or chooses, which can take for ever';
  }
  try {
    new RegExp(pattern);
    return undefined;
  } catch {
    return 'the pattern of matches() is not a regular expression';
  }
}

const operators = /^no such overload: (.+) (\S+) (.+)$/;

function typeMessage(message: string): string {
  const call = /^found no matching overload for '(.+)'$/.exec(message);
  if (call) return `there is no function ${call[1]}`;
  const found = operators.exec(message);
  if (!found) return message;
  const [, left = '', operator, right = ''] = found;
  const mixed = [left, right].every((type) => type === 'int' || type === 'double');
  const text = [left, right].includes('string') && operator === '+';
  const advice = mixed ? '; convert one with double(x) or int(x)' : text ? '; convert the other with string(x)' : '';
  return `type error: ${left} ${operator} ${right} is not possible${advice}`;
}
