// The HTTP server of a world of the bench, on a free port.
import { nextOccurrences } from '../src/foresight/next.ts';
import { createHttpServer, type HttpServer } from '../src/http/create-http-server.ts';
import type { BenchWorld } from './bench-world.ts';

export function createWorldServer({ db, engine, events }: BenchWorld): HttpServer {
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
    },
  });
}
