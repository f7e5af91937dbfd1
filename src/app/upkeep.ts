// What keeps a node's house in order: dead leases, old history, runs that are stuck or that nobody can take.
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import type { Service } from '../base/service.ts';
import type { Settings } from '../config/load-settings.ts';
import type { Database } from '../db/database.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import { createAfterWatch } from '../maintenance/after-watch.ts';
import { createCostWatch } from '../maintenance/cost-watch.ts';
import { createParentWatch } from '../maintenance/parent-watch.ts';
import { createPauseSweep } from '../maintenance/pause-sweep.ts';
import { createPruner } from '../maintenance/pruner.ts';
import { createRescuer } from '../maintenance/rescuer.ts';
import { createSlaWatch } from '../maintenance/sla-watch.ts';
import { createStuckWatch } from '../maintenance/stuck-watch.ts';
import { createUnservedWatch } from '../maintenance/unserved-watch.ts';
import type { EventBus } from '../observe/events.ts';
import type { ArtifactFiles } from '../store/artifact-files.ts';
import type { ExecuteDeps } from '../worker/execute-deps.ts';
import { createLazyStarts } from '../worker/lazy-starts.ts';
import type { LiveRun } from '../worker/live-run.ts';
import type { Lacks } from '../worker/refuse-runs.ts';

export interface UpkeepOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  settings: Settings;
  node: string;
  home: string;
  artifactFiles: ArtifactFiles | undefined;
  catalog: PipelineCatalog;
  execute: ExecuteDeps;
  /** Runs that this node carries out. */
  runs: ReadonlyMap<string, LiveRun>;
  lacks: Lacks;
  /** There may be something to claim. */
  onReady: () => void;
}

/** In the order in which they start. */
export function createUpkeep(options: UpkeepOptions): Service[] {
  const { db, clock, events, settings, node, runs, execute } = options;
  const { timing, retention } = settings;
  return [
    createLazyStarts({ runs, deps: execute, clock }),
    createRescuer({
      db,
      clock,
      events,
      node,
      home: options.home,
      holds: (id) => runs.has(id),
      everyMs: timing.rescueMs,
      leaseMs: timing.leaseMs,
      isAlone: db.kind === 'pglite',
      onRescued: options.onReady,
      noticesOf: execute.noticesOf,
    }),
    createParentWatch({ db, events, node, everyMs: timing.rescueMs, onReady: options.onReady }),
    createAfterWatch({ db, events, catalog: options.catalog, everyMs: timing.rescueMs, onReady: options.onReady }),
    createPruner({
      db,
      clock,
      events,
      artifactFiles: options.artifactFiles,
      rule: retention,
      everyMs: timing.pruneMs,
      workspaces: join(settings.dataDir, 'workspaces'),
      keepWorkspacesMs: retention.logsMs,
    }),
    createPauseSweep({
      db,
      clock,
      events,
      everyMs: timing.pollMs,
      idleMs: timing.rescueMs,
      onReady: options.onReady,
    }),
    createCostWatch({ db, events, everyMs: timing.rescueMs * 3 }),
    createStuckWatch({ db, events, node, stuckMs: timing.stuckMs }),
    createSlaWatch({ db, clock, events, catalog: options.catalog, everyMs: timing.rescueMs * 3 }),
    createUnservedWatch({
      db,
      clock,
      events,
      everyMs: timing.rescueMs * 3,
      afterMs: timing.leaseMs,
      lacked: (version) => options.lacks.get(version),
    }),
  ];
}
