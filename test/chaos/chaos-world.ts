// What the chaos tests share: daemons behind proxies on one PostgreSQL, callers, effects on record, and what must hold in the end.
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../src/base/package-root.ts';
import { migrate } from '../../src/db/migrate.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/http-world.ts';
import { type OwnCluster, openOwnCluster } from '../support/postgres-server.ts';
import { startWireProxy, type WireProxy } from '../support/wire-proxy.ts';

export const leaseMs = 2_000;
const quickTiming =
  'log: { level: debug }\ntiming: { lease: 2s, heartbeat: 500ms, rescue: 500ms, poll: 200ms, drain: 3s }\n';

export interface Effect {
  run: string;
  pipeline: string;
  step: string;
  attempt: number;
  token: number;
  pid: number;
  /** Milliseconds since the epoch. */
  at: number;
  phase: string;
}

/** A place in the cluster: daemons come and go there. */
export interface Place {
  readonly name: string;
  readonly proxy: WireProxy;
  /** The one that lives now. */
  daemon: Daemon;
  /** Its id in the table of nodes. */
  node: string;
  /** Starts another in place of one that has ended. */
  restart(): Promise<void>;
  /** SIGKILL, and nothing more of it reaches the database. */
  kill(): void;
}

export interface ChaosWorld {
  readonly folder: DaemonFolder;
  readonly test: TestDatabase;
  readonly effectsDir: string;
  readonly places: Place[];
  /** All that ever lived, for their logs. */
  readonly daemons: readonly Daemon[];
  /** Process ids of daemons that were killed. */
  readonly killed: Set<number>;
  addPlace(name: string, options?: PlaceOptions): Promise<Place>;
  effects(): Promise<Effect[]>;
  close(): Promise<void>;
}

export interface PlaceOptions {
  args?: readonly string[];
  dataDir?: string;
  /** Changes what its log goes to, for one. */
  env?: Readonly<Record<string, string>>;
}

export interface WorldOptions {
  /** Pipelines in YAML; `DIR` in them is where effects are kept. */
  pipelines: readonly string[];
  settings?: string;
  /** On a server of its own, in place of one on that of all tests. */
  test?: TestDatabase;
}

/** A server of its own, which the test may end, and the database in it. */
export async function createOwnDatabase(): Promise<TestDatabase & { cluster: OwnCluster }> {
  const cluster = await openOwnCluster();
  const db = createPostgres({ url: cluster.url });
  await migrate(db);
  const close = async () => {
    await db.close();
    await cluster.stop();
  };
  return { db, url: cluster.url, cluster, close };
}

export async function createChaosWorld(options: WorldOptions): Promise<ChaosWorld> {
  const folder = await createDaemonFolder();
  const test = options.test ?? (await createTestDatabase('postgres'));
  const effectsDir = join(folder.path, 'effects');
  const configDir = join(folder.path, 'config');
  await mkdir(effectsDir);
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  const yaml = options.pipelines.map((text) => text.replaceAll('DIR', effectsDir)).join('\n---\n');
  await writeFile(join(configDir, 'pipelines/all.yaml'), yaml);
  const plugin = join(packageRoot, 'test/chaos/effects-plugin/index.ts');
  const settings = options.settings ?? quickTiming;
  await writeFile(join(configDir, 'cronwright.yaml'), `plugins: ["${plugin}"]\n${settings}`);
  const places: Place[] = [];
  const daemons: Daemon[] = [];
  const killed = new Set<number>();
  const databaseUrl = test.url ?? '';

  async function addPlace(name: string, { args = [], dataDir, env = {} }: PlaceOptions = {}): Promise<Place> {
    const proxy = await startWireProxy(databaseUrl);
    const home = dataDir ?? (await folder.dataDir(name, { empty: true }));
    const start = async () => {
      const proxied = { ...env, DATABASE_URL: proxy.url };
      const daemon = await startDaemon({ dataDir: home, configDir, args, env: proxied, cwd: folder.path });
      daemons.push(daemon);
      return daemon;
    };
    const place: Place = {
      name,
      proxy,
      daemon: await start(),
      node: '',
      async restart() {
        await place.daemon.ended;
        place.daemon = await start();
        place.node = String((await place.daemon.logged('listening')).node);
      },
      kill() {
        killed.add(place.daemon.pid);
        place.daemon.signal('SIGKILL');
        proxy.cutAll();
      },
    };
    place.node = String((await place.daemon.logged('listening')).node);
    places.push(place);
    return place;
  }

  return {
    folder,
    test,
    effectsDir,
    places,
    daemons,
    killed,
    addPlace,
    effects: () => readEffects(effectsDir),
    async close() {
      await Promise.all(places.map(({ daemon }) => daemon.kill()));
      await Promise.all(places.map(({ proxy }) => proxy.close()));
      await test.close();
      await folder.remove();
    },
  };
}

async function readEffects(dir: string): Promise<Effect[]> {
  const texts = await Promise.all((await readdir(dir)).map((file) => readFile(join(dir, file), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n')).filter((line) => line.endsWith('}'));
  return lines.map((line) => JSON.parse(line) as Effect).sort((a, b) => a.at - b.at);
}

/** Starts one run under a key of its own, at whichever place answers; returns its id. */
export async function startRun(places: readonly Place[], pipeline: string, signal?: AbortSignal): Promise<string> {
  const key = randomUUID();
  for (let n = 0; ; n += 1) {
    const id = await post(places[n % places.length] as Place, pipeline, key);
    if (id !== undefined) return id;
    if (signal?.aborted) throw new Error('given up');
    await sleep(50);
  }
}

async function post({ daemon }: Place, pipeline: string, key: string): Promise<string | undefined> {
  try {
    const response = await fetch(`${daemon.url}/api/v1/pipelines/${pipeline}/runs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: '{}',
      signal: AbortSignal.timeout(30_000),
    });
    return response.status === 202 ? ((await response.json()) as { id: string }).id : undefined;
  } catch {
    return undefined;
  }
}

/** Starts runs at a rate until it is stopped; returns those that were acknowledged. */
export function startCallers(
  places: readonly Place[],
  pipelines: readonly string[],
  perSecond: number,
): { readonly acknowledged: ReadonlySet<string>; stop(): Promise<readonly string[]> } {
  const acknowledged = new Set<string>();
  const stopping = new AbortController();
  const running = (async () => {
    const calls: Promise<unknown>[] = [];
    for (let n = 0; !stopping.signal.aborted; n += 1) {
      const pipeline = pipelines[n % pipelines.length] ?? '';
      const call = startRun(places, pipeline, stopping.signal);
      calls.push(call.then((id) => acknowledged.add(id)).catch(() => {}));
      await sleep(1_000 / perSecond);
    }
    await Promise.all(calls);
  })();
  return {
    acknowledged,
    async stop() {
      stopping.abort();
      await running;
      return [...acknowledged];
    },
  };
}

/** Fires no schedule any more and waits until no run lives. */
export async function settle({ test, places }: ChaosWorld, withinMs = 60_000): Promise<void> {
  const schedules = await sql<{ id: string }>(test.db, 'select id from cronwright.schedules where paused_at is null');
  const [place] = places;
  for (const { id } of schedules) await place?.daemon.post(`/schedules/${id}/pause`, { reason: 'the end' });
  const live = () => sql<{ state: string; n: number }>(test.db, livingStates);
  await eventually(
    'all runs end',
    async () => ((await live()).length === 0 ? true : undefined),
    withinMs,
    () => places.map(({ daemon }) => daemon.output().slice(-1_500)),
  );
}

const livingStates = 'select state, count(*) as n from cronwright.queue group by state';

export interface Findings {
  runs: number;
  /** Acknowledged runs without a record, an end, or the effects of one; occurrences without a run. */
  lost: string[];
  /** Occurrences with two runs, runs with two ends, keys with two runs. */
  twice: string[];
  /** Beginnings of a step for which no kill, stop or lost lease of the one before accounts. */
  repeatedForNothing: string[];
  /** Steps that began again. */
  repeats: number;
  /** Leases that living daemons lost, for want of a heartbeat in time. */
  leasesLost: number;
  deadLetters: string[];
}

/** Looks at the tables and at what the steps wrote themselves. `excused` are processes that were made to lose their runs. */
export async function examine(
  world: ChaosWorld,
  acknowledged: Iterable<string>,
  excused: ReadonlySet<number> = world.killed,
): Promise<Findings> {
  const db = world.test.db;
  const runs = await sql<{
    id: string;
    state: string | null;
    pipeline: string;
    schedule: string | null;
    nominal_at: Date | null;
  }>(db, 'select id, state, pipeline, schedule, nominal_at from cronwright.runs');
  const byId = new Map(runs.map((run) => [run.id, run]));
  const effects = await world.effects();
  const begun = new Map<string, Effect[]>();
  for (const one of effects) {
    if (one.phase !== 'begin') continue;
    const step = `${one.run} ${one.step}`;
    begun.set(step, [...(begun.get(step) ?? []), one]);
  }
  const ended = new Set(effects.filter(({ phase }) => phase === 'end').map(({ run }) => run));
  const lost: string[] = [];
  for (const id of acknowledged) {
    const run = byId.get(id);
    if (!run) lost.push(`${id} is not on record`);
    else if (run.state === null) lost.push(`${id} has no end`);
    else if (run.state === 'completed' && !ended.has(id)) lost.push(`${id} has no effects`);
    else if (run.state !== 'completed' && run.state !== 'dead_letter') lost.push(`${id} is ${run.state}`);
  }
  const leasesLost = new Set(
    world.daemons.flatMap(({ pid, log }) =>
      log.filter(({ msg }) => msg === 'run.lease_lost').map(({ run_id: id }) => `${pid} ${id}`),
    ),
  );
  const repeatedForNothing: string[] = [];
  let repeats = 0;
  for (const [step, times] of begun) {
    repeats += times.length - 1;
    const unexplained = times.slice(0, -1).filter(({ pid, run }, n) => {
      // Of one and the same process only a lost lease accounts for two beginnings.
      const wasKilled = excused.has(pid) && times[n + 1]?.pid !== pid;
      return !wasKilled && !leasesLost.has(`${pid} ${run}`);
    });
    if (unexplained.length > 0) repeatedForNothing.push(`${step}: ${JSON.stringify(times)}`);
  }
  const ends = await sql<{ run_id: string; n: number }>(db, endsOfRuns);
  const twice = ends.filter(({ n }) => n > 1).map(({ run_id, n }) => `${run_id} ended ${n} times`);
  const occurrences = await examineOccurrences(world, runs);
  return {
    runs: runs.length,
    lost: [...lost, ...occurrences.lost],
    twice: [...twice, ...occurrences.twice],
    repeatedForNothing,
    repeats,
    leasesLost: leasesLost.size,
    deadLetters: runs.filter(({ state }) => state === 'dead_letter').map(({ id }) => id),
  };
}

/** What the daemons logged of the runs that something was found about, and of their own faults. */
export function storyOf({ daemons }: ChaosWorld, findings: Findings): string {
  const told = [...findings.lost, ...findings.twice, ...findings.repeatedForNothing, ...findings.deadLetters];
  const ids = new Set(told.map((text) => text.slice(0, 36)));
  const lines = daemons.flatMap(({ log }) => log);
  const fits = lines.filter(({ msg, run_id: id }) => ids.has(String(id)) || msg === 'service.crashed');
  return fits.map((line) => JSON.stringify(line)).join('\n');
}

const endsOfRuns = `select h.run_id, count(*) as n from cronwright.history h, jsonb_array_elements(h.transitions::jsonb) t
  where t ->> 'event' in ('run.completed', 'run.failed', 'run.cancelled', 'run.dead_lettered') group by h.run_id`;

/** Schedules of the chaos tests fire every second. */
async function examineOccurrences(
  { test: { db } }: ChaosWorld,
  runs: readonly { id: string; schedule: string | null; nominal_at: Date | null }[],
): Promise<{ lost: string[]; twice: string[] }> {
  const schedules = await sql<{ id: string; created_at: Date; cursor_at: Date }>(
    db,
    'select id, created_at, cursor_at from cronwright.schedules',
  );
  const skipped = await sql<{ schedule: string; first_at: Date; last_at: Date }>(
    db,
    'select schedule, first_at, last_at from cronwright.occurrences',
  );
  const found = { lost: [] as string[], twice: [] as string[] };
  for (const { id, created_at: from, cursor_at: to } of schedules) {
    const times = runs.flatMap((run) => (run.schedule === id && run.nominal_at ? [run.nominal_at.getTime()] : []));
    const unique = new Set(times);
    if (unique.size < times.length) found.twice.push(`${id}: ${times.length - unique.size} occurrences`);
    const ranges = skipped.filter(({ schedule }) => schedule === id);
    for (let at = Math.floor(from.getTime() / 1_000) * 1_000 + 1_000; at <= to.getTime(); at += 1_000) {
      const isTold = ranges.some(({ first_at: first, last_at: last }) => first.getTime() <= at && at <= last.getTime());
      if (!unique.has(at) && !isTold) found.lost.push(`${id} ${new Date(at).toISOString()}`);
    }
  }
  return found;
}
