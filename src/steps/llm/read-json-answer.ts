// Reads JSON out of an answer, and checks it against the schema that was asked for.
import type { Json } from '../../base/json.ts';
import { acceptJsonSchema } from '../manifest/accept-json-schema.ts';
import { findProblems } from '../parse-with-schema.ts';
import { StepError } from '../step-error.ts';

export type JsonSchema = { [key: string]: Json };
export type ReadAnswer = { ok: true; data: Json } | { ok: false; problem: string };

/** What is wrong with the schema itself is a fatal `InvalidSchema`. */
export function checkSchema(schema: JsonSchema): void {
  const { faults } = acceptJsonSchema(schema);
  if (!faults) return;
  const said = faults.map(({ path, message }) => `${path.join('.') || 'the schema'}: ${message}`).slice(0, 5);
  throw new StepError('fatal', `the schema of the answer cannot be used: ${said.join('; ')}`, {
    name: 'InvalidSchema',
  });
}

/** The answer is JSON as a whole, or within a fence: models put it into one although they are told not to. */
export async function readJsonAnswer(text: string, schema: JsonSchema): Promise<ReadAnswer> {
  const value = parse(text);
  if (value === undefined) return { ok: false, problem: `it is not JSON: ${shown(text)}` };
  const accepted = acceptJsonSchema(schema);
  if (accepted.faults) return { ok: false, problem: 'the schema cannot be used' };
  const problems = await findProblems(accepted.validator, value.json);
  if (problems.length === 0) return { ok: true, data: value.json };
  const said = problems.map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`));
  return { ok: false, problem: said.slice(0, 5).join('; ') };
}

function parse(text: string): { json: Json } | undefined {
  const fenced = /```(?:json)?[ \t]*\r?\n([\s\S]*?)\r?\n?[ \t]*```/i.exec(text)?.[1];
  for (const candidate of [text, fenced]) {
    if (candidate === undefined) continue;
    try {
      return { json: JSON.parse(candidate) as Json };
    } catch {
      // The other form is tried.
    }
  }
  return undefined;
}

function shown(text: string): string {
  return JSON.stringify(text.length <= 200 ? text : `${text.slice(0, 200)}…`);
}
