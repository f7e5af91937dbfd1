// Two daemons on one PostgreSQL under load, while one drains and comes back and the other is killed and comes back.
import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventSource } from 'eventsource';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileCron } from '../../src/domain/cron/next-occurrences.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { freePort } from '../support/free-port.ts';
import { sql } from '../support/http-world.ts';
import { eventNames } from '../support/live-clients.ts';

/** The figure of the acceptance is 180; the suite takes a shorter look. */
const seconds = Number(process.env.SOAK_SECONDS ?? 24);
const ticking = 10;
/** Runs a second that callers start, besides those of the schedules. */
const callsPerSecond = 20;

const tick = (n: number) => `
id: tick-${n}
schedules:
  - { id: always, cron: "* * * * * *", overlap: ${n % 2 === 0 ? 'allow' : 'skip'} }
steps:
  - { id: rest, uses: wait.sleep, with: { duration: 30ms } }
  - { id: tell, uses: text.render, with: { template: "done" } }
`;

const build = `
id: build
steps:
  - { id: make, uses: file.write, with: { path: note.txt, content: "\${{ run.id }}" } }
  - { id: rest, uses: wait.sleep, with: { duration: 3s } }
  - { id: look, uses: file.read, with: { path: note.txt } }
`;

interface Heard {
  run_id: string;
  seq: number;
  event: string;
  node: string | null;
}

/** What one client of the live stream has heard, over all its connections. */
interface Listener {
  source: EventSource;
  runs: Map<string, Map<number, string>>;
  repeated: number;
}

/** A place in the cluster: daemons come and go there, always on the same port. */
interface Place {
  name: string;
  port: number;
  daemon: Daemon;
}

let folder: DaemonFolder;
let configDir: string;
let database: TestDatabase;
const started: Daemon[] = [];
const listeners: Listener[] = [];

beforeAll(async () => {
  folder = await createDaemonFolder();
  database = await createTestDatabase('postgres');
  configDir = join(folder.path, 'config');
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  const pipelines = [...Array.from({ length: ticking }, (_, n) => tick(n)), build];
  await writeFile(join(configDir, 'pipelines/all.yaml'), pipelines.join('---'));
  await writeFile(
    join(configDir, 'cronwright.yaml'),
    'log: { level: debug }\ntiming: { lease: 2s, heartbeat: 500ms, rescue: 500ms }\n',
  );
});

afterAll(async () => {
  for (const { source } of listeners) source.close();
  await Promise.all(started.map((daemon) => daemon.kill()));
  await database?.close();
  await folder?.remove();
});

async function startAt(name: string, port: number): Promise<Daemon> {
  const daemon = await startDaemon({
    dataDir: await folder.dataDir(name, { empty: true }),
    configDir,
    args: ['--port', String(port)],
    env: { DATABASE_URL: database.url ?? '' },
  });
  started.push(daemon);
  return daemon;
}

async function createPlace(name: string): Promise<Place> {
  const port = await freePort();
  return { name, port, daemon: await startAt(name, port) };
}

/** From an instant on; reconnects by itself, with the id of the last event it has seen. */
function listen(place: Place, from: string): Listener {
  const source = new EventSource(`http://127.0.0.1:${place.port}/api/v1/events?from=${from}`);
  const listener: Listener = { source, runs: new Map(), repeated: 0 };
  const hear = ({ data }: { data: string }) => {
    const { run_id: id, seq, event } = JSON.parse(data) as Heard;
    const run = listener.runs.get(id) ?? new Map<number, string>();
    listener.runs.set(id, run);
    if (run.has(seq)) listener.repeated += 1;
    run.set(seq, event);
  };
  for (const name of eventNames) source.addEventListener(name, hear);
  listeners.push(listener);
  return listener;
}

/** Starts runs at whichever place answers until it is stopped; returns how often it asked, and what was acknowledged. */
function startCallers(places: readonly Place[]): { stop(): Promise<{ asked: number; acknowledged: string[] }> } {
  const acknowledged: string[] = [];
  const stopping = new AbortController();
  const call = async (n: number) => {
    const pipeline = n % 10 === 0 ? 'build' : `tick-${n % ticking}`;
    const key = randomUUID();
    // What is not answered is asked again elsewhere under the same key.
    for (let at = n; !stopping.signal.aborted; at += 1) {
      const id = await post(places[at % places.length]?.port ?? 0, pipeline, key);
      if (id !== undefined) {
        acknowledged.push(id);
        return;
      }
      await sleep(100);
    }
  };
  const running = (async () => {
    const calls: Promise<void>[] = [];
    for (let n = 0; !stopping.signal.aborted; n += 1) {
      calls.push(call(n));
      await sleep(1_000 / callsPerSecond);
    }
    await Promise.all(calls);
    return { asked: calls.length, acknowledged };
  })();
  return {
    async stop() {
      stopping.abort();
      return running;
    },
  };
}

async function post(port: number, pipeline: string, key: string): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/pipelines/${pipeline}/runs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: '{}',
      signal: AbortSignal.timeout(5_000),
    });
    return response.status === 202 ? ((await response.json()) as { id: string }).id : undefined;
  } catch {
    return undefined;
  }
}

/** Kills the daemon while it carries out a run of `build` whose file is written; returns that run. */
async function killWithin(place: Place): Promise<string> {
  const from = place.daemon.log.length;
  const isResting = (line: { msg: string; step?: unknown; pipeline?: unknown }) =>
    line.msg === 'step.started' && line.pipeline === 'build' && line.step === 'rest';
  const line = await eventually(
    `${place.name} works on a run of build`,
    () => place.daemon.log.slice(from).find(isResting),
    20_000,
  );
  const id = String(line.run_id);
  // The first step is on record before the node goes: what is lost is the file alone.
  await eventually('the file is on record', async () => {
    const rows = await sql<{ n: number }>(
      database.db,
      "select count(*) as n from cronwright.step_runs where run_id = $1 and step = 'make' and state = 'completed'",
      [id],
    );
    return rows[0]?.n === 1 ? true : undefined;
  });
  await place.daemon.kill();
  return id;
}

describe('two daemons on one PostgreSQL', () => {
  it(
    `lose nothing and do nothing twice in ${seconds} s of load, one SIGTERM and one kill -9`,
    async () => {
      const begun = new Date().toISOString();
      const [a, b] = [await createPlace('a'), await createPlace('b')];
      const heard = [listen(a, begun), listen(b, begun)];
      await eventually('both clients are connected', () =>
        heard.every(({ source }) => source.readyState === EventSource.OPEN) ? true : undefined,
      );
      const callers = startCallers([a, b]);

      await sleep((seconds * 1_000) / 3);
      const left = await a.daemon.stop(35_000);
      expect(left.code).toBe(0);
      a.daemon = await startAt('a', a.port);

      await sleep((seconds * 1_000) / 3);
      const orphan = await killWithin(b);
      await eventually(
        'the run goes on at the other node',
        async () => {
          const run = await a.daemon.get<{ state: string }>(`/runs/${orphan}`);
          return run.state === 'completed' ? true : undefined;
        },
        20_000,
        () => a.daemon.output().slice(-2_000),
      );
      b.daemon = await startAt('b', b.port);

      await sleep((seconds * 1_000) / 3);
      const { asked, acknowledged } = await callers.stop();
      for (let n = 0; n < ticking; n += 1)
        await a.daemon.post(`/schedules/tick-${n}.always/pause`, { reason: 'the end' });
      await eventually(
        'all runs end',
        async () => ((await a.daemon.get<{ depth: number }>('/queue')).depth === 0 ? true : undefined),
        60_000,
      );

      const runs = await sql<{
        id: string;
        state: string;
        node: string;
        schedule: string | null;
        nominal_at: Date | null;
      }>(database.db, 'select id, state, node, schedule, nominal_at from cronwright.runs');
      const byId = new Map(runs.map((run) => [run.id, run]));
      expect(runs.filter(({ state }) => state !== 'completed')).toEqual([]);
      expect(acknowledged.filter((id) => !byId.has(id))).toEqual([]);
      // The last that were asked for may have been made without a caller who waited for the answer; none was made twice.
      const called = runs.filter(({ schedule }) => schedule === null).length;
      expect(new Set(acknowledged).size).toBe(acknowledged.length);
      expect(called).toBeGreaterThanOrEqual(acknowledged.length);
      expect(called).toBeLessThanOrEqual(asked);
      expect(acknowledged.length).toBeGreaterThan((callsPerSecond * seconds) / 3);
      // Each of the four daemons ended some.
      expect(new Set(runs.map(({ node }) => node)).size).toBe(4);
      await everyTimeOnce(runs);
      await workspaceWasRebuilt(orphan);

      const lengths = await lastSeqs();
      for (const { runs: lives, source } of heard) {
        await eventually(
          'the client has heard the end of every run',
          () => (missing(lives, lengths).length === 0 ? true : undefined),
          20_000,
          () => [
            source.url,
            source.readyState,
            lives.size,
            missing(lives, lengths).length,
            missing(lives, lengths).slice(0, 5),
          ],
        );
      }
    },
    seconds * 1_000 + 180_000,
  );
});

/** Every nominal time between a schedule's beginning and its cursor is one run, or counted with a reason. */
async function everyTimeOnce(runs: readonly { schedule: string | null; nominal_at: Date | null }[]): Promise<void> {
  const schedules = await sql<{ id: string; definition: { cron: string }; created_at: Date; cursor_at: Date }>(
    database.db,
    'select id, definition, created_at, cursor_at from cronwright.schedules',
  );
  const ranges = await sql<{ schedule: string; count: number }>(
    database.db,
    'select schedule, sum(count)::int8 as count from cronwright.occurrences group by schedule',
  );
  expect(schedules).toHaveLength(ticking);
  for (const { id, definition, created_at: from, cursor_at: to } of schedules) {
    const all = compileCron(definition.cron, 'UTC', { id }).between(from.getTime(), to.getTime(), 100_000);
    const expected = new Set(all.map((one) => one.at.toISOString()));
    const enqueued = runs.flatMap((run) =>
      run.schedule === id && run.nominal_at ? [run.nominal_at.toISOString()] : [],
    );
    expect(new Set(enqueued).size).toBe(enqueued.length);
    expect(enqueued.filter((at) => !expected.has(at))).toEqual([]);
    const skipped = ranges.find(({ schedule }) => schedule === id)?.count ?? 0;
    expect(enqueued.length + skipped).toBe(expected.size);
    expect(expected.size).toBeGreaterThanOrEqual(seconds - 1);
  }
}

/** The other node had no file of it: the step that writes it ran again there, and what read it afterwards found it. */
async function workspaceWasRebuilt(id: string): Promise<void> {
  const rows = await sql<{ node: string; transitions: { event: string; step?: string }[] }>(
    database.db,
    'select node, transitions from cronwright.history where run_id = $1 order by seq',
    [id],
  );
  const made = rows.flatMap(({ node, transitions }) =>
    transitions.flatMap(({ event, step }) => (event === 'step.completed' && step === 'make' ? [node] : [])),
  );
  expect(made).toHaveLength(2);
  expect(new Set(made).size).toBe(2);
}

/** How many events each run has. */
async function lastSeqs(): Promise<Map<string, number>> {
  const rows = await sql<{ run_id: string; seq: number }>(
    database.db,
    'select run_id, max(seq) as seq from cronwright.history group by run_id',
  );
  return new Map(rows.map(({ run_id: id, seq }) => [id, seq]));
}

/** Runs of which some event was not heard, and which those are. */
function missing(lives: Listener['runs'], lengths: ReadonlyMap<string, number>): string[] {
  return [...lengths].flatMap(([id, length]) => {
    const life = lives.get(id) ?? new Map<number, string>();
    const lost = Array.from({ length }, (_, i) => i + 1).filter((seq) => !life.has(seq));
    return lost.length === 0 ? [] : [`${id}: ${lost.join(' ')} of ${length}`];
  });
}
