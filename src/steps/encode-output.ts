// Turns what a step returned into JSON that can be stored: within its bound, without secrets, without what a database refuses.
import { type Json, StepError } from './api.ts';
import type { SecretMask } from './secret-mask.ts';
import { maxOutputBytes } from './step-limits.ts';
import { mapStrings, storableText } from './storable-text.ts';

export interface EncodedOutput {
  output: Json;
  /** The same as text, so that whoever stores it need not encode it again. */
  outputJson: string;
}

/** Throws a fatal InvalidOutput for what is not JSON, OutputTooLarge above 1 MB. `undefined` as a whole counts as null. */
export function encodeOutput(value: unknown, mask: SecretMask, subject = 'output'): EncodedOutput {
  const exact = assertJson(value ?? null, subject, 0);
  let output = (value ?? null) as Json;
  let outputJson = JSON.stringify(output);
  if (!exact) output = JSON.parse(outputJson) as Json;
  // NUL and lone surrogates are the only escapes a database refuses; an escaped backslash before a `u` costs one more walk.
  if (outputJson.includes('\\u')) output = mapStrings(output, storableText);
  else if (mask.isEmpty) return withinBound({ output, outputJson }, subject);
  output = mask.json(output);
  outputJson = JSON.stringify(output);
  return withinBound({ output, outputJson }, subject);
}

function withinBound(encoded: EncodedOutput, subject: string): EncodedOutput {
  const { length } = encoded.outputJson;
  // A character has one byte at least and three at most in UTF-8: only what lies between needs counting.
  const bytes = length * 3 <= maxOutputBytes ? length : Buffer.byteLength(encoded.outputJson);
  if (bytes <= maxOutputBytes) return encoded;
  throw new StepError(
    'fatal',
    `${subject} has ${bytes} bytes of JSON, allowed are ${maxOutputBytes}: put it into an artifact`,
    {
      name: 'OutputTooLarge',
    },
  );
}

const deepest = 200;

/** Throws where JSON could not say the value; false where it can only after dropping undefined properties. */
function assertJson(value: unknown, path: string, depth: number): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') {
    if (Number.isFinite(value)) return true;
    throw notJson(path, String(value));
  }
  if (depth > deepest) throw notJson(path, `more than ${deepest} levels, or a cycle`);
  if (Array.isArray(value)) {
    let exact = true;
    for (let index = 0; index < value.length; index++) {
      exact = assertJson(value[index], `${path}[${index}]`, depth + 1) && exact;
    }
    return exact;
  }
  if (typeof value !== 'object' || !isPlain(value)) throw notJson(path, describe(value));
  let exact = true;
  for (const key of Object.keys(value)) {
    const inner = (value as Record<string, unknown>)[key];
    if (inner === undefined) exact = false;
    else exact = assertJson(inner, `${path}.${key}`, depth + 1) && exact;
  }
  return exact;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null ? `a ${value.constructor?.name ?? 'object'}` : `a ${typeof value}`;
}

function notJson(path: string, got: string): StepError {
  return new StepError('fatal', `${path} is ${got}, expected JSON`, { name: 'InvalidOutput' });
}
