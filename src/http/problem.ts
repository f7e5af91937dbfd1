// The one place where errors become answers: RFC 9457 problem details, without stacks and without secrets.
import { CronError } from '../domain/cron/cron-error.ts';
import { ZoneError } from '../domain/cron/zone-transitions.ts';
import { CronwrightError, type ErrorCode, errorMessage, type Problem } from '../domain/errors.ts';
import { textResponse } from './response.ts';

const titles: Readonly<Record<ErrorCode, readonly [status: number, title: string]>> = {
  invalid_input: [400, 'Invalid input'],
  unauthorized: [401, 'Not authorized'],
  forbidden: [403, 'Forbidden'],
  not_found: [404, 'Not found'],
  conflict: [409, 'Conflict with the present state'],
  too_large: [413, 'Too large'],
  unsupported_media_type: [415, 'Unsupported media type'],
  limit_reached: [429, 'Limit reached'],
  internal: [500, 'Internal error'],
  invalid_config: [500, 'Invalid configuration'],
  unavailable: [503, 'Unavailable'],
};

/** What the database says about input that no schema can forbid: SQLSTATE → words. */
const inputStates: Readonly<Record<string, string>> = {
  '22P05': 'the character U+0000 cannot be stored in text',
  '22021': 'the character U+0000 cannot be stored in text',
  '54001': 'the input is nested too deeply',
};

export interface ProblemDetails {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  problems: readonly Problem[];
  [field: string]: unknown;
}

/** The problem details of anything thrown. Only errors made for callers tell their message. */
export function toProblem(error: unknown, instance: string): ProblemDetails {
  const known = asCronwrightError(error);
  const hidden = known.code === 'internal' || known.code === 'invalid_config';
  const [status, title] = titles[known.code];
  return {
    ...known.details,
    type: `urn:cronwright:problem:${known.code}`,
    title,
    status,
    detail: hidden ? 'something went wrong in the daemon; its log tells what' : known.message,
    instance,
    code: known.code,
    problems: hidden ? [] : known.problems,
  };
}

export function problemResponse(problem: ProblemDetails): Response {
  const headers: Record<string, string> = {};
  if (problem.status === 401) headers['www-authenticate'] = 'Bearer realm="cronwright"';
  if (problem.status === 429) headers['retry-after'] = String(problem.retry_after_seconds ?? 5);
  if (problem.status === 426) headers.upgrade = 'websocket';
  if (Array.isArray(problem.allow)) headers.allow = problem.allow.join(', ');
  return textResponse(JSON.stringify(problem), 'application/problem+json', problem.status, headers);
}

export function notFound(path: string): ProblemDetails {
  return toProblem(new CronwrightError('not_found', `there is nothing at ${path}`), path);
}

/** The one problem that no code of the domain has: the path is right, the method is not. */
export function methodNotAllowed(path: string, method: string, allow: readonly string[]): ProblemDetails {
  return {
    type: 'urn:cronwright:problem:method_not_allowed',
    title: 'Method not allowed',
    status: 405,
    detail: `${method} is not possible at ${path}, expected ${allow.join(' or ')}`,
    instance: path,
    code: 'method_not_allowed',
    problems: [],
    allow,
  };
}

/** A request that the path can only answer as a WebSocket. */
export function upgradeRequired(path: string): ProblemDetails {
  return {
    type: 'urn:cronwright:problem:upgrade_required',
    title: 'Upgrade required',
    status: 426,
    detail: `${path} is a WebSocket: connect with ws:// instead of http://, or read /api/v1/events`,
    instance: path,
    code: 'upgrade_required',
    problems: [],
  };
}

/** Whether it is a fault of the daemon, to be told in its log. */
export function isFault(error: unknown): boolean {
  const { code } = asCronwrightError(error);
  return code === 'internal' || code === 'invalid_config';
}

function asCronwrightError(error: unknown): CronwrightError {
  if (error instanceof CronwrightError) return error;
  if (error instanceof CronError) return cronProblem(error);
  if (error instanceof ZoneError) {
    return new CronwrightError('invalid_input', error.message, {
      problems: [{ path: 'timezone', message: error.message }],
    });
  }
  const words = inputStates[sqlState(error) ?? ''] ?? (isTooDeep(error) ? inputStates['54001'] : undefined);
  if (words !== undefined) return new CronwrightError('invalid_input', words, { cause: error });
  return new CronwrightError('internal', errorMessage(error), { cause: error });
}

function cronProblem(error: CronError): CronwrightError {
  return new CronwrightError('invalid_input', error.message, {
    problems: [{ path: 'expression', column: error.column + 1, message: error.reason, got: error.expression }],
  });
}

function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** JSON.stringify goes as deep as its input; the parser before it does not mind. */
function isTooDeep(error: unknown): boolean {
  return error instanceof RangeError && error.message.includes('call stack');
}
