// What is known of a value before it exists: read from JSON Schemas, used to check expressions and to convert values.

export type ValueType =
  | { readonly kind: 'string' | 'int' | 'double' | 'bool' | 'null' | 'any'; readonly nullable?: boolean }
  | { readonly kind: 'list'; readonly item: ValueType; readonly nullable?: boolean }
  | {
      readonly kind: 'object';
      readonly fields: Readonly<Record<string, ValueType>>;
      /** True where other fields than those listed may be there; they have the type `rest`. */
      readonly open: boolean;
      readonly rest?: ValueType;
      readonly nullable?: boolean;
    };

export const anyType: ValueType = { kind: 'any' };

const maxDepth = 16;

/** The type that a JSON Schema describes; `any` where it says too little. Objects that list properties are closed unless they say otherwise. */
export function typeFromJsonSchema(schema: unknown, root: unknown = schema, depth = 0): ValueType {
  if (!isRecord(schema) || depth > maxDepth) return anyType;
  if (typeof schema.$ref === 'string') return typeFromJsonSchema(resolveRef(root, schema.$ref), root, depth + 1);
  const branches = schema.anyOf ?? schema.oneOf;
  if (Array.isArray(branches)) return unionType(branches.map((branch) => typeFromJsonSchema(branch, root, depth + 1)));
  if (Array.isArray(schema.type)) {
    return unionType(schema.type.map((type) => typeFromJsonSchema({ ...schema, type }, root, depth + 1)));
  }
  if ('const' in schema) return typeOfValue(schema.const);
  if (Array.isArray(schema.enum)) return unionType(schema.enum.map(typeOfValue));
  return simpleType(schema, root, depth);
}

function simpleType(schema: Record<string, unknown>, root: unknown, depth: number): ValueType {
  switch (schema.type) {
    case 'string':
      return { kind: 'string' };
    case 'integer':
      return { kind: 'int' };
    case 'number':
      return { kind: 'double' };
    case 'boolean':
      return { kind: 'bool' };
    case 'null':
      return { kind: 'null' };
    case 'array':
      return { kind: 'list', item: typeFromJsonSchema(schema.items, root, depth + 1) };
    case 'object':
      return objectType(schema, root, depth);
    default:
      return anyType;
  }
}

function objectType(schema: Record<string, unknown>, root: unknown, depth: number): ValueType {
  const fields: Record<string, ValueType> = Object.create(null);
  const properties = isRecord(schema.properties) ? schema.properties : {};
  for (const [name, property] of Object.entries(properties))
    fields[name] = typeFromJsonSchema(property, root, depth + 1);
  const rest = schema.additionalProperties;
  if (isRecord(rest)) return { kind: 'object', fields, open: true, rest: typeFromJsonSchema(rest, root, depth + 1) };
  const open = rest === true || (rest === undefined && Object.keys(fields).length === 0);
  return { kind: 'object', fields, open };
}

function unionType(branches: readonly ValueType[]): ValueType {
  const others = branches.filter((branch) => branch.kind !== 'null');
  const nullable = others.length < branches.length || others.some((branch) => branch.nullable === true);
  const [first, ...rest] = others;
  if (!first) return { kind: 'null' };
  if (rest.every((branch) => isSameType(branch, first))) return nullable ? { ...first, nullable } : first;
  if (others.every((branch) => branch.kind === 'int' || branch.kind === 'double')) return { kind: 'double', nullable };
  return anyType;
}

function isSameType(a: ValueType, b: ValueType): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** The type of a value at hand, e.g. of a list written out in a pipeline. */
export function typeOfValue(value: unknown): ValueType {
  if (value === null) return { kind: 'null' };
  if (typeof value === 'string') return { kind: 'string' };
  if (typeof value === 'boolean') return { kind: 'bool' };
  if (typeof value === 'number') return { kind: Number.isSafeInteger(value) ? 'int' : 'double' };
  if (Array.isArray(value))
    return { kind: 'list', item: value.length === 0 ? anyType : unionType(value.map(typeOfValue)) };
  if (!isRecord(value)) return anyType;
  const fields: Record<string, ValueType> = Object.create(null);
  for (const [name, field] of Object.entries(value)) fields[name] = typeOfValue(field);
  return { kind: 'object', fields, open: false };
}

/** The type of a part of a value: of a field, or of an item where the key is a number; undefined where there can be none. */
export function typeOfPart(type: ValueType, key: string | number): ValueType | undefined {
  if (type.kind === 'any') return anyType;
  if (type.kind === 'list') return typeof key === 'number' ? type.item : undefined;
  if (type.kind !== 'object' || typeof key === 'number') return undefined;
  if (Object.hasOwn(type.fields, key)) return type.fields[key];
  return type.open ? (type.rest ?? anyType) : undefined;
}

/** The type in words: `string`, `list of object`. */
export function describeType(type: ValueType): string {
  const words = { string: 'string', int: 'integer', double: 'number', bool: 'boolean', null: 'null', any: 'any value' };
  if (type.kind === 'object') return 'object';
  if (type.kind === 'list') return type.item.kind === 'any' ? 'list' : `list of ${describeType(type.item)}`;
  return words[type.kind];
}

function resolveRef(root: unknown, ref: string): unknown {
  if (!ref.startsWith('#')) return undefined;
  let place: unknown = root;
  for (const part of ref
    .slice(1)
    .split('/')
    .filter((text) => text !== '')) {
    if (!isRecord(place)) return undefined;
    place = place[part.replaceAll('~1', '/').replaceAll('~0', '~')];
  }
  return place;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
