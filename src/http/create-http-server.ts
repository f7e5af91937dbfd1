// The HTTP server: listens, asks who is asking, hands the request to its route, and tells what it served.
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import type { Service } from '../base/service.ts';
import { createRunStarter } from '../control/start-run.ts';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import { createAccess, requireSafeAddress } from './access.ts';
import { createHttpApp, type Served } from './create-http-app.ts';
import { guardedResponse } from './guarded-response.ts';
import type { HttpContext } from './http-context.ts';
import { createLiveHub, type LiveHub } from './live/live-hub.ts';
import { serveUpgrades } from './live/serve-upgrades.ts';

export interface HttpServerOptions {
  context: HttpContext;
  host: string;
  /** 0 picks a free one. */
  port: number;
  /** How long answers may still take when the server stops, in milliseconds; default 5,000. */
  drainMs?: number;
}

export interface HttpServer extends Service {
  /** Where it listens, e.g. `http://127.0.0.1:8080`; only while it is started. */
  readonly url: string;
  /** Other nodes may have written what clients of the live stream wait for: looks now. */
  wakeLive(): void;
}

/** Longer than the idle timeout of usual proxies, so that the proxy closes first and no request meets a closed door. */
const keepAliveMs = 65_000;

/** `start` throws `invalid_config` for an address open to all without a token, `unavailable` where it cannot listen. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { context, host, port, drainMs = 5_000 } = options;
  let server: Server | undefined;
  let live: LiveHub | undefined;
  let url = '';

  return {
    name: 'http',
    get url() {
      if (url === '') throw new Error('the HTTP server has no address before it is started');
      return url;
    },
    async start() {
      if (server) return;
      requireSafeAddress(host, context.token);
      const hub = createLiveHub({ ...context.live, ...context, node: context.node.id });
      const starting = createServer(context, hub);
      await listen(starting, host, port);
      server = starting;
      live = hub;
      url = urlOf(starting, host);
    },
    async stop() {
      const stopping = server;
      server = undefined;
      url = '';
      // Nobody comes in any more, those least who come back to the live stream as soon as they have been sent away.
      const closing = stopping && close(stopping, drainMs);
      // These answers have no end of their own.
      await live?.stop();
      live = undefined;
      await closing;
    },
    wakeLive: () => live?.wake(),
  };
}

function createServer(context: HttpContext, live: LiveHub): Server {
  const access = createAccess(context.token);
  const starter = createRunStarter(context.control);
  const app = createHttpApp({ context, starter, live, access });
  const fetch = async (request: Request, env: unknown): Promise<Response> => {
    const { incoming, outgoing } = env as HttpBindings;
    const from = context.clock.monotonic();
    const served: Served = { incoming, outgoing, route: 'unmatched' };
    const response = await app.fetch(request, served);
    context.events.emit('http.served', {
      route: served.route,
      method: boundedMethod(incoming),
      status: response.status,
      seconds: (context.clock.monotonic() - from) / 1_000,
    });
    return response;
  };
  const server = createAdaptorServer({
    fetch,
    serverOptions: { ServerResponse: guardedResponse(context.events) },
  }) as Server;
  server.keepAliveTimeout = keepAliveMs;
  server.headersTimeout = keepAliveMs + 5_000;
  serveUpgrades(server, { context, access, live });
  return server;
}

/** A label must not grow with what strangers send. */
function boundedMethod({ method }: IncomingMessage): string {
  return method === 'GET' || method === 'POST' || method === 'HEAD' ? method : 'other';
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port)));
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

/** Why an address cannot be listened on, and what to do. */
export function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): CronwrightError {
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another process listens there; choose another port (--port, 0 picks a free one)',
    EACCES: 'this user may not use that port; choose one above 1023',
    EADDRNOTAVAIL: 'this machine does not have that address',
    ENOTFOUND: 'that host name is not known',
  };
  const why = reasons[error.code ?? ''] ?? errorMessage(error);
  return new CronwrightError('unavailable', `cannot listen on ${host}:${port}: ${why}`, { cause: error });
}

function urlOf(server: Server, host: string): string {
  const { port } = server.address() as AddressInfo;
  const name = host.includes(':') ? `[${host}]` : host;
  return `http://${name}:${port}`;
}

/** Idle connections end now, answers under way have `drainMs`. */
function close(server: Server, drainMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), drainMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
