// The engine of one node: database, scheduler, workers and upkeep, wired in one straight line and undone in reverse.
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { type AdjustableClock, createAdjustableClock } from '../base/clock.ts';
import type { LoadedPipelines } from '../config/load-pipelines.ts';
import type { Settings } from '../config/load-settings.ts';
import type { ControlContext } from '../control/control-context.ts';
import type { Database } from '../db/database.ts';
import { migrate } from '../db/migrate.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import { createPruner } from '../maintenance/pruner.ts';
import { createRescuer } from '../maintenance/rescuer.ts';
import { createRunTimers } from '../maintenance/run-timers.ts';
import { createStuckWatch } from '../maintenance/stuck-watch.ts';
import type { EventBus } from '../observe/events.ts';
import { admitRuns } from '../queue/admit-runs.ts';
import { forgetNode, leaveNode, registerNode } from '../queue/register-node.ts';
import { createScheduler } from '../schedule/scheduler.ts';
import { createObservedStep } from '../steps/observed-step.ts';
import type { Registry } from '../steps/registry.ts';
import { createSecrets } from '../store/secrets.ts';
import { createAttemptHost, workspacePath } from '../worker/attempt-host.ts';
import { createCheckpointWriter } from '../worker/checkpoint-writer.ts';
import { createDefinitions } from '../worker/definitions.ts';
import type { ExecuteDeps } from '../worker/execute-deps.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import { createLazyStarts } from '../worker/lazy-starts.ts';
import { createRunLogs } from '../worker/run-logs.ts';
import { createServedQueues } from '../worker/served-queues.ts';
import { createWorkerPool } from '../worker/worker-pool.ts';
import { applyPipelines, storeDefinitions } from './apply-pipelines.ts';
import { createCleanUps } from './clean-ups.ts';
import { createConnections } from './connections.ts';
import { createPipelinesInForce } from './pipelines-in-force.ts';

export interface EngineOptions {
  db: Database;
  settings: Settings;
  registry: Registry;
  pipelines: Pick<LoadedPipelines, 'pipelines' | 'hash'>;
  env: Readonly<Record<string, string | undefined>>;
  events: EventBus;
  /** Cronwright's own version. */
  version: string;
  /** What the node is known by; default: a new id. */
  nodeId?: string;
  /** Base URL of this daemon's API, once it listens. */
  apiUrl: () => string | undefined;
  /** False for `cronwright run`: schedules are neither registered nor fired. */
  schedules: boolean;
}

export interface Engine {
  readonly node: { id: string; name: string; version: string; startedAt: Date };
  readonly clock: AdjustableClock;
  readonly control: ControlContext;
  readonly catalog: PipelineCatalog;
  /** Monotonic milliseconds since the last answered heartbeat. */
  sinceLastBeatMs(): number;
  places(): { workers: number; workersFree: number; inFlight: number; inFlightFree: number };
  apply(pipelines: Pick<LoadedPipelines, 'pipelines' | 'hash'>): Promise<void>;
  /** Ends the steps that run now; their runs go back to the queue. */
  abortRuns(): void;
  /** Claims nothing more, lets runs end for `drainMs`, gives back the others, and closes all but the database. */
  stop(drainMs: number): Promise<void>;
}

export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { db, settings, registry, events } = options;
  const { timing } = settings;
  const cleanUps = createCleanUps();
  const clock = createAdjustableClock();
  const node = {
    id: options.nodeId ?? uuidv7(),
    name: `${hostname()}-${process.pid}`,
    version: options.version,
    startedAt: new Date(clock.now()),
  };
  const onCrash = (service: string) => (error: unknown) =>
    events.emit('service.crashed', { service, error: String(error) });

  await migrate(db);
  const inForce = createPipelinesInForce(registry);
  if (options.schedules) await applyPipelines(options.pipelines, { db, inForce, events });
  else await storeDefinitions(options.pipelines, { db, inForce });
  const register = () =>
    registerNode(db, {
      ...node,
      workers: settings.workers,
      inFlight: settings.inFlight,
      queues: settings.queues ?? null,
      configHash: inForce.hash,
    });
  await register();
  cleanUps.add('node', () => (options.schedules ? leaveNode(db, node.id) : forgetNode(db, node.id)));

  const secrets = createSecrets(settings.secrets, options.env);
  const connections = createConnections({ self: db, configured: settings.connections, env: options.env });
  cleanUps.add('connections', () => connections.close());

  const logs = createRunLogs({ db, clock, maxPerRun: settings.limits.logBytesPerRun, onError: onCrash('run-logs') });
  cleanUps.add('run-logs', () => logs.stop());

  const writers = [await db.dedicated('checkpoints-1'), await db.dedicated('checkpoints-2')];
  cleanUps.add('writers', async () => {
    await Promise.all(writers.map((writer) => writer.close()));
  });
  const writer = createCheckpointWriter({
    connections: writers,
    node: node.id,
    now: () => clock.now(),
    onFreed: (keys) => void admitFreed(keys),
  });

  const host = {
    get apiUrl() {
      return options.apiUrl();
    },
    dataDir: settings.dataDir,
    programEnv: pick(options.env, ['PATH', 'HOME', 'LANG', 'TMPDIR']),
    get allowPrivateHosts() {
      const own = options.apiUrl();
      // Its own API is no private address to a daemon.
      return own === undefined
        ? settings.http.allowPrivateHosts
        : [...settings.http.allowPrivateHosts, new URL(own).host];
    },
  };
  // Most runs have no files, and to ask the file system costs as much as the rest of a run's end.
  const withFiles = new Set<string>();
  const observed = createObservedStep({
    services: createAttemptHost({
      db,
      clock,
      logs,
      secrets,
      host,
      run: (id) => pool.runs.get(id),
      onWorkspace: (id) => withFiles.add(id),
      connection: (name, readOnly) => connections.get(name, readOnly),
    }),
    events,
    clock,
  });
  const execute: ExecuteDeps = {
    db,
    clock,
    events,
    observed,
    writer,
    secrets,
    logs,
    node: node.id,
    baseEnv: pick(options.env, ['REPO']),
    random: Math.random,
  };
  const hasFiles = (id: string) => existsSync(workspacePath(settings.dataDir, id));
  const hasWorkspace = (runId: string, parentId: string | null) => {
    if (hasFiles(runId)) withFiles.add(runId);
    return withFiles.has(runId) || (parentId !== null && hasFiles(parentId));
  };
  const servedQueues = createServedQueues({ db, clock, named: () => inForce.queues() });
  const pool = createWorkerPool({
    ...execute,
    definitions: createDefinitions({ db, catalog: inForce, registry }),
    apiUrl: options.apiUrl,
    hasWorkspace,
    queues: () => settings.queues ?? servedQueues(),
    workers: settings.workers,
    inFlight: settings.inFlight,
    leaseMs: timing.leaseMs,
    pollMs: timing.pollMs,
  });
  const beats = await db.dedicated('heartbeat');
  cleanUps.add('heartbeat connection', () => beats.close());
  const heartbeat = createHeartbeat({
    db: beats,
    node: node.id,
    runs: pool.runs,
    clock,
    databaseClock: clock,
    events,
    everyMs: timing.heartbeatMs,
    leaseMs: timing.leaseMs,
  });
  const scheduler = createScheduler({ db, clock, catalog: inForce, events, onEnqueued: () => pool.wake() });
  const timers = createRunTimers({ db, events, node: node.id, everyMs: timing.pollMs, onReady: () => pool.wake() });
  const upkeep = [
    createLazyStarts({ runs: pool.runs, deps: execute, clock }),
    timers,
    createRescuer({
      db,
      clock,
      events,
      node: node.id,
      holds: (id) => pool.runs.has(id),
      everyMs: timing.rescueMs,
      leaseMs: timing.leaseMs,
      isAlone: db.kind === 'pglite',
      onRescued: () => pool.wake(),
    }),
    createPruner({
      db,
      clock,
      events,
      rule: settings.retention,
      everyMs: timing.pruneMs,
      workspaces: join(settings.dataDir, 'workspaces'),
      keepWorkspacesMs: settings.retention.logsMs,
    }),
    createStuckWatch({ db, events, node: node.id, stuckMs: timing.stuckMs }),
  ];

  async function admitFreed(keys: readonly { tenant: string; key: string }[]): Promise<void> {
    try {
      const admitted = await admitRuns(db, keys);
      if (admitted.length > 0) pool.wake();
    } catch (error) {
      // The sweep admits them.
      onCrash('admit')(error);
    }
  }

  // A completed run's files are of no more use; those of others are kept for a retry.
  const endFiles = events.on('run.finished', ({ runId, state }) => {
    if (!withFiles.delete(runId) || state !== 'completed') return;
    void rm(workspacePath(settings.dataDir, runId), { recursive: true, force: true }).catch(onCrash('workspaces'));
  });
  const loseFiles = events.on('run.lease_lost', ({ runId }) => withFiles.delete(runId));
  cleanUps.add('workspaces', () => {
    endFiles();
    loseFiles();
  });

  await heartbeat.start();
  cleanUps.add('heartbeat', () => heartbeat.stop());
  await logs.start();
  await pool.start();
  cleanUps.add('worker-pool', () => pool.stop());
  for (const service of upkeep) {
    await service.start();
    cleanUps.add(service.name, () => service.stop());
  }
  if (options.schedules) {
    await scheduler.start();
    cleanUps.add('scheduler', () => scheduler.stop());
  }
  events.emit('node.started', { node: node.id });
  let isStopped = false;

  return {
    node,
    clock,
    catalog: inForce,
    control: {
      db,
      clock,
      events,
      pipelines: inForce,
      liveRunsPerTenant: settings.limits.liveRunsPerTenant,
      wake: {
        workers() {
          pool.wake();
          timers.wake();
        },
        scheduler: () => scheduler.wake(),
        requests: () => heartbeat.beatNow(),
      },
    },
    sinceLastBeatMs: () => heartbeat.sinceLastBeatMs(),
    places: () => pool.places(),
    async apply(pipelines) {
      await applyPipelines(pipelines, { db, inForce, events });
      await register();
      scheduler.wake();
      pool.wake();
    },
    abortRuns: () => pool.abortAll('shutdown'),
    async stop(drainMs) {
      if (isStopped) return;
      isStopped = true;
      events.emit('node.stopping', { node: node.id, reason: `draining for at most ${drainMs} ms` });
      await scheduler.stop();
      await pool.drain(drainMs);
      await cleanUps.run((name, error) => onCrash(name)(error));
    },
  };
}

function pick(env: Readonly<Record<string, string | undefined>>, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = env[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}
