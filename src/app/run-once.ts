// `cronwright run`: one run of one pipeline, without a daemon, by an engine of its own that serves nothing else.
import { uuidv7 } from 'uuidv7';
import { systemClock } from '../base/clock.ts';
import { sleepUnlessAborted } from '../base/service.ts';
import type { Settings } from '../config/load-settings.ts';
import { announceRuns } from '../control/announce-runs.ts';
import { cancelRun } from '../control/cancel-run.ts';
import { newRunOf, requirePipeline } from '../control/start-run.ts';
import { openDatabase } from '../db/open-database.ts';
import { waitForDatabase } from '../db/wait-for-database.ts';
import { pipelineOfKey } from '../domain/after.ts';
import { isTerminal } from '../domain/run.ts';
import { createEventBus } from '../observe/events.ts';
import { startTracing } from '../observe/start-tracing.ts';
import { enqueueRuns } from '../queue/enqueue-runs.ts';
import { getRun, type RunDetail } from '../reads/get-run.ts';
import { type LogLineView, runLogs } from '../reads/run-logs.ts';
import { runSteps, type StepView } from '../reads/run-steps.ts';
import { createCleanUps } from './clean-ups.ts';
import { databaseHooks } from './database-events.ts';
import { type Engine, startEngine } from './engine.ts';
import { loadCheckedPipelines, loadRegistry } from './load-definitions.ts';
import { packageVersion } from './package-version.ts';

export interface RunOnceOptions {
  settings: Settings;
  env: Readonly<Record<string, string | undefined>>;
  pipeline: string;
  tenant?: string;
  inputs?: Readonly<Record<string, unknown>>;
  dryRun?: boolean;
  /** Every step runs, whatever an earlier run came to, and nothing is kept for later ones. */
  noCache?: boolean;
  actor?: string;
  /** Aborted: the run is cancelled, and what it came to is returned. */
  signal?: AbortSignal;
  /** What is worth a word before the run begins. */
  onNote?: (text: string) => void;
  /** How the run stands, several times a second; `lines` are those since the last call. */
  onUpdate?: (update: { run: RunDetail; steps: StepView[]; lines: LogLineView[] }) => void;
}

export interface RunOnceResult {
  run: RunDetail;
  steps: StepView[];
}

const lookEveryMs = 200;

/** Rejects with `invalid_config`, `not_found`, `invalid_input`, or `unavailable` where the database cannot be used. */
export async function runOnce(options: RunOnceOptions): Promise<RunOnceResult> {
  const { settings, env } = options;
  const tenant = options.tenant ?? 'default';
  const registry = await loadRegistry(settings);
  const pipelines = await loadCheckedPipelines(settings, registry);
  const events = createEventBus();
  const cleanUps = createCleanUps();
  try {
    const db = await openDatabase({
      dataDir: settings.dataDir,
      ...(settings.databaseUrl === undefined ? {} : { databaseUrl: settings.databaseUrl }),
      ...databaseHooks(events),
    });
    cleanUps.add('database', () => db.close());
    const version = packageVersion();
    const nodeId = uuidv7();
    const tracing = await startTracing({ ...settings.tracing, version, nodeId, events, clock: systemClock });
    cleanUps.add('tracing', () => tracing.stop());
    await waitForDatabase(db, { signal: AbortSignal.abort() });
    // A queue of its own: this engine takes no other run, and no other takes this one.
    const queue = `run-${process.pid}`;
    const engine = await startEngine({
      db,
      settings: { ...settings, queues: [queue] },
      registry,
      pipelines,
      env,
      events,
      version,
      nodeId,
      apiUrl: () => undefined,
      schedules: false,
      usesCache: options.noCache !== true,
    });
    cleanUps.add('engine', () => engine.stop(0));
    const { control } = engine;
    const request = { inputs: options.inputs, dryRun: options.dryRun };
    const caller = { tenant, actor: options.actor ?? 'cli', origin: 'cli' } as const;
    const pipeline = requirePipeline(control, tenant, options.pipeline);
    // There is no other node to leave it to.
    const missing = (pipeline.runsOn ?? []).filter((label) => !settings.labels.includes(label));
    if (missing.length > 0) options.onNote?.(`runs_on asks for ${missing.join(', ')}: not looked at, it runs here`);
    const run = { ...newRunOf(control, pipeline, request, caller), queue, runsOn: [] };
    // Here no other pipeline runs that it could wait for.
    run.limits = run.limits.filter((key) => pipelineOfKey(key) === undefined);
    await enqueueRuns(db, [run]);
    await announceRuns(control, [run]);
    return await follow(engine, tenant, run.id, options);
  } finally {
    await cleanUps.run(() => {});
  }
}

/** Nobody can answer here: only a daemon on the same database takes answers. */
function newQuestions({ id, waits, state }: RunDetail, told: Set<string>): string[] {
  const asked = waits.filter((wait) => wait.state === 'open' && wait.kind !== 'timer' && !isTerminal(state));
  return asked.flatMap(({ step, item, key, message, kind }) => {
    const place = `${step}/${item ?? -1}/${key}`;
    if (told.has(place)) return [];
    told.add(place);
    return [`${step} asks: ${message ?? kind} (answer by a daemon on the same database: cronwright signal ${id})`];
  });
}

async function follow(engine: Engine, tenant: string, id: string, options: RunOnceOptions): Promise<RunOnceResult> {
  const { db } = engine.control;
  const signal = options.signal ?? new AbortController().signal;
  let cursor: string | undefined;
  let isCancelled = false;
  const told = new Set<string>();
  for (;;) {
    const run = await getRun(db, tenant, id);
    const steps = await runSteps(db, tenant, id);
    const page = await runLogs(db, tenant, id, { cursor, limit: 1_000, follow: true });
    cursor = page.next_cursor ?? cursor;
    options.onUpdate?.({ run, steps, lines: page.items });
    for (const note of newQuestions(run, told)) options.onNote?.(note);
    if (isTerminal(run.state) && page.next_cursor === null) return { run, steps };
    if (signal.aborted && !isCancelled) {
      isCancelled = true;
      await cancelRun(engine.control, { tenant, id, actor: options.actor ?? 'cli' });
    }
    await sleepUnlessAborted(lookEveryMs, isCancelled ? new AbortController().signal : signal);
  }
}
