// A route of the API as one value: what it takes, what it answers and what it does; the server and OpenAPI read the same.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { Caller, RunStarter } from '../control/start-run.ts';
import { CronwrightError, type ErrorCode, type Problem } from '../domain/errors.ts';
import { readCaller } from './caller.ts';
import type { HttpContext } from './http-context.ts';
import type { LiveHub } from './live/live-hub.ts';
import { readJson } from './read-body.ts';
import { jsonResponse } from './response.ts';

/** What all routes of a server share. */
export interface RouteServer {
  context: HttpContext;
  starter: RunStarter;
  live: LiveHub;
}

type Schema = z.ZodType;
type Output<S extends Schema | undefined> = S extends Schema ? z.output<S> : undefined;

export interface RouteDescription {
  method: 'GET' | 'POST';
  /** `/api/v1/runs/{id}`. */
  path: string;
  operationId: string;
  summary: string;
  tag: string;
  params?: z.ZodObject;
  /** Those of its own, for the document. */
  headers?: z.ZodObject;
  query?: z.ZodObject;
  body?: Schema;
  answer: { status: number; description: string; schema: Schema; contentType?: string };
  /** Problems that it may answer with besides those every route may. */
  problems?: readonly (ErrorCode | 'upgrade_required')[];
}

export interface Route extends RouteDescription {
  serve(server: RouteServer, request: RouteRequest): Promise<Response>;
}

export interface RouteRequest {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  params: Readonly<Record<string, string>>;
  query: URLSearchParams;
}

interface Input<P extends Schema | undefined, Q extends Schema | undefined, B extends Schema | undefined> {
  params: Output<P>;
  query: Output<Q>;
  body: Output<B>;
  caller: Caller;
}

export interface Reply<Body> {
  body: Body;
  /** Where it is not that of the description. */
  status?: number;
  headers?: Readonly<Record<string, string>>;
}

/** Bytes of a body unless a route says otherwise. */
const bodyLimit = 1_048_576;

/** Builds a route; inputs are checked before `handle` sees them, and what it returns has the documented shape. */
export function defineRoute<
  A extends Schema,
  P extends z.ZodObject | undefined = undefined,
  Q extends z.ZodObject | undefined = undefined,
  B extends Schema | undefined = undefined,
>(route: {
  method: 'GET' | 'POST';
  path: string;
  operationId: string;
  summary: string;
  tag: string;
  params?: P;
  query?: Q;
  body?: B;
  bodyLimit?: number;
  answer: { status: number; description: string; schema: A };
  problems?: readonly ErrorCode[];
  handle(server: RouteServer, input: Input<P, Q, B>): Promise<Reply<z.output<A>> | Response>;
}): Route {
  const { params, query, body, handle, bodyLimit: limit = bodyLimit, ...description } = route;
  return {
    ...description,
    ...(params ? { params } : {}),
    ...(query ? { query } : {}),
    ...(body ? { body } : {}),
    async serve(server, request) {
      const caller = readCaller(request.incoming.headers);
      const given = route.method === 'POST' ? await readJson(request.incoming, limit) : undefined;
      const reply = await handle(server, {
        params: check(params, request.params, 'path') as Output<P>,
        query: readQuery(query, request.query) as Output<Q>,
        body: check(body, given ?? {}, '') as Output<B>,
        caller,
      });
      if (reply instanceof Response) return reply;
      return jsonResponse(reply.body, reply.status ?? route.answer.status, reply.headers);
    },
  };
}

/** A parameter that a route does not know is refused, also where it knows none. */
function readQuery(schema: z.ZodObject | undefined, given: URLSearchParams): unknown {
  if (!schema && given.size === 0) return undefined;
  return checkInput(schema ?? noParameters, fieldsOf(given), 'query');
}

const noParameters = z.strictObject({});

function check(schema: Schema | undefined, value: unknown, where: string): unknown {
  return schema && checkInput(schema, value, where);
}

/** A query as an object. Throws `invalid_input` where a name is given more than once: only one of the values could count. */
export function fieldsOf(query: URLSearchParams): Record<string, string> {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const name of query.keys()) (seen.has(name) ? repeated : seen).add(name);
  if (repeated.size === 0) return Object.fromEntries(query);
  const problems = [...repeated]
    .slice(0, 100)
    .map((name) => ({ path: `query.${name}`, message: 'given more than once, expected once' }));
  const text = problems.map((one) => `${one.path}: ${one.message}`).join('; ');
  throw new CronwrightError('invalid_input', text, { problems });
}

/** Throws `invalid_input` naming every place that is wrong. */
export function checkInput<S extends Schema>(schema: S, value: unknown, where: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, 100).flatMap((issue) => toProblems(issue, where));
  const text = problems.map((one) => `${one.path}: ${one.message}`).join('; ');
  throw new CronwrightError('invalid_input', text, { problems });
}

function toProblems(issue: z.core.$ZodIssue, where: string): Problem[] {
  const path = [where, ...issue.path.map(String)].filter((part) => part !== '');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'unknown', got: key }));
  }
  return [{ path: path.join('.') || 'body', message: issue.message }];
}
