// Tells of runs that are ready and that no living node can take: no such queue, label or step type anywhere.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { type Database, statement } from '../db/database.ts';
import { canServe, parseRoute, type Route } from '../domain/route.ts';
import type { EventBus } from '../observe/events.ts';
import { findReadyRoutes } from '../queue/find-ready-routes.ts';

export interface UnservedWatchOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  everyMs: number;
  /** A route is told of once nobody has served it for so long. */
  afterMs: number;
  /** What this node knows of a version that it lacks step types of. */
  lacked: (version: string) => { tenant: string; pipeline: string; missing: readonly string[] } | undefined;
}

interface ServingNode {
  name: string;
  queues: string[] | null;
  labels: string[] | null;
  home: string | null;
  lacks: string[] | null;
}

// The database's clock will do: this only tells, and decides nothing.
const serving = statement(
  'list_serving_nodes',
  `select name, queues, labels, home, lacks from cronwright.nodes
  where stopped_at is null and beat_at > now() - $1::int4 * interval '1 millisecond'`,
);

export function createUnservedWatch(options: UnservedWatchOptions): Service {
  const { db, clock, events } = options;
  /** When each route was first seen with nobody to serve it, and whether that was told. */
  let unserved = new Map<string, { since: number; isTold: boolean }>();

  async function look(): Promise<void> {
    // A pinned run goes to all before long, and `cronwright run` serves its own.
    const routes = (await findReadyRoutes(db)).filter((route) => !/^run-\d+$|@/.test(route));
    const nodes = routes.length === 0 ? [] : (await db.query<ServingNode>(serving, [options.afterMs])).rows;
    const now: typeof unserved = new Map();
    for (const route of routes) {
      if (nodes.some((node) => isServedBy(node, parseRoute(route)))) continue;
      now.set(route, unserved.get(route) ?? { since: clock.monotonic(), isTold: false });
    }
    unserved = now;
    for (const [route, seen] of unserved) {
      if (seen.isTold || clock.monotonic() - seen.since < options.afterMs) continue;
      seen.isTold = true;
      tell(parseRoute(route));
    }
  }

  function tell(route: Route): void {
    const { queue, labels, version } = route;
    const lacked = version === undefined ? undefined : options.lacked(version);
    const lacking = lacked
      ? `no living node that takes it has the step type ${lacked.missing.join(', ')} of pipeline ${lacked.pipeline}`
      : version && `no living node that takes it has the step types of pipeline version ${version}`;
    const labelled = labels.length > 0 && `no living node that serves the queue has the labels ${labels.join(', ')}`;
    events.emit('run.unservable', {
      queue,
      labels,
      ...(version === undefined ? {} : { version }),
      ...(lacked ? { tenant: lacked.tenant, pipeline: lacked.pipeline } : {}),
      reason: lacking || labelled || 'no living node serves the queue',
    });
  }

  return createLoopService({
    name: 'unserved-watch',
    async loop(signal) {
      while (!signal.aborted) {
        await look();
        await sleepUnlessAborted(options.everyMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'unserved-watch', error: String(error) }),
    restartDelayMs: options.everyMs,
  });
}

function isServedBy({ queues, labels, home, lacks }: ServingNode, route: Route): boolean {
  return canServe({ queues, labels: labels ?? [], home: home ?? '', lacks: new Set(lacks) }, route);
}
