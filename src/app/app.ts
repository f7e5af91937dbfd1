// The daemon: everything built top to bottom, and undone in reverse.
import { uuidv7 } from 'uuidv7';
import { systemClock } from '../base/clock.ts';
import { describeSettings } from '../config/describe-settings.ts';
import { loadSettings, type Settings } from '../config/load-settings.ts';
import { watchConfig } from '../config/watch-config.ts';
import { openDatabase } from '../db/open-database.ts';
import { waitForDatabase } from '../db/wait-for-database.ts';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import { nextOccurrences } from '../foresight/next.ts';
import { requireSafeAddress } from '../http/access.ts';
import { createHttpServer } from '../http/create-http-server.ts';
import { createDiskWatch } from '../maintenance/disk-watch.ts';
import { createEventBus } from '../observe/events.ts';
import type { Logger } from '../observe/log.ts';
import { createMetrics } from '../observe/metrics.ts';
import { startTracing } from '../observe/start-tracing.ts';
import { subscribeLog } from '../observe/subscribe-log.ts';
import type { Registry } from '../steps/registry.ts';
import { createCleanUps } from './clean-ups.ts';
import { databaseHooks } from './database-events.ts';
import { type Engine, startEngine } from './engine.ts';
import { requireFreePort } from './free-port.ts';
import { loadCheckedPipelines, loadRegistry } from './load-definitions.ts';
import { createMetricsSampler } from './metrics-sampler.ts';
import { packageVersion } from './package-version.ts';
import { createReadiness } from './readiness.ts';

export interface AppOptions {
  settings: Settings;
  env: Readonly<Record<string, string | undefined>>;
  log: Logger;
}

export interface App {
  /** Returns once the API answers. Rejects, all undone, where the configuration is wrong or a part cannot start. */
  start(): Promise<{ url: string }>;
  /** Reads the configuration again; what is wrong changes nothing and is in the log. Never rejects. */
  reload(): Promise<void>;
  /**
   * `drain` lets runs end within `timing.drain`, `cancel` ends their steps now; what has not ended goes back to the queue.
   * Then everything is closed. May be called again, and while it starts.
   */
  stop(how: 'drain' | 'cancel'): Promise<void>;
}

export function createApp(options: AppOptions): App {
  const { settings, env, log } = options;
  const cleanUps = createCleanUps();
  const starting = new AbortController();
  let engine: Engine | undefined;
  let reloadNow: () => Promise<void> = () => Promise.resolve();
  let reloading: Promise<void> = Promise.resolve();
  let limits = settings.sharedLimits;
  let budgets = settings.budgets;
  /** As a reload reads them: without what flags have set. */
  let filed = settings;
  let stopping: Promise<void> | undefined;
  const events = createEventBus((name, error) => log.error({ err: error, event: name }, 'event listener failed'));

  async function build(): Promise<{ url: string }> {
    cleanUps.add('log', subscribeLog(events, log));
    requireSafeAddress(settings.host, settings.token);
    await requireFreePort(settings.host, settings.port);
    const registry = await loadRegistry(settings);
    const pipelines = await loadCheckedPipelines(settings, registry);
    for (const warning of pipelines.warnings) log.warn({ ...warning }, 'configuration warning');

    const version = packageVersion();
    const nodeId = uuidv7();
    const tracing = await startTracing({ ...settings.tracing, version, nodeId, events, clock: systemClock });
    cleanUps.add('tracing', () => tracing.stop());

    const db = await openDatabase({
      dataDir: settings.dataDir,
      ...(settings.databaseUrl === undefined ? {} : { databaseUrl: settings.databaseUrl }),
      ...databaseHooks(events),
    });
    cleanUps.add('database', () => db.close());
    await waitForDatabase(db, {
      signal: starting.signal,
      onAttempt: ({ number, error, nextInMs }) =>
        log.warn({ attempt: number, next_try_ms: nextInMs, reason: error.message }, 'database unavailable'),
    });
    if (db.kind === 'pglite') log.info({}, embeddedNotice);

    const metrics = createMetrics({
      events,
      // The engine's clock follows the database's; nothing runs before there is one.
      clock: { now: () => (engine?.clock ?? systemClock).now() },
      version,
      database: db.kind,
    });
    cleanUps.add('metrics', () => metrics.close());
    let url: string | undefined;
    const running = await startEngine({
      db,
      settings,
      registry,
      pipelines,
      env,
      events,
      version,
      nodeId,
      apiUrl: () => url,
      schedules: true,
    });
    engine = running;
    cleanUps.add('engine', () => running.stop(0));

    const sampler = createMetricsSampler({ db, metrics, events });
    await sampler.start();
    cleanUps.add('metrics-sampler', () => sampler.stop());
    const disk = createDiskWatch({
      dataDir: settings.dataDir,
      events,
      onChange: (isFull) => running.pauseClaims(isFull, 'disk'),
    });
    await disk.start();
    cleanUps.add('disk-watch', () => disk.stop());
    const readiness = createReadiness({
      db,
      events,
      engine: running,
      leaseMs: settings.timing.leaseMs,
      diskProblem: () => disk.problem(),
    });
    cleanUps.add('readiness', () => readiness.close());

    const server = createHttpServer({
      host: settings.host,
      port: settings.port,
      context: {
        db,
        clock: running.clock,
        events,
        control: running.control,
        pipelines: running.catalog,
        artifactFiles: running.artifactFiles,
        effectiveConfig: () => ({
          settings: describeSettings({ ...settings, sharedLimits: limits, budgets }),
          config_hash: running.catalog.hash,
        }),
        readiness: () => readiness.check(),
        renderMetrics: () => metrics.render(),
        nextOccurrences,
        node: running.node,
        live: { pollMs: settings.timing.pollMs, historyMs: settings.retention.historyMs },
        token: settings.token,
      },
    });
    await server.start();
    cleanUps.add('http', () => server.stop());
    cleanUps.add(
      'live hints',
      running.onHistory(() => server.wakeLive()),
    );
    url = server.url;

    filed = await loadSettings({ configDir: settings.configDir, env });
    reloadNow = () => reload(running, registry);
    const watcher = watchConfig({ configDir: settings.configDir, onChange: () => reloadNow() });
    await watcher.start();
    cleanUps.add('watch-config', () => watcher.stop());
    log.info({ url, port: Number(new URL(url).port), database: db.kind, node: running.node.id }, 'listening');
    return { url };
  }

  /** All fallible work first: only what is right as a whole is put in force. */
  function reload(running: Engine, registry: Registry): Promise<void> {
    reloading = reloading.then(async () => {
      try {
        const fresh = await loadSettings({ configDir: settings.configDir, env });
        if (JSON.stringify(fresh.sharedLimits) !== JSON.stringify(limits)) {
          await running.applyLimits(fresh.sharedLimits);
          limits = fresh.sharedLimits;
          log.info({ ...limits }, 'limits of tenants and queues changed');
        }
        if (JSON.stringify(fresh.budgets) !== JSON.stringify(budgets)) {
          running.applyBudgets(fresh.budgets);
          budgets = fresh.budgets;
          log.info({ budgets }, 'budgets changed');
        }
        if (needsRestart(filed, fresh)) log.warn({}, 'cronwright.yaml changed: restart to put its settings in force');
        const pipelines = await loadCheckedPipelines({ ...settings, calendars: fresh.calendars }, registry);
        if (pipelines.hash === running.ownHash()) return;
        await running.apply(pipelines);
      } catch (error) {
        const problems = error instanceof CronwrightError ? error.problems.length : 0;
        events.emit('config.rejected', { problems, text: errorMessage(error) });
      }
    });
    return reloading;
  }

  return {
    async start() {
      try {
        return await build();
      } catch (error) {
        await cleanUps.run((name, failure) => log.error({ err: failure }, `stopping ${name} failed`));
        throw error;
      }
    },
    reload: () => reloadNow(),
    stop(how) {
      starting.abort();
      if (how === 'cancel') engine?.abortRuns();
      stopping ??= (async () => {
        await engine?.stop(how === 'drain' ? settings.timing.drainMs : 0);
        await cleanUps.run((name, error) => log.error({ err: error }, `stopping ${name} failed`));
      })();
      return stopping;
    },
  };
}

const embeddedNotice =
  'embedded database: one process; survives a crash of the process, not a power loss; set DATABASE_URL for PostgreSQL';

function needsRestart(before: Settings, after: Settings): boolean {
  // What a reload puts in force is looked at apart.
  const shown = ({ onFailure, ...settings }: Settings) =>
    JSON.stringify([
      describeSettings({ ...settings, onFailure, sharedLimits: before.sharedLimits, budgets: before.budgets }),
      onFailure,
    ]);
  return shown({ ...before, sources: {} }) !== shown({ ...after, sources: {} });
}
