// How soon events reach thousands of listeners of the live stream, who are a process of their own, and what that costs.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createRunStarter, type RunStarter } from '../../src/control/start-run.ts';
import { createWorldServer } from '../../test/support/world-server.ts';
import { type BenchWorld, benchPipeline, startBenchWorld } from '../bench-world.ts';
import { type Figure, figure } from '../figure.ts';
import type { EmittedEvents, ListenerOrder, ListenerReport } from '../live-listeners.ts';
import type { Bench, Scenario } from '../scenario.ts';

const caller = { tenant: 'default', actor: 'bench', origin: 'api' } as const;
/** A run of one step is four events. */
const eventsPerRun = 4;

interface Part {
  /** Clients of each transport. */
  each: number;
  eventsPerSecond: number;
}

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
  about: 'emit → receipt: 100 events a second to 1,000 SSE and 1,000 WebSocket clients, and to 10,000 in all',
  async run(bench) {
    const figures: Figure[] = [];
    const parts = [
      { each: 1_000, eventsPerSecond: 100 },
      { each: 5_000, eventsPerSecond: 100 },
      { each: 5_000, eventsPerSecond: 10 },
    ];
    for (const part of bench.quick ? [{ each: 100, eventsPerSecond: 100 }] : parts) {
      const rounds: Round[] = [];
      for (let i = 0; i < (part.each > 1_000 ? 1 : bench.rounds); i += 1) rounds.push(await listenTo(bench, part));
      figures.push(...figuresOf(rounds, part));
    }
    return figures;
  },
};

async function listenTo(bench: Bench, { each, eventsPerSecond }: Part): Promise<Round> {
  const pipeline = benchPipeline('single', 1);
  const world = await startBenchWorld(bench, { pipelines: [pipeline] });
  const server = createWorldServer(world);
  try {
    await server.start();
    const starter = createRunStarter(world.engine.control);
    const makeRuns = (seconds: number) => startRuns(starter, pipeline.id, eventsPerSecond / eventsPerRun, seconds);
    await makeRuns(2);
    const before = await rssMb();
    const seconds = bench.quick ? 5 : 25;
    const receipts = 2 * each * 2 * eventsPerSecond * (seconds + 5);
    const listeners = await startListeners({ url: server.url, sse: each, websocket: each, receipts });
    await makeRuns(3);
    const emitted = noteEmits(world);
    const cpu = process.cpuUsage();
    const from = performance.now();
    await makeRuns(seconds);
    const took = performance.now() - from;
    const used = process.cpuUsage(cpu);
    const during = await rssMb();
    emitted.end();
    // Who is behind still receives.
    await sleep(each > 1_000 ? 8_000 : 2_000);
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
async function startRuns(starter: RunStarter, pipeline: string, runsPerSecond: number, seconds: number): Promise<void> {
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

function figuresOf(rounds: readonly Round[], { each, eventsPerSecond }: Part): Figure[] {
  const lost = rounds.map(({ heard }) => `${heard.expected - heard.received} of ${heard.expected} not received`);
  const target = each > 1_000 ? {} : { target: '≤ 50' };
  const measured: [what: string, unit: string, of: (round: Round) => number | undefined, rest?: object][] = [
    ['emit → receipt, p50', 'ms', ({ heard }) => heard.quantiles[0]],
    ['emit → receipt, p99', 'ms', ({ heard }) => heard.quantiles[1], { ...target, note: lost.join('; ') }],
    ['emit → receipt, longest', 'ms', ({ heard }) => heard.quantiles[3]],
    ['p99 of SSE', 'ms', ({ heard }) => heard.sse[1]],
    ['p99 of WebSocket', 'ms', ({ heard }) => heard.websocket[1]],
    ['events a second', '/s', ({ events, seconds }) => events / seconds],
    ['clients dropped', '', ({ heard }) => heard.dropped],
    ['share of a core', '%', ({ cpuShare }) => cpuShare * 100],
    ['share of a core of the listeners', '%', ({ heard }) => heard.cpuShare * 100],
    ['all connected after', 's', ({ connectSeconds }) => connectSeconds],
    ['memory before', 'MB', ({ rss }) => rss.before],
    ['memory while they listen', 'MB', ({ rss }) => rss.during],
    ['memory when they have gone', 'MB', ({ rss }) => rss.after],
  ];
  return measured.map(([what, unit, of, rest]) => {
    const values = rounds.map((round) => of(round) ?? Number.NaN);
    return figure(`${2 * each} listeners, ${eventsPerSecond} events/s: ${what}`, unit, values, rest);
  });
}
