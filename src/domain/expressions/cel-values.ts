// Carries values over the border between JSON and CEL: integers go in as BigInt, and come out as numbers or not at all.
import type { ValueType } from './value-type.ts';
import { anyType, typeOfPart } from './value-type.ts';

/** A value as CEL takes it. Where the type says nothing, a whole number is an int, any other number a double. */
export function toCel(value: unknown, type: ValueType): unknown {
  if (typeof value === 'number') return numberToCel(value, type);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const item = type.kind === 'list' ? type.item : anyType;
    return item.kind === 'string' || item.kind === 'bool' ? value : value.map((element) => toCel(element, item));
  }
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    setOwn(copy, key, toCel((value as Record<string, unknown>)[key], typeOfPart(type, key) ?? anyType));
  }
  return copy;
}

function numberToCel(value: number, type: ValueType): number | bigint {
  return type.kind !== 'double' && Number.isSafeInteger(value) ? BigInt(value) : value;
}

/** A result of CEL as JSON. Throws where JSON cannot hold it: unsafe integers, NaN, bytes, types. */
export function fromCel(value: unknown): unknown {
  switch (typeof value) {
    case 'bigint':
      return intFromCel(value);
    case 'number':
      if (!Number.isFinite(value)) throw new RangeError(`the result is ${value}, which JSON cannot hold`);
      return value;
    case 'object':
      return value === null ? null : objectFromCel(value);
    default:
      return value;
  }
}

function intFromCel(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError('the result is an integer beyond ±9007199254740991');
  return number;
}

function objectFromCel(value: object): unknown {
  if (Array.isArray(value)) return value.map(fromCel);
  if (value instanceof Date) return value.toISOString();
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const tag = Object.prototype.toString.call(value);
    if (tag === '[object google.protobuf.Duration]') return String(value);
    throw new TypeError('the result is neither text, number, boolean, list nor object');
  }
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) setOwn(copy, key, fromCel((value as Record<string, unknown>)[key]));
  return copy;
}

/** Assigning to `__proto__` would change the object instead of adding a key. */
function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}
