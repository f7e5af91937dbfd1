// A route of the API as one value: what it takes, what it answers and what it does; the server and OpenAPI read the same.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { Caller, RunStarter } from '../control/start-run.ts';
import type { ErrorCode, Problem } from '../domain/errors.ts';
import { readCaller } from './caller.ts';
import { checkValue, fieldsOf, type InputPlace, wrongInput } from './check-input.ts';
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

/** PATCH and DELETE are those of older forms of routes. */
export type RouteMethod = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export interface RouteDescription {
  method: RouteMethod;
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
  method: RouteMethod;
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
  /** Of a body that the schema refuses: what else is wrong with it, so that all is told at once. */
  alsoWrong?(server: RouteServer, input: { params: Output<P>; body: unknown; caller: Caller }): readonly Problem[];
  handle(server: RouteServer, input: Input<P, Q, B>): Promise<Reply<z.output<A>> | Response>;
}): Route {
  const { params, query, body, handle, alsoWrong, bodyLimit: limit = bodyLimit, ...description } = route;
  return {
    ...description,
    ...(params ? { params } : {}),
    ...(query ? { query } : {}),
    ...(body ? { body } : {}),
    async serve(server, request) {
      const caller = readCaller(request.incoming.headers);
      const given = hasBody(route.method) ? await readJson(request.incoming, limit) : undefined;
      const input = {
        params: check(params, request.params, 'path'),
        query: check(query ?? noParameters, fieldsOf(request.query), 'query'),
        body: check(body, given ?? {}, ''),
      };
      const problems = Object.values(input).flatMap((one) => one.problems ?? []);
      if (problems.length > 0) {
        if (!input.params.problems && input.body.problems && alsoWrong) {
          const about = { params: input.params.value as Output<P>, body: given, caller };
          problems.push(...alsoWrong(server, about));
        }
        throw wrongInput(problems);
      }
      const reply = await handle(server, {
        params: outputOf(input.params) as Output<P>,
        query: (query && outputOf(input.query)) as Output<Q>,
        body: outputOf(input.body) as Output<B>,
        caller,
      });
      if (reply instanceof Response) return reply;
      return jsonResponse(reply.body, reply.status ?? route.answer.status, reply.headers);
    },
  };
}

export function hasBody(method: RouteMethod): boolean {
  return method === 'POST' || method === 'PATCH';
}

/** A parameter that a route does not know is refused, also where it knows none. */
const noParameters = z.strictObject({});

type CheckedPart = { value: unknown; problems?: undefined } | { problems: Problem[] };

function check(schema: Schema | undefined, value: unknown, where: InputPlace): CheckedPart {
  return schema ? checkValue(schema, value, where) : { value: undefined };
}

function outputOf(part: CheckedPart): unknown {
  return part.problems ? undefined : part.value;
}
