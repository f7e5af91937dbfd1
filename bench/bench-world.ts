// A node as the daemon wires it (engine, metrics, log at its default level) with no-op steps, for the bench to fill and watch.

import { databaseHooks } from '../src/app/database-events.ts';
import { type Engine, startEngine } from '../src/app/engine.ts';
import { packageVersion } from '../src/app/package-version.ts';
import { systemClock } from '../src/base/clock.ts';
import { loadSettings, type Settings } from '../src/config/load-settings.ts';
import type { Database } from '../src/db/database.ts';
import { createNewRun, type NewRun } from '../src/domain/new-run.ts';
import type { Pipeline, StepDefinition } from '../src/domain/pipeline.ts';
import { fastRetry } from '../src/domain/retry-policy.ts';
import { type ScheduleDefinition, scheduleDefaults } from '../src/domain/schedule.ts';
import { createEventBus, type EventBus } from '../src/observe/events.ts';
import { createLog } from '../src/observe/log.ts';
import { createMetrics } from '../src/observe/metrics.ts';
import { subscribeLog } from '../src/observe/subscribe-log.ts';
import { enqueueRuns } from '../src/queue/enqueue-runs.ts';
import { createRegistry } from '../src/steps/registry.ts';
import { type BenchDatabase, createBenchDatabase } from './bench-database.ts';
import { createBenchPlugin, type OnStep } from './bench-plugin.ts';
import type { Bench } from './scenario.ts';

export interface BenchWorld {
  db: Database;
  url: string | undefined;
  engine: Engine;
  events: EventBus;
  settings: Settings;
  /** Whether the node claims what is in its queue. */
  serve(claims: boolean): void;
  /** Hears of every step that begins. */
  onStep: OnStep | undefined;
  /** Makes `count` runs durable, and tells nobody. */
  fill(pipeline: Pipeline, count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Of what every node of a bench says is in force. */
export const benchHash = 'bench';

export interface WorldOptions {
  pipelines: readonly Pipeline[];
  schedules?: boolean;
}

export async function startBenchWorld(bench: Bench, options: WorldOptions): Promise<BenchWorld> {
  const events = createEventBus((name, error) => {
    throw new Error(`a listener of ${name} failed`, { cause: error });
  });
  const database: BenchDatabase = await createBenchDatabase(bench, databaseHooks(events));
  const { db, dataDir } = database;
  const loaded = await loadSettings({ configDir: dataDir, env: { CRONWRIGHT_DATA_DIR: dataDir } });
  const settings: Settings = { ...loaded, limits: { ...loaded.limits, liveRunsPerTenant: 10_000_000 } };
  const endLog = subscribeLog(events, createLog({ level: settings.log.level, destination: { write: () => true } }));
  const metrics = createMetrics({ events, clock: systemClock, version: packageVersion(), database: db.kind });
  let onStep: OnStep | undefined;
  const plugin = {
    definition: createBenchPlugin(() => onStep),
    source: { kind: 'built-in', specifier: 'bench' },
  } as const;
  const engine = await startEngine({
    db,
    settings,
    registry: createRegistry([plugin]),
    pipelines: { pipelines: [...options.pipelines], hash: benchHash },
    env: {},
    events,
    version: packageVersion(),
    apiUrl: () => undefined,
    schedules: options.schedules ?? false,
  });
  return {
    db,
    url: database.url,
    engine,
    events,
    settings,
    get onStep() {
      return onStep;
    },
    set onStep(listener: OnStep | undefined) {
      onStep = listener;
    },
    serve: (claims) => engine.pauseClaims(!claims),
    fill: (pipeline, count) => fill(db, pipeline, count),
    async stop() {
      await engine.stop(0);
      metrics.close();
      endLog();
      await database.close();
    },
  };
}

async function fill(db: Database, pipeline: Pipeline, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 2_000) {
    await enqueueRuns(db, newRuns(pipeline, Math.min(left, 2_000)));
  }
}

export function newRuns(pipeline: Pipeline, count: number): NewRun[] {
  return Array.from({ length: count }, () => createNewRun(pipeline, 'light', { origin: 'api', actor: 'bench' }));
}

/** Steps a, b, c … that each need the one before. */
export function benchPipeline(id: string, steps: number, overrides: Partial<Pipeline> = {}): Pipeline {
  return {
    id,
    tenant: 'default',
    version: '0123456789abcdef',
    inputs: {},
    env: {},
    schedules: [],
    priority: 5,
    queue: 'default',
    timeoutMs: 3_600_000,
    onInterrupted: 'retry',
    steps: Array.from({ length: steps }, (_, i) => benchStep(i)),
    finally: [],
    onFailure: [],
    ...overrides,
  };
}

export function benchSchedule(pipeline: string, name: string, cron: string): ScheduleDefinition {
  return { ...scheduleDefaults, id: `${pipeline}.${name}`, name, tenant: 'default', pipeline, cron };
}

function benchStep(i: number): StepDefinition {
  return {
    id: `step_${i}`,
    uses: 'bench.noop',
    with: {},
    needs: i === 0 ? [] : [`step_${i - 1}`],
    continueOnError: false,
    env: {},
    retry: fastRetry,
    timeoutMs: 600_000,
  };
}
