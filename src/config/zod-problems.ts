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
export function zodProblems(error: Pick<z.ZodError, 'issues'>, value: unknown, jsonSchema: unknown): SchemaProblem[] {
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
    case 'too_small':
    case 'too_big':
      return [{ path, atKey: false, got: shownSize(at), ...spoken(issue.message, issue) }];
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
      return {
        message: `the ${sizeWord(issue.origin)} is too small`,
        expected: `at least ${sizeOf(issue.minimum, issue.origin)}`,
      };
    case 'too_big':
      return {
        message: `the ${sizeWord(issue.origin)} is too large`,
        expected: `at most ${sizeOf(issue.maximum, issue.origin)}`,
      };
    case 'invalid_format':
      // Words that the schema has of its own say more.
      if (!first.startsWith('Invalid')) return { message: first };
      return { message: 'the text has the wrong form', expected: formatWords[issue.format] ?? formOf(issue) };
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
  if (issue.errors.length === 0) return [notOneOf(jsonSchema, path, at)];
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

/** Objects of several kinds are told apart by one field: this is no kind's. */
function notOneOf(jsonSchema: unknown, path: KeyPath, at: unknown): SchemaProblem {
  const kinds = placesAt(jsonSchema, path).flatMap((place) => place.const ?? place.enum ?? []);
  const expected = kinds.length === 0 ? {} : { expected: kinds.map(String).join(', ') };
  if (at === undefined) return { path, atKey: true, message: 'this is required', ...expected };
  return {
    path,
    atKey: false,
    message: 'the value is not one of those allowed',
    got: shownValue(at),
    ...expected,
  };
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

const formatWords: Readonly<Record<string, string>> = { uuid: 'a UUID', datetime: 'an instant in UTC' };

function formOf({ pattern, format }: { pattern?: string | undefined; format: string }): string {
  return pattern === undefined ? format : `text that matches ${pattern}`;
}

/** A long text or list is too large by its size, which its beginning does not show. */
function shownSize(value: unknown): string {
  const shown = shownValue(value);
  if (!shown.endsWith('...')) return shown;
  if (Array.isArray(value)) return sizeOf(value.length, 'array');
  return typeof value === 'string' ? sizeOf(value.length, 'string') : shown;
}

function sizeOf(size: number | bigint, origin: string): string {
  if (origin === 'string') return `${size} ${size === 1 ? 'character' : 'characters'}`;
  return origin === 'array' ? `${size} ${size === 1 ? 'entry' : 'entries'}` : String(size);
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
  return [...new Set(placesAt(jsonSchema, path).flatMap((place) => Object.keys(record(place.properties))))];
}

/** What a JSON Schema says of the value at a path, by branch. */
function placesAt(root: unknown, path: KeyPath): Record<string, unknown>[] {
  let places = branchesOf(root, root);
  for (const key of path) {
    places = places.flatMap((place) => partsOf(place, key)).flatMap((part) => branchesOf(part, root));
  }
  return places;
}

function partsOf(branch: Record<string, unknown>, key: string | number): unknown[] {
  if (typeof key === 'number') return [branch.items];
  const properties = record(branch.properties);
  return Object.hasOwn(properties, key) ? [properties[key]] : [branch.additionalProperties];
}

function branchesOf(schema: unknown, root: unknown): Record<string, unknown>[] {
  let place = record(schema);
  if (typeof place.$ref === 'string') place = record(valueAt(root, place.$ref.split('/').slice(1)));
  const branches = place.anyOf ?? place.oneOf;
  return Array.isArray(branches) ? branches.flatMap((branch) => branchesOf(branch, root)) : [place];
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
