// How soon events reach thousands of listeners of the live stream, who are a process of their own, and what that costs.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRunStarter, type RunStarter } from '../../src/control/start-run.ts';
import { nextOccurrences } from '../../src/foresight/next.ts';
import { createHttpServer } from '../../src/http/create-http-server.ts';
import { type BenchWorld, benchPipeline, startBenchWorld } from '../bench-world.ts';
import { type Figure, figure } from '../figure.ts';
import type { EmittedEvents, ListenerOrder, ListenerReport } from '../live-listeners.ts';
import type { Bench, Scenario } from '../scenario.ts';

const caller = { tenant: 'default', actor: 'bench', origin: 'api' } as const;
/** A run of one step is four events. */
const runsPerSecond = 25;

type Heard = Extract<ListenerReport, { kind: 'heard' }>;

interface Round {
  heard: Heard;
  /** Processor time of the whole node, as a share of a core. */
  cpuShare: number;
  events: number;
  seconds: number;
  connectSeconds: number;
  /** Resident memory in MB: before anybody listens, while all do, and when they have gone. */
  rss: { before: number; during: number; after: number };
}

export const live: Scenario = {
  name: 'live',
  about: '100 events a second to 1,000 SSE and 1,000 WebSocket clients, and to 10,000 in all: emit → receipt',
  async run(bench) {
    const figures: Figure[] = [];
    for (const each of bench.quick ? [100] : [1_000, 5_000]) {
      const rounds: Round[] = [];
      for (let i = 0; i < (each > 1_000 ? 1 : bench.rounds); i += 1) rounds.push(await listenTo(bench, each));
      figures.push(...figuresOf(rounds, each));
    }
    return figures;
  },
};

async function listenTo(bench: Bench, each: number): Promise<Round> {
  const pipeline = benchPipeline('single', 1);
  const world = await startBenchWorld(bench, { pipelines: [pipeline] });
  const server = serverOf(world);
  try {
    await server.start();
    const starter = createRunStarter(world.engine.control);
    await makeRuns(starter, pipeline.id, 2);
    const before = await rssMb();
    const listeners = await startListeners({ url: server.url, sse: each, websocket: each });
    await makeRuns(starter, pipeline.id, 3);
    const emitted = noteEmits(world);
    const seconds = bench.quick ? 5 : 25;
    const cpu = process.cpuUsage();
    const from = performance.now();
    await makeRuns(starter, pipeline.id, seconds);
    const took = performance.now() - from;
    const used = process.cpuUsage(cpu);
    const during = await rssMb();
    emitted.end();
    await sleep(2_000);
    const heard = await listeners.report(emitted.events);
    await sleep(bench.quick ? 1_000 : 5_000);
    return {
      heard,
      cpuShare: (used.user + used.system) / 1_000 / took,
      events: emitted.events.length,
      seconds: took / 1_000,
      connectSeconds: listeners.connectSeconds,
      rss: { before, during, after: await rssMb() },
    };
  } finally {
    await server.stop();
    await world.stop();
  }
}

/** Evenly, whatever became of the ones before. */
async function makeRuns(starter: RunStarter, pipeline: string, seconds: number): Promise<void> {
  const from = performance.now();
  const runs: Promise<unknown>[] = [];
  for (let i = 0; i < seconds * runsPerSecond; i += 1) {
    await sleep(Math.max(0, from + (i * 1_000) / runsPerSecond - performance.now()));
    runs.push(starter.start(pipeline, {}, caller));
  }
  await Promise.all(runs);
}

/** The instant at which an event is durable and is told within the node. */
function noteEmits({ events }: BenchWorld) {
  const noted: [string, number][] = [];
  const now = () => Number(process.hrtime.bigint()) / 1e6;
  const ends = [
    events.on('run.enqueued', ({ runId }) => noted.push([`${runId}/1`, now()])),
    events.on('history.written', ({ runId, seq, transitions }) => {
      const at = now();
      for (let i = 0; i < transitions.length; i += 1) noted.push([`${runId}/${seq - i}`, at]);
    }),
  ];
  return {
    events: noted,
    end() {
      for (const end of ends) end();
    },
  };
}

function serverOf({ db, engine, events }: BenchWorld) {
  return createHttpServer({
    host: '127.0.0.1',
    port: 0,
    context: {
      db,
      clock: engine.clock,
      events,
      control: engine.control,
      pipelines: engine.catalog,
      effectiveConfig: () => ({}),
      readiness: async () => ({ ready: true, checks: {} }),
      renderMetrics: async () => ({ contentType: 'text/plain', body: '' }),
      nextOccurrences,
      node: engine.node,
    },
  });
}

async function startListeners(order: ListenerOrder) {
  const program = fileURLToPath(new URL('../live-listeners.ts', import.meta.url));
  const child = fork(program, [JSON.stringify(order)]);
  const connected = await nextReport(child);
  if (connected.kind !== 'connected') throw new Error(`expected the listeners to connect, got "${connected.kind}"`);
  return {
    connectSeconds: connected.seconds,
    async report(emitted: EmittedEvents['emitted']): Promise<Heard> {
      child.send({ emitted });
      const heard = await nextReport(child);
      if (heard.kind !== 'heard') throw new Error(`expected what the listeners heard, got "${heard.kind}"`);
      return heard;
    },
  };
}

async function nextReport(child: ChildProcess): Promise<ListenerReport> {
  const gone = once(child, 'exit').then(([code]) => {
    throw new Error(`the listeners ended with exit code ${code} and no report`);
  });
  const [report] = (await Promise.race([once(child, 'message'), gone])) as [ListenerReport];
  gone.catch(() => {});
  return report;
}

async function rssMb(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let i = 0; i < 3; i += 1) {
    gc();
    await sleep(100);
  }
  return process.memoryUsage().rss / 1_048_576;
}

function figuresOf(rounds: readonly Round[], each: number): Figure[] {
  const who = `${each} SSE + ${each} WebSocket`;
  const all = (pick: (round: Round) => number | undefined) => rounds.map((round) => pick(round) ?? Number.NaN);
  const lost = rounds.map(({ heard }) => `${heard.expected - heard.received} of ${heard.expected} not received`);
  const target = each > 1_000 ? {} : { target: '≤ 50' };
  return [
    figure(
      `${who}: emit → receipt, p50`,
      'ms',
      all((round) => round.heard.quantiles[0]),
    ),
    figure(
      `${who}: emit → receipt, p99`,
      'ms',
      all((round) => round.heard.quantiles[1]),
      {
        ...target,
        note: lost.join('; '),
      },
    ),
    figure(
      `${who}: emit → receipt, longest`,
      'ms',
      all((round) => round.heard.quantiles[3]),
    ),
    figure(
      `${who}: p99 of SSE`,
      'ms',
      all((round) => round.heard.sse[1]),
    ),
    figure(
      `${who}: p99 of WebSocket`,
      'ms',
      all((round) => round.heard.websocket[1]),
    ),
    figure(
      `${who}: events a second`,
      '/s',
      all((round) => round.events / round.seconds),
    ),
    figure(
      `${who}: clients dropped`,
      '',
      all((round) => round.heard.dropped),
    ),
    figure(
      `${who}: a core's share`,
      figure(
        `${who}: the listeners' share of a core`,
        '%',
        all((round) => round.heard.cpuShare * 100),
      ),
      '%',
      all((round) => round.cpuShare * 100),
    ),
    figure(
      `${who}: all connected after`,
      's',
      all((round) => round.connectSeconds),
    ),
    figure(
      `${who}: memory before`,
      'MB',
      all((round) => round.rss.before),
    ),
    figure(
      `${who}: memory while they listen`,
      'MB',
      all((round) => round.rss.during),
    ),
    figure(
      `${who}: memory when they have gone`,
      'MB',
      all((round) => round.rss.after),
    ),
  ];
}
