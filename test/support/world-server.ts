// The HTTP server of an engine without a daemon around it, on a free port: for tests and for the bench.
import type { Engine } from '../../src/app/engine.ts';
import type { Database } from '../../src/db/database.ts';
import { nextOccurrences } from '../../src/foresight/next.ts';
import { createHttpServer, type HttpServer } from '../../src/http/create-http-server.ts';
import type { HttpContext } from '../../src/http/http-context.ts';
import type { EventBus } from '../../src/observe/events.ts';

export function createWorldServer(
  { db, engine, events }: { db: Database; engine: Engine; events: EventBus },
  rest: Pick<HttpContext, 'live' | 'token'> = {},
): HttpServer {
  return createHttpServer({
    host: '127.0.0.1',
    port: 0,
    context: {
      db,
      clock: engine.clock,
      events,
      control: engine.control,
      pipelines: engine.catalog,
      effectiveConfig: () => ({}),
      readiness: async () => ({ ready: true, checks: {} }),
      renderMetrics: async () => ({ contentType: 'text/plain', body: '' }),
      nextOccurrences,
      node: engine.node,
      ...rest,
    },
  });
}
