// The routes this node claims from: those its pipelines name, and those where it finds runs that it can serve.
import type { Clock } from '../base/clock.ts';
import type { Queryable } from '../db/database.ts';
import { canServe, parseRoute, type RouteServer } from '../domain/route.ts';
import { findReadyRoutes } from '../queue/find-ready-routes.ts';

export interface ServedRoutes {
  list(): Promise<readonly string[]>;
  /** The next list begins with a look at what is there. */
  lookAgain(): void;
}

/** Routes of removed pipelines, of runs that were set aside and of this node's files are found by looking. */
const lookEveryMs = 250;
/** `cronwright run` has a queue of its own that nobody else serves. */
const ofOneProcess = /^run-\d+$/;

/** `named` gives the same list until the configuration changes. */
export function createServedRoutes(options: {
  db: Queryable;
  clock: Clock;
  server: RouteServer;
  named: () => readonly string[];
}): ServedRoutes {
  const { server } = options;
  let lookedFor: readonly string[] | undefined;
  let lookedAt = 0;
  let served: readonly string[] = [];

  function isServed(route: string): boolean {
    const parsed = parseRoute(route);
    return canServe(server, parsed) && (server.queues !== null || !ofOneProcess.test(parsed.queue));
  }

  return {
    lookAgain() {
      lookedFor = undefined;
    },
    async list() {
      const named = options.named();
      const now = options.clock.monotonic();
      if (named === lookedFor && now - lookedAt < lookEveryMs) return served;
      const ready = await findReadyRoutes(options.db);
      served = [...new Set([...(server.queues ?? []), ...named, ...ready])].filter(isServed);
      [lookedFor, lookedAt] = [named, now];
      return served;
    },
  };
}
