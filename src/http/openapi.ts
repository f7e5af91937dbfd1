// The OpenAPI 3.1 document, made from the same route values that the server serves.
import { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import type { ErrorCode } from '../domain/errors.ts';
import { hasBody, type Route } from './route.ts';

const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string().describe('the word to decide by'),
    problems: z.array(
      z.looseObject({
        path: z.string().optional(),
        message: z.string(),
        got: z.string().optional(),
        expected: z.string().optional(),
        line: z.int().optional(),
        column: z.int().optional(),
      }),
    ),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' });

const statusOf: Partial<Record<ErrorCode | 'upgrade_required', number>> = {
  not_found: 404,
  conflict: 409,
  upgrade_required: 426,
  limit_reached: 429,
  unavailable: 503,
};

const descriptions: Readonly<Record<number, string>> = {
  400: 'the request is wrong: `problems` tells where and why',
  401: 'the bearer token is missing or wrong',
  403: 'a foreign host or origin',
  404: 'there is no such thing',
  409: 'the present state forbids it: `state` and `requested` tell both',
  413: 'the body is too large',
  415: 'the body has to be application/json',
  426: 'asked without an upgrade to a WebSocket',
  429: 'the queue is full; Retry-After tells when to ask again',
  503: 'not now: too many clients, or the daemon is stopping',
};

const tenantHeaders = z.object({
  'Cronwright-Tenant': z.string().optional().describe('default: default'),
});

const changeHeaders = tenantHeaders.extend({
  'Cronwright-Actor': z.string().optional().describe('who asks, for the record; default: api'),
});

const startHeaders = changeHeaders.extend({
  'Idempotency-Key': z.string().optional().describe('same key and body, same answer; another body, 409'),
  traceparent: z.string().optional().describe('W3C trace context that the run is linked to'),
});

const methodWords = { GET: 'get', POST: 'post', PATCH: 'patch', DELETE: 'delete' } as const;

const keyed: readonly string[] = ['startRun', 'startRuns'];

export function createOpenApiDocument(routes: readonly Route[], version: string): unknown {
  const app = new OpenAPIHono();
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  for (const route of routes) {
    app.openAPIRegistry.registerPath({
      method: methodWords[route.method],
      path: route.path,
      operationId: route.operationId,
      summary: route.summary,
      tags: [route.tag],
      security: [{}, { bearer: [] }],
      request: {
        headers: headersOf(route),
        ...(route.params ? { params: route.params } : {}),
        ...(route.query ? { query: route.query } : {}),
        ...(route.body ? { body: { content: { 'application/json': { schema: route.body } } } } : {}),
      },
      responses: responsesOf(route),
    });
  }
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: { title: 'Cronwright', version, description: 'Schedules, runs and the queue of a Cronwright daemon.' },
  });
}

function headersOf({ operationId, method, headers }: Route) {
  const shared = keyed.includes(operationId) ? startHeaders : method === 'GET' ? tenantHeaders : changeHeaders;
  return headers ? shared.extend(headers.shape) : shared;
}

function responsesOf(route: Route) {
  const answer = {
    description: route.answer.description,
    content: { [route.answer.contentType ?? 'application/json']: { schema: route.answer.schema } },
  };
  const statuses = [
    400,
    401,
    403,
    ...(hasBody(route.method) ? [413, 415] : []),
    ...(route.problems ?? []).flatMap((code) => statusOf[code] ?? []),
  ].sort();
  return {
    [route.answer.status]: answer,
    ...(route.operationId === 'cancelRun' ? { 202: { ...answer, description: 'the worker was asked' } } : {}),
    ...Object.fromEntries(
      statuses.map((status) => [
        status,
        {
          description: descriptions[status] ?? '',
          content: { 'application/problem+json': { schema: problem } },
        },
      ]),
    ),
  };
}
