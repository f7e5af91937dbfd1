// Turns what a schema objects to into problems for people: key path, what was got, what was expected, what was probably meant.
import type { z } from 'zod';
import { closestWord } from '../domain/closest-word.ts';
import type { KeyPath } from './yaml-source.ts';

/** One objection, still without file and line. `atKey` says that the key is wrong, not its value. */
export interface SchemaProblem {
  readonly path: KeyPath;
  readonly atKey: boolean;
  /** The key at the path is not known; the rest of the object may be right. */
  readonly isUnknownKey?: true;
  readonly message: string;
  readonly got?: string;
  readonly expected?: string;
}

type Issue = z.core.$ZodIssue;

/** The problems of a value that a schema refused. `jsonSchema` is the schema's own, for the names that are known. */
export function zodProblems(error: z.ZodError, value: unknown, jsonSchema: unknown): SchemaProblem[] {
  return error.issues.flatMap((issue) => problemsOf(issue, value, jsonSchema, []));
}

function problemsOf(issue: Issue, value: unknown, jsonSchema: unknown, prefix: KeyPath): SchemaProblem[] {
  const path = [...prefix, ...issue.path.filter((key) => typeof key !== 'symbol')];
  const at = valueAt(value, path);
  const got = at === undefined ? {} : { got: shownValue(at) };
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(path, key, jsonSchema));
    case 'invalid_union':
      return unionProblems(issue, value, jsonSchema, path, at);
    case 'invalid_key':
      return issue.issues.map((inner) => ({
        path,
        atKey: true,
        got: String(path.at(-1)),
        ...spoken(inner.message, inner),
      }));
    case 'invalid_type':
      if (at === undefined)
        return [{ path, atKey: true, message: 'this is required', expected: typeWords(issue.expected) }];
      return [{ path, atKey: false, ...got, ...spoken(issue.message, issue) }];
    default:
      return [{ path, atKey: false, ...got, ...spoken(issue.message, issue) }];
  }
}

/** The schema's own words where it has some (see `says`), else ours. */
function spoken(message: string, issue: Issue): { message: string; expected?: string } {
  const [first = '', expected] = message.split('\n');
  if (expected !== undefined) return { message: first, expected };
  switch (issue.code) {
    case 'invalid_type':
      return { message: 'the value has the wrong type', expected: typeWords(issue.expected) };
    case 'invalid_value':
      return { message: 'the value is not one of those allowed', expected: issue.values.map(String).join(', ') };
    case 'too_small':
      return { message: `the ${sizeWord(issue.origin)} is too small`, expected: `at least ${issue.minimum}` };
    case 'too_big':
      return { message: `the ${sizeWord(issue.origin)} is too large`, expected: `at most ${issue.maximum}` };
    default:
      return { message: first };
  }
}

function unknownKey(path: KeyPath, key: string, jsonSchema: unknown): SchemaProblem {
  const known = propertyNames(jsonSchema, path);
  const meant = closestWord(key, known);
  const message = meant === undefined ? 'unknown key' : `unknown key; did you mean "${meant}"?`;
  const expected = known.length === 0 ? {} : { expected: `one of: ${known.join(', ')}` };
  return { path: [...path, key], atKey: true, isUnknownKey: true, message, got: key, ...expected };
}

/** Of a union, the branch that fits the kind of value that is there; where none does, what all of them want. */
function unionProblems(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  value: unknown,
  jsonSchema: unknown,
  path: KeyPath,
  at: unknown,
): SchemaProblem[] {
  const lacks = (issues: readonly Issue[], ...codes: string[]) =>
    !issues.some((one) => one.path.length === 0 && codes.includes(one.code));
  const branch =
    issue.errors.find((issues) => lacks(issues, 'invalid_type', 'invalid_value')) ??
    issue.errors.find((issues) => lacks(issues, 'invalid_type'));
  if (branch) return branch.flatMap((inner) => problemsOf(inner, value, jsonSchema, path));
  // None fits: the words that a branch has of its own say more than the names of types.
  const told = issue.errors.flat().find((one) => one.path.length === 0 && one.message.includes('\n'));
  if (told && at !== undefined) {
    return [{ path, atKey: false, got: shownValue(at), ...spoken(told.message, told) }];
  }
  const wanted = issue.errors
    .flat()
    .flatMap((inner) => (inner.code === 'invalid_type' ? [typeWords(inner.expected)] : []));
  const expected = [...new Set(wanted)].join(' or ');
  if (at === undefined) return [{ path, atKey: true, message: 'this is required', expected }];
  return [{ path, atKey: false, message: 'the value has the wrong type', got: shownValue(at), expected }];
}

function typeWords(type: string): string {
  const words: Record<string, string> = {
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'keys and values',
    record: 'keys and values',
  };
  return words[type] ?? type;
}

function sizeWord(origin: string): string {
  if (origin === 'string') return 'length';
  return origin === 'array' ? 'number of entries' : 'value';
}

/** A value as it is shown in messages: JSON, cut. */
export function shownValue(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value);
  return json.length > 80 ? `${json.slice(0, 77)}...` : json;
}

export function valueAt(value: unknown, path: KeyPath): unknown {
  let at: unknown = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string | number, unknown>)[key];
  }
  return at;
}

/** The names a JSON Schema lists for the object at a path. */
function propertyNames(jsonSchema: unknown, path: KeyPath): string[] {
  let places = [jsonSchema];
  for (const key of path) places = places.flatMap((place) => partsOf(place, key));
  return [
    ...new Set(places.flatMap((place) => branchesOf(place)).flatMap((place) => Object.keys(record(place.properties)))),
  ];
}

function partsOf(schema: unknown, key: string | number): unknown[] {
  return branchesOf(schema).flatMap((branch) => {
    if (typeof key === 'number') return [branch.items];
    const properties = record(branch.properties);
    return Object.hasOwn(properties, key) ? [properties[key]] : [branch.additionalProperties];
  });
}

function branchesOf(schema: unknown): Record<string, unknown>[] {
  const place = record(schema);
  const branches = place.anyOf ?? place.oneOf;
  return Array.isArray(branches) ? branches.flatMap(branchesOf) : [place];
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
