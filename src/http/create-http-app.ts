// All routes in one table: the API, its description, the open endpoints and the pages.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Context, Hono } from 'hono';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import type { Access } from './access.ts';
import type { HttpContext } from './http-context.ts';
import { createOpenApiDocument } from './openapi.ts';
import { mountPages } from './pages/mount-pages.ts';
import { isFault, methodNotAllowed, notFound, problemResponse, toProblem } from './problem.ts';
import { jsonResponse, redirectTo, textResponse } from './response.ts';
import type { Route, RouteMethod, RouteServer } from './route.ts';
import { bulkRoutes } from './routes/bulk-routes.ts';
import { costRoutes } from './routes/cost-routes.ts';
import { cronRoutes } from './routes/cron-routes.ts';
import { documentationCompatRoutes } from './routes/documentation-compat-routes.ts';
import { importRoutes } from './routes/import-routes.ts';
import { jobCompatRoutes } from './routes/job-compat-routes.ts';
import { eventStream, liveRoutes, socketUpgrade } from './routes/live-routes.ts';
import { pauseRoutes } from './routes/pause-routes.ts';
import { pipelineCompatRoutes } from './routes/pipeline-compat-routes.ts';
import { pipelineRoutes } from './routes/pipeline-routes.ts';
import { queueRoutes } from './routes/queue-routes.ts';
import { runRoutes } from './routes/run-routes.ts';
import { scheduleRoutes } from './routes/schedule-routes.ts';
import { sensorRoutes } from './routes/sensor-routes.ts';
import { tenantRoutes } from './routes/tenant-routes.ts';
import { waitForRunsRoutes } from './routes/wait-for-runs-routes.ts';
import { waitRoutes } from './routes/wait-routes.ts';
import { traceRequest } from './trace-request.ts';

/** What a request carries through the app: Node's own message, and the route it met, for the event of its end. */
export interface Served {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  route: string;
}

export interface HttpAppOptions extends RouteServer {
  access: Access;
}

export type HttpEnv = { Bindings: Served };
export type HttpHandler = (c: Context<HttpEnv>) => Promise<Response> | Response;

/** Registers a handler under a path such as `/runs/{id}`. */
export type Mount = (method: RouteMethod, path: string, handler: HttpHandler) => void;

export const apiRoutes: readonly Route[] = [
  ...pipelineRoutes,
  ...importRoutes,
  ...runRoutes,
  ...waitForRunsRoutes,
  ...waitRoutes,
  ...costRoutes,
  ...scheduleRoutes,
  ...sensorRoutes,
  ...pauseRoutes,
  ...bulkRoutes,
  ...queueRoutes,
  ...tenantRoutes,
  ...cronRoutes,
  ...liveRoutes,
  ...pipelineCompatRoutes,
  ...documentationCompatRoutes,
  ...jobCompatRoutes,
];

export function createHttpApp(options: HttpAppOptions): Hono<HttpEnv> {
  const { context, access } = options;
  const app = new Hono<HttpEnv>();
  const table: KnownPath[] = [];

  const mount: Mount = (method, path, handler) => {
    remember(table, method, path);
    const answer = async (c: Context<HttpEnv>): Promise<Response> => {
      try {
        access.check({ method: c.req.method, path: c.req.path, headers: c.env.incoming.headers });
        return await handler(c);
      } catch (error) {
        return loginInstead(error, c) ?? answerError(context, error, c.req.path);
      }
    };
    const isTraced = path.startsWith('/api/v1/');
    app.on(method, path.replace(/\{(\w+)\}/g, ':$1'), (c) => {
      c.env.route = path;
      return isTraced ? traceRequest(c.env.incoming, path, () => answer(c)) : answer(c);
    });
  };

  for (const route of apiRoutes) mountRoute(mount, route, options);
  // Under their short names too, as people type them.
  mountRoute(mount, { ...eventStream, path: '/events' }, options);
  mountRoute(mount, { ...socketUpgrade, path: '/ws' }, options);
  mountOpenEndpoints(mount, context);
  mountPages(mount, options);
  app.notFound((c) => {
    try {
      access.check({ method: c.req.method, path: c.req.path, headers: c.env.incoming.headers });
    } catch (error) {
      return answerError(context, error, c.req.path);
    }
    const allow = methodsOf(table, c.req.path);
    if (allow.length === 0) return problemResponse(notFound(c.req.path));
    return problemResponse(methodNotAllowed(c.req.path, c.req.method, allow));
  });
  app.onError((error, c) => answerError(context, error, c.req.path));
  return app;
}

function mountRoute(mount: Mount, route: Route, server: RouteServer): void {
  mount(route.method, route.path, (c) =>
    route.serve(server, {
      incoming: c.env.incoming,
      outgoing: c.env.outgoing,
      params: c.req.param() as Record<string, string>,
      query: c.req.url.includes('?') ? new URL(c.req.url).searchParams : noQuery,
    }),
  );
}

const noQuery = new URLSearchParams();

function mountOpenEndpoints(mount: Mount, context: HttpContext): void {
  const { node, clock } = context;
  mount('GET', '/healthz', () => {
    const uptimeSeconds = Math.max(0, Math.round((clock.now() - node.startedAt.getTime()) / 1_000));
    return jsonResponse({ status: 'ok', node: node.name, version: node.version, uptime_seconds: uptimeSeconds });
  });
  mount('GET', '/readyz', async () => {
    const { ready, checks } = await context.readiness();
    return jsonResponse({ ready, checks }, ready ? 200 : 503);
  });
  mount('GET', '/metrics', async () => {
    const { contentType, body } = await context.renderMetrics();
    return textResponse(body, contentType);
  });
  let document: unknown;
  mount('GET', '/api/openapi.json', () => {
    document ??= createOpenApiDocument(apiRoutes, node.version);
    return jsonResponse(document);
  });
}

/** A browser that asks for a page without the token is shown where to give it. */
function loginInstead(error: unknown, c: Context<HttpEnv>): Response | undefined {
  const { path, method } = c.req;
  const isPage = method === 'GET' && !path.startsWith('/api/') && (c.req.header('accept') ?? '').includes('text/html');
  if (!isPage || !(error instanceof CronwrightError) || error.code !== 'unauthorized') return undefined;
  const { pathname, search } = new URL(c.req.url);
  return redirectTo(`/login?next=${encodeURIComponent(pathname + search)}`);
}

function answerError(context: HttpContext, error: unknown, path: string): Response {
  if (isFault(error)) {
    context.events.emit('service.crashed', { service: 'http', error: `${path}: ${errorMessage(error)}` });
  }
  return problemResponse(toProblem(error, path));
}

interface KnownPath {
  path: string;
  pattern: RegExp;
  methods: string[];
}

function remember(table: KnownPath[], method: RouteMethod, path: string): void {
  const methods = method === 'GET' ? ['GET', 'HEAD'] : [method];
  const known = table.find((one) => one.path === path);
  if (known) known.methods.push(...methods);
  else {
    const expression = path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+');
    table.push({ path, pattern: new RegExp(`^${expression}$`), methods });
  }
}

/** The methods that a path is known for; none where it is not known. */
function methodsOf(table: readonly KnownPath[], path: string): readonly string[] {
  return table.find((one) => one.pattern.test(path))?.methods ?? [];
}
