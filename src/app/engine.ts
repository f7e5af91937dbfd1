// The engine of one node: database, scheduler, workers and upkeep, wired in one straight line and undone in reverse.
import { hostname } from 'node:os';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { type AdjustableClock, createAdjustableClock } from '../base/clock.ts';
import type { LoadedPipelines } from '../config/load-pipelines.ts';
import type { Settings } from '../config/load-settings.ts';
import { announceRuns } from '../control/announce-runs.ts';
import type { ControlContext } from '../control/control-context.ts';
import { createLiveRunLimit } from '../control/live-run-limit.ts';
import type { Database } from '../db/database.ts';
import { migrate } from '../db/migrate.ts';
import type { Budgets } from '../domain/budget.ts';
import type { PipelineCatalog } from '../domain/pipeline-catalog.ts';
import type { SharedLimits } from '../domain/shared-limits.ts';
import { createAger } from '../maintenance/ager.ts';
import { createNodeWatch } from '../maintenance/node-watch.ts';
import { createRunTimers } from '../maintenance/run-timers.ts';
import type { EventBus } from '../observe/events.ts';
import { admitRuns } from '../queue/admit-runs.ts';
import { createFairOrder } from '../queue/fair-order.ts';
import { forgetNode, leaveNode, registerNode } from '../queue/register-node.ts';
import { setLimits } from '../queue/set-limits.ts';
import { createScheduler } from '../schedule/scheduler.ts';
import { createSensorWatch } from '../schedule/sensor-watch.ts';
import { createStallWatch } from '../schedule/stall-watch.ts';
import { createObservedStep } from '../steps/observed-step.ts';
import { findProblems } from '../steps/parse-with-schema.ts';
import type { Registry } from '../steps/registry.ts';
import type { ArtifactFiles } from '../store/artifact-files.ts';
import { createSecrets } from '../store/secrets.ts';
import { createAdaptiveTimeouts } from '../worker/adaptive-timeouts.ts';
import { createAttemptHost } from '../worker/attempt-host.ts';
import { createCheckpointWriter } from '../worker/checkpoint-writer.ts';
import type { ChildDeps } from '../worker/child-runs.ts';
import { createDefinitions } from '../worker/definitions.ts';
import { createOutboxDelivery } from '../worker/deliver-outbox.ts';
import { createDeliveryServices } from '../worker/delivery-services.ts';
import { createEstimateStep } from '../worker/estimate-step.ts';
import type { ExecuteDeps } from '../worker/execute-deps.ts';
import { createHeartbeat } from '../worker/heartbeat.ts';
import { createParentScopes } from '../worker/parent-scope.ts';
import { createRefuseRuns, type Lacks } from '../worker/refuse-runs.ts';
import { createRunLogs } from '../worker/run-logs.ts';
import { createServedRoutes } from '../worker/served-routes.ts';
import { createSharedRateLimits } from '../worker/shared-rate-limits.ts';
import { createWorkerPool } from '../worker/worker-pool.ts';
import { storeDefinitions } from './apply-pipelines.ts';
import { type CleanUps, createCleanUps } from './clean-ups.ts';
import { createConnections } from './connections.ts';
import { loadDataHome } from './data-home.ts';
import { createNodeHints } from './node-hints.ts';
import { createNoticesOf } from './notifications.ts';
import { openArtifacts } from './open-artifacts.ts';
import { createPipelinesInForce } from './pipelines-in-force.ts';
import { createSharedTerms } from './run-terms.ts';
import { createRunWorkspaces } from './run-workspaces.ts';
import { createSharedConfig } from './shared-config.ts';
import { createStepHost, pickVariables } from './step-host.ts';
import { createUpkeep } from './upkeep.ts';

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
  /** 0…1, for jitter; default: the system's. */
  random?: () => number;
  /** How long the files of live nodes may differ before it is told, in milliseconds. Default 60,000. */
  divergedAfterMs?: number;
  /** Whether steps with `cache` take results of earlier runs; default true. */
  usesCache?: boolean;
}

export interface Engine {
  readonly node: { id: string; name: string; version: string; startedAt: Date };
  readonly clock: AdjustableClock;
  readonly control: ControlContext;
  readonly catalog: PipelineCatalog;
  readonly artifactFiles: ArtifactFiles | undefined;
  /** Monotonic milliseconds since the last answered heartbeat. */
  sinceLastBeatMs(): number;
  places(): { workers: number; workersFree: number; inFlight: number; inFlightFree: number };
  /** Hash of this node's own files, whether or not they are what is in force. */
  ownHash(): string;
  /** This node's files have changed: they are in force on all nodes from now on. */
  apply(pipelines: Pick<LoadedPipelines, 'pipelines' | 'hash'>): Promise<void>;
  /** Limits of tenants and queues, as this node's settings say now. */
  applyLimits(limits: SharedLimits): Promise<void>;
  /** What tenants may spend, as this node's settings say now. */
  applyBudgets(budgets: Budgets): void;
  /** Hears that another node may have written history. Returns what ends it. */
  onHistory(listener: () => void): () => void;
  /** Claims nothing (true), or takes it up again once none of those who said so does any more; what runs goes on. */
  pauseClaims(isPaused: boolean, by?: string): void;
  /** Ends the steps that run now; their runs go back to the queue. */
  abortRuns(): void;
  /** Claims nothing more, lets runs end for `drainMs`, gives back the others, and closes all but the database. */
  stop(drainMs: number): Promise<void>;
}

/** An idle node looks this much less often where it need not. */
const pollsSpared = 5;

/** Rejects, all undone, where a part cannot start. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const cleanUps = createCleanUps();
  const onFailed = (service: string, error: unknown) =>
    options.events.emit('service.crashed', { service, error: String(error) });
  try {
    return await wire(options, cleanUps);
  } catch (error) {
    await cleanUps.run(onFailed);
    throw error;
  }
}

async function wire(options: EngineOptions, cleanUps: CleanUps): Promise<Engine> {
  const { db, settings, registry, events } = options;
  const { timing } = settings;
  const clock = createAdjustableClock();
  const node = {
    id: options.nodeId ?? uuidv7(),
    name: `${hostname()}-${process.pid}`,
    version: options.version,
    startedAt: new Date(clock.now()),
  };
  const onCrash = (service: string) => (error: unknown) =>
    events.emit('service.crashed', { service, error: String(error) });

  const home = await loadDataHome(join(settings.dataDir, 'workspaces'));
  await migrate(db);
  const isAlone = db.kind === 'pglite';
  const terms = createSharedTerms(settings.sharedLimits, settings.limits.liveRunsPerTenant);
  const order = createFairOrder({
    db,
    clock,
    weightOf: terms.weightOf,
    hasPeers: () => !isAlone && hints.hasPeers(),
    onError: onCrash('fair-order'),
  });
  await order.load();
  const inForce = createPipelinesInForce(registry, { limitsOf: terms.limitsOf, order });
  /** The queue is looked at less often where all that happens is heard of anyway. */
  const pollMs = () => timing.pollMs * (isAlone || hints.isListening() ? pollsSpared : 1);
  const historyListeners = new Set<() => void>();
  const hints = createNodeHints({
    // A run without a daemon shares nothing with others.
    line: options.schedules ? db.hints : undefined,
    node: node.id,
    clock,
    events,
    wake: {
      work: () => pool.wake(),
      schedules() {
        scheduler.wake();
        sensors.wake();
      },
      requests: () => heartbeat.beatNow(),
      history() {
        for (const listener of historyListeners) listener();
      },
      config: () => nodeWatch.wake(),
    },
  });
  // Last of all: what the end of this node leaves to others is told too.
  cleanUps.add('hints', () => hints.stop());
  /** Something may be claimable, here or elsewhere; it has a history. */
  function offerWork(): void {
    pool.wake();
    hints.tell('work');
    hints.tell('history');
  }
  const config = createSharedConfig({
    db,
    inForce,
    events,
    slotsFor: terms.slotsFor,
    node,
    onRecorded: () => hints.tell('config'),
    onSchedules: () => hints.tell('schedules'),
    onAdopted: async () => {
      await setLimits(db, terms.slotsFor(inForce.list()));
      if (!isRunning) return;
      await register();
      scheduler.wake();
      sensors.wake();
      pool.wake();
    },
  });
  let isRunning = false;
  if (options.schedules) await config.apply(options.pipelines);
  else await storeDefinitions(options.pipelines, { db, inForce, slotsFor: terms.slotsFor });
  const register = () =>
    registerNode(db, {
      ...node,
      workers: settings.workers,
      inFlight: settings.inFlight,
      queues: settings.queues ?? null,
      labels: settings.labels,
      home,
      configHash: options.schedules ? config.ownHash : null,
    });
  await register();
  cleanUps.add('node', async () => {
    if (!options.schedules) return forgetNode(db, node.id);
    await leaveNode(db, { id: node.id, home });
    hints.tell('work');
  });
  const artifactFiles = await openArtifacts(db, settings, node.id);

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
    onWritten: () => hints.tell('history'),
  });

  const host = createStepHost(settings, options.env, options.apiUrl);
  const workspaces = createRunWorkspaces({ dataDir: settings.dataDir, home, events });
  cleanUps.add('workspaces', () => workspaces.stop());
  const children: ChildDeps = {
    db,
    catalog: inForce,
    onReady: offerWork,
    onRequests(holder) {
      if (holder === node.id) heartbeat.beatNow();
      else hints.tell('requests', holder);
    },
  };
  let budgets = settings.budgets;
  const rateLimits = createSharedRateLimits({ db, clock, events, node: node.id });
  const random = options.random ?? Math.random;
  const observed = createObservedStep({
    services: createAttemptHost({
      db,
      artifactFiles,
      clock,
      events,
      logs,
      secrets,
      host,
      run: (id) => pool.runs.get(id),
      onWorkspace: (id) => workspaces.note(id),
      onOutbox: () => outbox.wake(),
      children,
      budgets: () => budgets,
      llm: { settings: settings.llm, rateLimits, random },
      connection: (name, readOnly) => connection(name, readOnly),
    }),
    events,
    clock,
  });
  const connection = (name: string, readOnly: boolean) => connections.get(name, readOnly);
  const outbox = createOutboxDelivery({
    db,
    clock,
    events,
    registry,
    services: createDeliveryServices({ host, secrets, connection }),
    secrets,
    random: Math.random,
  });
  // A run without a daemon is watched by whoever started it.
  const noticesOf = createNoticesOf(options.schedules ? settings.onFailure : [], options.apiUrl);
  const tellSoon = events.on('run.finished', ({ state }) => {
    if (settings.onFailure.length > 0 && (state === 'failed' || state === 'dead_letter')) outbox.wake();
  });
  cleanUps.add('notifications', tellSoon);
  const execute: ExecuteDeps = {
    db,
    clock,
    events,
    observed,
    writer,
    secrets,
    logs,
    node: node.id,
    noticesOf,
    home,
    hasFiles: (id) => workspaces.has(id),
    baseEnv: pickVariables(options.env, ['REPO']),
    usesCache: options.usesCache ?? true,
    children,
    rateLimits,
    random,
  };
  const lacks: Lacks = new Map();
  const routes = createServedRoutes({
    db,
    clock,
    server: { queues: settings.queues ?? null, labels: settings.labels, home, lacks },
    named: () => inForce.routes(),
  });
  const refuse = createRefuseRuns({
    db,
    events,
    node: node.id,
    lacks,
    onLacking: () => routes.lookAgain(),
    onSetAside: () => hints.tell('work'),
  });
  const pool = createWorkerPool({
    ...execute,
    definitions: createDefinitions({ db, catalog: inForce, registry }),
    timeouts: createAdaptiveTimeouts({ db, clock, events }),
    apiUrl: options.apiUrl,
    hasWorkspace: workspaces.canGoOn,
    parents: createParentScopes({ db, apiUrl: options.apiUrl }),
    routes: () => routes.list(),
    onClaimed: (claimed) => order.reached(claimed),
    // A run without a daemon has nobody to be left to.
    ...(options.schedules ? { refuse } : {}),
    workers: settings.workers,
    inFlight: settings.inFlight,
    leaseMs: timing.leaseMs,
    pollMs,
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
  const nodeWatch = createNodeWatch({
    db,
    clock,
    events,
    node: node.id,
    leaseMs: timing.leaseMs,
    everyMs: () => timing.heartbeatMs * (hints.isListening() ? 3 : 1),
    divergedAfterMs: options.divergedAfterMs ?? 60_000,
    onPeers: (count) => hints.setPeers(count),
    onApply: (seq) => config.follow(seq),
  });
  const room = createLiveRunLimit({ db, clock, limitOf: terms.liveRunsOf });
  const scheduler = createScheduler({
    db,
    clock,
    catalog: inForce,
    events,
    followConfig: (seq) => config.follow(seq),
    refusal: room.refusal,
    onEnqueued() {
      offerWork();
      timers.wake();
    },
  });
  const sensors = createSensorWatch({
    db,
    clock,
    events,
    registry,
    catalog: inForce,
    secrets,
    host,
    connection,
    baseEnv: execute.baseEnv,
    followConfig: (seq) => config.follow(seq),
    refusal: room.refusal,
    announce: (runs) => announceRuns(control, runs),
    random: options.random ?? Math.random,
  });
  const timers = createRunTimers({
    db,
    clock,
    events,
    node: node.id,
    everyMs: timing.pollMs,
    longestMs: timing.pollMs * pollsSpared,
    onReady: offerWork,
  });
  const upkeep = createUpkeep({
    db,
    clock,
    events,
    settings,
    node: node.id,
    home,
    artifactFiles,
    catalog: inForce,
    execute,
    runs: pool.runs,
    lacks,
    onReady: offerWork,
  });
  const ager = createAger({ db, clock, events, limits: () => terms.limits, onAged: offerWork });
  const control: ControlContext = {
    db,
    clock,
    events,
    pipelines: inForce,
    liveRunsPerTenant: settings.limits.liveRunsPerTenant,
    liveRunsOf: terms.liveRunsOf,
    estimateStep: createEstimateStep(registry, createDeliveryServices({ host, secrets, connection })),
    async outputProblems(stepType, value) {
      const type = registry.get(stepType);
      return type === undefined ? [] : findProblems(type.definition.output, value);
    },
    wake: {
      workers: offerWork,
      timers: () => timers.wake(),
      scheduler() {
        scheduler.wake();
        sensors.wake();
        hints.tell('schedules');
      },
      requests(holder) {
        if (holder === null || holder === node.id) heartbeat.beatNow();
        if (holder !== node.id) hints.tell('requests', holder ?? undefined);
      },
    },
  };
  const services = [order, ager, ...upkeep, timers, ...(options.schedules ? [outbox] : [])];

  async function admitFreed(keys: readonly { tenant: string; key: string }[]): Promise<void> {
    try {
      const admitted = await admitRuns(db, keys);
      if (admitted.length > 0) offerWork();
    } catch (error) {
      // The sweep admits them.
      onCrash('admit')(error);
    }
  }

  // Whoever waits for a time is somebody's timer from now on.
  cleanUps.add(
    'timers of released runs',
    events.on('run.released', ({ state }) => {
      timers.wake();
      if (state === 'pending') hints.tell('work');
    }),
  );
  await heartbeat.start();
  cleanUps.add('heartbeat', () => heartbeat.stop());
  await logs.start();
  await pool.start();
  cleanUps.add('worker-pool', () => pool.stop());
  for (const service of services) {
    await service.start();
    cleanUps.add(service.name, () => service.stop());
  }
  if (options.schedules) {
    await scheduler.start();
    cleanUps.add('scheduler', () => scheduler.stop());
    const stallWatch = createStallWatch({ db, events, everyMs: 60_000 });
    await stallWatch.start();
    cleanUps.add('stall-watch', () => stallWatch.stop());
    await sensors.start();
    cleanUps.add('sensors', () => sensors.stop());
    // Where one process owns the database there is nobody to look at.
    if (isAlone) events.emit('nodes.counted', { live: 1, hashes: 1 });
    else {
      await nodeWatch.start();
      cleanUps.add('node-watch', () => nodeWatch.stop());
    }
    hints.start();
  }
  isRunning = true;
  events.emit('node.started', { node: node.id });
  let isStopped = false;

  return {
    node,
    clock,
    catalog: inForce,
    artifactFiles,
    control,
    sinceLastBeatMs: () => heartbeat.sinceLastBeatMs(),
    places: () => pool.places(),
    ownHash: () => config.ownHash,
    onHistory(listener) {
      historyListeners.add(listener);
      return () => historyListeners.delete(listener);
    },
    async applyLimits(limits) {
      terms.replace(limits);
      await setLimits(db, terms.slotsFor(inForce.list()));
      timers.wake();
    },
    applyBudgets(next) {
      budgets = next;
    },
    async apply(pipelines) {
      await config.apply(pipelines);
      await register();
      scheduler.wake();
      sensors.wake();
      pool.wake();
    },
    pauseClaims: (isPaused, by = 'caller') => pool.pause(isPaused, by),
    abortRuns: () => pool.abortAll('shutdown'),
    async stop(drainMs) {
      if (isStopped) return;
      isStopped = true;
      events.emit('node.stopping', { node: node.id, reason: `draining for at most ${drainMs} ms` });
      await Promise.all([scheduler.stop(), sensors.stop()]);
      await pool.drain(drainMs);
      await cleanUps.run((name, error) => onCrash(name)(error));
    },
  };
}
