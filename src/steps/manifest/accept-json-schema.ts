// Turns a JSON Schema into a validator, and refuses every part of it that the validator would pass over in silence.
import { z } from 'zod';
import { closestWord } from '../../domain/closest-word.ts';
import type { StandardSchema } from '../api.ts';

/** What is wrong with a schema; `path` leads to it within the schema. */
export interface SchemaFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly got?: string;
  readonly expected?: string;
  /** The key is wrong, not its value. */
  readonly atKey?: boolean;
}

type Path = SchemaFault['path'];
type Schema = Readonly<Record<string, unknown>>;

/** The validator, which applies defaults; or each fault. */
export function acceptJsonSchema(
  schema: Schema,
): { validator: StandardSchema; faults?: undefined } | { faults: SchemaFault[] } {
  const faults: SchemaFault[] = [];
  examine({ root: schema, faults }, schema, []);
  if (faults.length > 0) return { faults };
  try {
    return { validator: toZod(schema) };
  } catch (error) {
    return { faults: [{ path: [], message: error instanceof Error ? error.message : String(error) }] };
  }
}

/** A registry of its own: annotations of one plugin must not meet those of another. */
function toZod(schema: Schema): z.ZodType {
  return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0], { registry: z.registry() });
}

type Check = (value: unknown) => string | undefined;
const ofType =
  (type: string, expected: string): Check =>
  (value) =>
    typeof value === type ? undefined : expected;
const isNumber = ofType('number', 'a number');
const isBoolean = ofType('boolean', 'true or false');
const isCount: Check = (value) => (Number.isSafeInteger(value) && Number(value) >= 0 ? undefined : 'a whole number');
const isPattern: Check = (value) => {
  try {
    return typeof value === 'string' && new RegExp(value) ? undefined : 'a regular expression';
  } catch {
    return 'a regular expression';
  }
};
const isPlainValue = (value: unknown) => value === null || ['string', 'number', 'boolean'].includes(typeof value);
const formats = 'date, date-time, duration, email, hostname, ipv4, ipv6, time, uri, uuid'.split(', ');
const isFormat: Check = (value) => (formats.includes(String(value)) ? undefined : `one of: ${formats.join(', ')}`);
const isNames: Check = (value) =>
  Array.isArray(value) && value.every((name) => typeof name === 'string') ? undefined : 'a list of names';
const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Keywords that say nothing about what is valid. */
const annotations = ['title', 'description', 'default', 'examples', 'deprecated', '$comment'];
const atRoot = ['$schema', '$defs', 'definitions'];
const combining = ['anyOf', 'oneOf', 'allOf'];
/** Keywords of a type, with what their value has to be. Those without a check hold schemas and are examined as such. */
const keywords: Readonly<Record<string, Readonly<Record<string, Check | undefined>>>> = {
  string: { minLength: isCount, maxLength: isCount, pattern: isPattern, format: isFormat },
  number: {
    minimum: isNumber,
    maximum: isNumber,
    exclusiveMinimum: isNumber,
    exclusiveMaximum: isNumber,
    multipleOf: isNumber,
  },
  boolean: {},
  null: {},
  object: {
    properties: undefined,
    required: isNames,
    additionalProperties: undefined,
    patternProperties: undefined,
    propertyNames: undefined,
    minProperties: isCount,
    maxProperties: isCount,
  },
  array: {
    items: undefined,
    prefixItems: undefined,
    contains: undefined,
    minContains: isCount,
    maxContains: isCount,
    minItems: isCount,
    maxItems: isCount,
    uniqueItems: isBoolean,
  },
};
const types = [...Object.keys(keywords), 'integer'];

interface Examination {
  root: Schema;
  faults: SchemaFault[];
}

function examine(at: Examination, schema: unknown, path: Path): void {
  if (typeof schema === 'boolean') return;
  if (!isObject(schema)) {
    at.faults.push({ path, message: 'not a schema', got: shown(schema), expected: 'keys and values, true or false' });
    return;
  }
  const before = at.faults.length;
  const typeWords = typesOf(at, schema, path);
  const ofTypes = Object.assign({}, ...typeWords.map((type) => keywords[type === 'integer' ? 'number' : type]));
  const allowed = allowedKeywords(schema, path, Object.keys(ofTypes));
  for (const key of Object.keys(schema)) {
    if (!allowed.includes(key)) unknownKeyword(at, schema, [...path, key], key, allowed);
  }
  for (const [key, check] of Object.entries(ofTypes as Record<string, Check | undefined>)) {
    const expected = schema[key] === undefined ? undefined : check?.(schema[key]);
    if (expected) fault(at, path, key, 'the value does not fit the keyword', shown(schema[key]), expected);
  }
  examineValues(at, schema, path);
  examineInner(at, schema, path);
  if (at.faults.length === before) examineDefault(at, schema, path);
}

function fault(at: Examination, path: Path, key: string, message: string, got: string, expected: string): void {
  at.faults.push({ path: [...path, key], message, got, expected });
}

function typesOf(at: Examination, schema: Schema, path: Path): string[] {
  const { type } = schema;
  if (type === undefined) return [];
  const words = Array.isArray(type) ? type : [type];
  const known = words.filter((word) => types.includes(word));
  if (known.length < words.length || words.length === 0) {
    fault(at, path, 'type', 'not a type', shown(type), `one of: ${types.join(', ')}; or a list of them`);
  }
  return known;
}

/** With `$ref`, `enum` and `const` the validator looks at nothing beside them. */
function allowedKeywords(schema: Schema, path: Path, ofTypes: readonly string[]): string[] {
  const always = path.length === 0 ? [...annotations, ...atRoot] : annotations;
  if (schema.$ref !== undefined) return [...always, '$ref'];
  if (schema.enum !== undefined) return [...always, 'type', 'enum'];
  if (schema.const !== undefined) return [...always, 'type', 'const'];
  const combiner = combining.find((key) => schema[key] !== undefined);
  // Of two combinations the validator would keep one.
  const combiners = combiner === undefined ? combining : [combiner];
  return [...always, 'type', '$ref', 'enum', 'const', ...combiners, ...ofTypes];
}

function unknownKeyword(at: Examination, schema: Schema, path: Path, key: string, allowed: readonly string[]): void {
  const owners = Object.entries(keywords).flatMap(([type, own]) => (Object.hasOwn(own, key) ? [type] : []));
  const got = key;
  const alone = ['$ref', 'enum', 'const', ...combining].find((one) => one !== key && schema[one] !== undefined);
  if (owners.length > 0 && schema.type === undefined && alone === undefined) {
    at.faults.push({ path, atKey: true, got, message: 'the keyword needs a type', expected: `type: ${owners[0]}` });
  } else if (owners.length > 0 || [...combining, 'type'].includes(key)) {
    const beside = alone ?? `type ${String(schema.type)}`;
    at.faults.push({ path, atKey: true, got, message: `the keyword means nothing beside ${beside}` });
  } else {
    const meant = closestWord(key, [...allowed, ...types.flatMap((type) => Object.keys(keywords[type] ?? {}))]);
    const message = `the keyword is not supported${meant === undefined ? '' : `; did you mean "${meant}"?`}`;
    at.faults.push({ path, atKey: true, got, message, expected: `one of: ${allowed.join(', ')}` });
  }
}

/** `enum`, `const`, `$ref`, `required`: what their values refer to has to be there. */
function examineValues(at: Examination, schema: Schema, path: Path): void {
  if (schema.enum !== undefined && !(Array.isArray(schema.enum) && schema.enum.every(isPlainValue))) {
    fault(at, path, 'enum', 'not values to compare with', shown(schema.enum), 'a list of texts, numbers, true, false');
  }
  if (schema.const !== undefined && !isPlainValue(schema.const)) {
    fault(at, path, 'const', 'not a value to compare with', shown(schema.const), 'a text, a number, true or false');
  }
  if (schema.$ref !== undefined && !isKnownReference(at.root, schema.$ref)) {
    fault(at, path, '$ref', 'it refers to nothing', shown(schema.$ref), '#/$defs/… of this schema');
  } else if (schema.$ref !== undefined && leadsToItself(at.root, schema)) {
    fault(
      at,
      path,
      '$ref',
      'it leads only back to itself',
      shown(schema.$ref),
      'a schema at the end of the references',
    );
  }
  const properties = isObject(schema.properties) ? schema.properties : {};
  const isOfObjects = [schema.type].flat().includes('object');
  const required = isOfObjects && Array.isArray(schema.required) ? schema.required : [];
  for (const [index, name] of required.entries()) {
    if (typeof name !== 'string' || Object.hasOwn(properties, name)) continue;
    const known = Object.keys(properties).join(', ');
    const message = 'a required name is not among the properties';
    at.faults.push({ path: [...path, 'required', index], message, got: name, expected: known || 'properties' });
  }
  if (schema.patternProperties !== undefined && isObject(schema.additionalProperties)) {
    const message = 'a schema here means nothing beside patternProperties';
    fault(at, path, 'additionalProperties', message, 'a schema', 'true or false');
  }
}

function isKnownReference(root: Schema, reference: unknown): boolean {
  return definitionOf(root, reference) !== undefined;
}

function definitionOf(root: Schema, reference: unknown): unknown {
  const [, key = '', name = ''] = /^#\/(\$defs|definitions)\/([\w.-]+)$/.exec(String(reference)) ?? [];
  const definitions = root[key];
  return isObject(definitions) && Object.hasOwn(definitions, name) ? definitions[name] : undefined;
}

/** Whether the schemas that hold for the same value lead back here. Through a property or an item they may: values end. */
function leadsToItself(root: Schema, start: Schema): boolean {
  const visited = new Set<unknown>();
  const ahead: unknown[] = [definitionOf(root, start.$ref)];
  while (ahead.length > 0) {
    const schema = ahead.pop();
    if (schema === start) return true;
    if (!isObject(schema) || visited.has(schema)) continue;
    visited.add(schema);
    if (schema.$ref !== undefined) ahead.push(definitionOf(root, schema.$ref));
    for (const key of combining) if (Array.isArray(schema[key])) ahead.push(...schema[key]);
  }
  return false;
}

function examineInner(at: Examination, schema: Schema, path: Path): void {
  for (const key of ['additionalProperties', 'propertyNames', 'items', 'contains']) {
    if (schema[key] !== undefined) examine(at, withTextType(key, schema[key]), [...path, key]);
  }
  for (const key of ['prefixItems', ...combining]) {
    const list = schema[key];
    if (list === undefined) continue;
    if (!Array.isArray(list) || list.length === 0)
      fault(at, path, key, 'not schemas', shown(list), 'a list of schemas');
    else for (const [index, one] of list.entries()) examine(at, one, [...path, key, index]);
  }
  for (const key of ['properties', 'patternProperties', '$defs', 'definitions']) {
    const map = schema[key];
    if (map === undefined) continue;
    if (!isObject(map)) fault(at, path, key, 'not schemas', shown(map), 'names with schemas');
    else for (const [name, one] of Object.entries(map)) examine(at, one, [...path, key, name]);
  }
  for (const pattern of Object.keys(isObject(schema.patternProperties) ? schema.patternProperties : {})) {
    const expected = isPattern(pattern);
    if (expected) fault(at, [...path, 'patternProperties'], pattern, 'not a pattern', pattern, expected);
  }
}

/** Names are text: nobody has to say so. */
function withTextType(key: string, schema: unknown): unknown {
  return key === 'propertyNames' && isObject(schema) ? { type: 'string', ...schema } : schema;
}

/** A default is taken as it is, so it has to fit. */
function examineDefault(at: Examination, schema: Schema, path: Path): void {
  if (schema.default === undefined) return;
  const { default: value, ...rest } = schema;
  const { $defs, definitions } = at.root;
  try {
    const parsed = toZod({ ...($defs ? { $defs } : {}), ...(definitions ? { definitions } : {}), ...rest }).safeParse(
      value,
    );
    if (parsed.success) return;
    const [issue] = parsed.error.issues;
    fault(at, path, 'default', `the default does not fit the schema: ${issue?.message}`, shown(value), 'one that fits');
  } catch {
    // What cannot be built is told by the schema as a whole.
  }
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}
