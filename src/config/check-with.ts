// Checks what a step is given against its step type: by the plugin's own schema where it is plain, by types where it is computed.
import { closestWord } from '../domain/closest-word.ts';
import { describeType, typeFromJsonSchema, typeOfPart, type ValueType } from '../domain/expressions/value-type.ts';
import type { StepTypeDescription } from '../domain/step-catalogue.ts';
import type { PlacedCall, StepCheck } from './pipeline-check.ts';
import type { KeyPath } from './yaml-source.ts';
import { shownValue, valueAt } from './zod-problems.ts';

/** Also of a sensor. */
type GivenType = Pick<StepTypeDescription, 'id' | 'inputSchema' | 'validateInput'>;

export async function checkWith(
  check: StepCheck,
  { step, path }: PlacedCall,
  type: GivenType,
  expressions: ReadonlyMap<string, ValueType>,
): Promise<void> {
  const root = [...path, 'with'];
  const expected = typeFromJsonSchema(type.inputSchema);
  const unknown = checkKeys(check, step.with, root, type, expected);
  const dynamic = [...expressions.keys()].map((key) => (JSON.parse(key) as (string | number)[]).slice(root.length));
  for (const issue of await type.validateInput(step.with)) {
    if (dynamic.some((place) => isPrefix(place, issue.path) || isPrefix(issue.path, place))) continue;
    if (unknown && issue.path.length === 0 && /unrecognized/i.test(issue.message)) continue;
    const at = [...root, ...issue.path];
    const value = valueAt(step.with, issue.path);
    const isShown = value !== undefined && issue.path.length > 0 && !holdsSecret(type.inputSchema, issue.path);
    const got = isShown ? { got: shownValue(value) } : {};
    check.problem(at, {
      ...got,
      message: `${type.id}: ${inputMessage(issue.message, value)}`,
      atKey: value === undefined,
    });
  }
  for (const [key, found] of expressions) {
    const at = JSON.parse(key) as (string | number)[];
    if (refusesExpressions(type.inputSchema, at.slice(root.length))) {
      const expected = 'plain text; hand values over by the keys the step type has for them (env, argv, params)';
      check.problem(at, { message: `${type.id}: an expression may not stand here`, got: 'an expression', expected });
      continue;
    }
    const wanted = typeAt(expected, at.slice(root.length));
    if (!wanted || fits(found, wanted)) continue;
    const message = `${type.id}: the expression gives the wrong type`;
    check.problem(at, { message, got: describeType(found), expected: describeType(wanted) });
  }
}

/** Schemas drop keys they do not know; here they are mistakes, unless the schema takes any key. */
function checkKeys(
  check: StepCheck,
  value: Readonly<Record<string, unknown>>,
  root: KeyPath,
  type: GivenType,
  expected: ValueType,
): boolean {
  if (
    expected.kind !== 'object' ||
    (expected.open && expected.rest === undefined && Object.keys(expected.fields).length > 0)
  )
    return false;
  const known = Object.keys(expected.fields);
  let found = false;
  for (const key of Object.keys(value)) {
    if (typeOfPart(expected, key)) continue;
    found = true;
    const meant = closestWord(key, known);
    const message =
      meant === undefined ? `${type.id} takes no such key` : `${type.id} takes no such key; did you mean "${meant}"?`;
    check.problem([...root, key], { atKey: true, message, got: key, expected: `one of: ${known.join(', ')}` });
  }
  return found;
}

function inputMessage(message: string, value: unknown): string {
  const required = value === undefined && /received undefined/i.test(message);
  return required
    ? `this is required (${message.replace(/, received undefined/i, '').replace(/^Invalid input: /, '')})`
    : message;
}

function typeAt(type: ValueType, path: KeyPath): ValueType | undefined {
  let at: ValueType | undefined = type;
  for (const key of path) at = at && typeOfPart(at, key);
  return at;
}

/** Whether the schema of this place says that values must not be pasted into its text (a script, an SQL statement). */
function refusesExpressions(schema: unknown, path: KeyPath): boolean {
  return isMarked('x-cronwright-no-expressions', schema, path, 'above');
}

/** Whether the value of this place is a secret, lies in one or has one within: no message may show it. */
function holdsSecret(schema: unknown, path: KeyPath): boolean {
  return isMarked('x-cronwright-secret', schema, path, 'above and below');
}

/** Whether a schema has the mark at the path, above it, or below it. */
function isMarked(mark: string, schema: unknown, path: KeyPath, where: 'above' | 'above and below'): boolean {
  if (typeof schema !== 'object' || schema === null) return false;
  const parts = schema as JsonSchemaParts;
  if (parts[mark] === true) return true;
  const { properties = {}, items, additionalProperties, anyOf = [], oneOf = [], allOf = [] } = parts;
  const [key, ...rest] = path;
  if ([...anyOf, ...oneOf, ...allOf].some((branch) => isMarked(mark, branch, path, where))) return true;
  if (key === undefined) {
    const below = where === 'above' ? [] : [...Object.values(properties), additionalProperties, items];
    return below.some((part) => isMarked(mark, part, [], where));
  }
  if (typeof key === 'number') return isMarked(mark, items, rest, where);
  return isMarked(mark, Object.hasOwn(properties, key) ? properties[key] : additionalProperties, rest, where);
}

interface JsonSchemaParts {
  properties?: Readonly<Record<string, unknown>>;
  items?: unknown;
  additionalProperties?: unknown;
  anyOf?: readonly unknown[];
  oneOf?: readonly unknown[];
  allOf?: readonly unknown[];
  [key: string]: unknown;
}

/** Whether a value of one type may be given where the other is wanted. Numbers pass for integers: their value decides. */
export function fits(found: ValueType, wanted: ValueType): boolean {
  if (found.kind === 'any' || wanted.kind === 'any') return true;
  if (found.kind === 'null') return wanted.nullable === true;
  if (wanted.kind === 'double' || wanted.kind === 'int') return found.kind === 'int' || found.kind === 'double';
  if (found.kind === 'list' && wanted.kind === 'list') return fits(found.item, wanted.item);
  if (found.kind === 'object' && wanted.kind === 'object') return objectFits(found, wanted);
  return found.kind === wanted.kind;
}

function objectFits(found: ValueType & { kind: 'object' }, wanted: ValueType & { kind: 'object' }): boolean {
  return Object.entries(found.fields).every(([name, type]) => {
    const target = typeOfPart(wanted, name);
    return target === undefined || fits(type, target);
  });
}

function isPrefix(prefix: KeyPath, path: KeyPath): boolean {
  return prefix.length <= path.length && prefix.every((key, index) => String(key) === String(path[index]));
}
