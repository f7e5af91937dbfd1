// The least value that fits a JSON Schema: what `llm.json` gives where no model is asked.
import type { Json } from 'cronwright/plugin';

type Schema = Readonly<Record<string, unknown>>;

/** Deep enough for real schemas; one that refers to itself ends here. */
const deepest = 32;

/**
 * What is required and nothing else, empty texts and lists, zero, false: so that a pipeline can be tried without a model. A `default`,
 * `const` or the first of `enum` is taken as it is. Undefined where no such value is found; a `pattern` is not solved.
 */
export function leastValue(schema: unknown, root: unknown = schema, depth = 0): Json | undefined {
  if (schema === true) return null;
  if (!isSchema(schema) || depth > deepest) return undefined;
  if (schema.default !== undefined) return schema.default as Json;
  if (schema.const !== undefined) return schema.const as Json;
  if (Array.isArray(schema.enum)) return schema.enum[0] as Json;
  if (typeof schema.$ref === 'string') return leastValue(referred(root, schema.$ref), root, depth + 1);
  for (const key of ['anyOf', 'oneOf']) {
    const found = firstOf(schema[key], root, depth);
    if (found !== undefined) return found;
  }
  if (Array.isArray(schema.allOf)) return leastValue(merged(schema, schema.allOf, root), root, depth + 1);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'object':
      return leastObject(schema, root, depth);
    case 'array':
      return leastList(schema, root, depth);
    case 'string':
      return leastText(schema);
    case 'number':
    case 'integer':
      return leastNumber(schema, type);
    case 'boolean':
      return false;
    default:
      return isSchema(schema.properties) ? leastObject(schema, root, depth) : null;
  }
}

function leastObject(schema: Schema, root: unknown, depth: number): Json | undefined {
  const properties = isSchema(schema.properties) ? schema.properties : {};
  const required = Array.isArray(schema.required) ? (schema.required as string[]) : [];
  const made: { [key: string]: Json } = {};
  for (const name of required) {
    const value = leastValue(properties[name] ?? true, root, depth + 1);
    if (value === undefined) return undefined;
    made[name] = value;
  }
  for (const name of Object.keys(properties)) {
    if (Object.keys(made).length >= Number(schema.minProperties ?? 0)) break;
    const value = Object.hasOwn(made, name) ? undefined : leastValue(properties[name], root, depth + 1);
    if (value !== undefined) made[name] = value;
  }
  return made;
}

function leastList(schema: Schema, root: unknown, depth: number): Json | undefined {
  const count = Math.max(Number(schema.minItems ?? 0), schema.contains === undefined ? 0 : 1);
  const made: Json[] = [];
  const first = Array.isArray(schema.prefixItems) ? schema.prefixItems : [];
  for (let index = 0; index < count; index++) {
    const value = leastValue(first[index] ?? schema.items ?? schema.contains ?? true, root, depth + 1);
    if (value === undefined) return undefined;
    made.push(value);
  }
  return made;
}

const ofFormat: Readonly<Record<string, string>> = {
  date: '1970-01-01',
  'date-time': '1970-01-01T00:00:00Z',
  duration: 'PT0S',
  email: 'nobody@example.org',
  hostname: 'example.org',
  ipv4: '0.0.0.0',
  ipv6: '::',
  time: '00:00:00Z',
  uri: 'https://example.org/',
  uuid: '00000000-0000-4000-8000-000000000000',
};

function leastText(schema: Schema): Json | undefined {
  const text = ofFormat[String(schema.format)] ?? '-'.repeat(Number(schema.minLength ?? 0));
  if (typeof schema.pattern === 'string' && !new RegExp(schema.pattern).test(text)) return undefined;
  return text;
}

function leastNumber(schema: Schema, type: 'number' | 'integer'): number {
  const step = Number(schema.multipleOf ?? (type === 'integer' ? 1 : 0));
  const above = typeof schema.exclusiveMinimum === 'number' ? schema.exclusiveMinimum + (step || 1) : undefined;
  const least = Math.max(above ?? Number.NEGATIVE_INFINITY, Number(schema.minimum ?? Number.NEGATIVE_INFINITY));
  const below = typeof schema.exclusiveMaximum === 'number' ? schema.exclusiveMaximum - (step || 1) : undefined;
  const most = Math.min(below ?? Number.POSITIVE_INFINITY, Number(schema.maximum ?? Number.POSITIVE_INFINITY));
  const nearZero = Math.min(Math.max(0, least), most);
  if (step === 0) return nearZero;
  return nearZero >= 0 ? Math.ceil(nearZero / step) * step : Math.floor(nearZero / step) * step;
}

function firstOf(list: unknown, root: unknown, depth: number): Json | undefined {
  if (!Array.isArray(list)) return undefined;
  for (const one of list) {
    const value = leastValue(one, root, depth + 1);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** What holds together, as one: properties and required names add up, of other keywords the last counts. */
function merged(schema: Schema, parts: readonly unknown[], root: unknown): Schema {
  const { allOf: _parts, ...own } = schema;
  const properties = { ...(own.properties as object) };
  const required = [...((own.required as string[]) ?? [])];
  const all: Record<string, unknown> = { ...own };
  for (const given of parts) {
    const part = isSchema(given) && typeof given.$ref === 'string' ? referred(root, given.$ref) : given;
    if (!isSchema(part)) continue;
    Object.assign(properties, part.properties);
    required.push(...((part.required as string[]) ?? []));
    Object.assign(all, part);
  }
  return { ...all, properties, required };
}

function referred(root: unknown, reference: string): unknown {
  const [, key = '', name = ''] = /^#\/(\$defs|definitions)\/([\w.-]+)$/.exec(reference) ?? [];
  const definitions = isSchema(root) ? root[key] : undefined;
  return isSchema(definitions) ? definitions[name] : undefined;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
