// Checks what a request gives against what a route takes: every place that is wrong, with what was got and what was expected.
import { z } from 'zod';
import { formatKeyPath } from '../config/key-path.ts';
import { type SchemaProblem, zodProblems } from '../config/zod-problems.ts';
import { CronwrightError, type Problem } from '../domain/errors.ts';
import { problemLine } from '../domain/problem-line.ts';

/** How many wrong places are told in one answer. */
const mostProblems = 100;

/** Where a value was given; '' for the body, whose fields are named without it. */
export type InputPlace = '' | 'path' | 'query' | 'message';

export type Checked<S extends z.ZodType> = { value: z.output<S>; problems?: undefined } | { problems: Problem[] };

/** Throws `invalid_input` naming every place that is wrong. */
export function checkInput<S extends z.ZodType>(schema: S, value: unknown, where: InputPlace): z.output<S> {
  const checked = checkValue(schema, value, where);
  if (checked.problems) throw wrongInput(checked.problems);
  return checked.value;
}

export function checkValue<S extends z.ZodType>(schema: S, value: unknown, where: InputPlace): Checked<S> {
  const result = schema.safeParse(value);
  if (result.success) return { value: result.data };
  const issues = result.error.issues.slice(0, mostProblems);
  const problems = zodProblems({ issues }, value, jsonSchemaOf(schema));
  return { problems: problems.slice(0, mostProblems).map((problem) => toProblem(problem, where)) };
}

export function wrongInput(problems: readonly Problem[]): CronwrightError {
  const told = problems.slice(0, mostProblems);
  return new CronwrightError('invalid_input', told.map(problemLine).join('; '), { problems: told });
}

/** A query as an object. Throws `invalid_input` where a name is given more than once: only one of the values could count. */
export function fieldsOf(query: URLSearchParams): Record<string, string> {
  const given = new Map<string, number>();
  for (const name of query.keys()) given.set(name, (given.get(name) ?? 0) + 1);
  const problems: Problem[] = [];
  for (const [name, times] of given) {
    if (times === 1) continue;
    const path = formatKeyPath(['query', name]);
    problems.push({ path, message: 'given more than once', got: `${times} times`, expected: 'once' });
  }
  if (problems.length > 0) throw wrongInput(problems);
  return Object.fromEntries(query);
}

function toProblem({ path, message, got, expected, atKey, isUnknownKey }: SchemaProblem, where: InputPlace): Problem {
  const isMissing = atKey && !isUnknownKey && got === undefined;
  return {
    path: formatKeyPath(where === '' ? path : [where, ...path]) || 'body',
    message: isMissing ? 'missing' : message,
    got: got ?? 'nothing',
    ...(expected === undefined ? {} : { expected }),
  };
}

/** Made where a request is wrong, once for each schema: it has the names that are known. */
const jsonSchemas = new WeakMap<z.ZodType, unknown>();

function jsonSchemaOf(schema: z.ZodType): unknown {
  if (!jsonSchemas.has(schema)) {
    jsonSchemas.set(schema, z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
  }
  return jsonSchemas.get(schema);
}
