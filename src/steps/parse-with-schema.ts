// Checks a value against a step's schema, whatever library the schema comes from.
import type { StandardIssue, StandardResult, StandardSchema } from './api.ts';
import { StepError } from './api.ts';

export interface InputProblem {
  path: readonly (string | number)[];
  message: string;
}

/** The parsed value, or a promise of it where the schema is asynchronous. Throws a fatal ValidationError that names each place. */
export function parseWithSchema<T>(
  schema: StandardSchema<unknown, T>,
  value: unknown,
  subject: 'input' | 'output',
): T | Promise<T> {
  const result = schema['~standard'].validate(value);
  return result instanceof Promise
    ? result.then((settled) => parsedValue(settled, subject))
    : parsedValue(result, subject);
}

/** What is wrong with a value; empty where nothing is. */
export async function findProblems(schema: StandardSchema, value: unknown): Promise<readonly InputProblem[]> {
  const result = await schema['~standard'].validate(value);
  return (result.issues ?? []).map((issue) => ({ path: pathOf(issue), message: messageOf(issue) }));
}

function parsedValue<T>(result: StandardResult<T>, subject: string): T {
  if (!result.issues) return result.value;
  const shown = result.issues.slice(0, 10).map((issue) => {
    const path = pathOf(issue).join('.');
    return path === '' ? messageOf(issue) : `${path}: ${messageOf(issue)}`;
  });
  const more = result.issues.length > shown.length ? `; and ${result.issues.length - shown.length} more` : '';
  throw new StepError('fatal', `${subject} does not fit its schema: ${shown.join('; ')}${more}`, {
    name: 'ValidationError',
  });
}

/** With what is below it: zod says of a bad key of a record only that it is bad, and why one level deeper. */
function messageOf(issue: StandardIssue & { issues?: unknown }): string {
  const inner = Array.isArray(issue.issues) ? (issue.issues as readonly StandardIssue[]) : [];
  return [issue.message, ...inner.map(({ message }) => message)].join(': ');
}

function pathOf(issue: StandardIssue): (string | number)[] {
  return (issue.path ?? []).map((part) => {
    const key = typeof part === 'object' ? part.key : part;
    return typeof key === 'number' ? key : String(key);
  });
}
