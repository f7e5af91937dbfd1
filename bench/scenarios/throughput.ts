// Durable runs a second with the queue full, one node: every outcome committed, every transition kept.
import { type BenchWorld, benchPipeline, startBenchWorld } from '../bench-world.ts';
import { type Figure, figure, median } from '../figure.ts';
import type { Bench, Scenario } from '../scenario.ts';
import { startSecondNode } from '../start-second-node.ts';

export const throughput: Scenario = {
  name: 'throughput',
  about:
    'single-step and three-step durable runs a second, the queue full, one node; the same while another one listens',
  onPglite: true,
  async run(bench) {
    const single = benchPipeline('single', 1);
    const three = benchPipeline('three', 3);
    const world = await startBenchWorld(bench, { pipelines: [single, three], schedules: true });
    try {
      const count = bench.quick ? 8_000 : bench.pglite ? 30_000 : 60_000;
      world.serve(false);
      // The first runs teach the just-in-time compilers.
      for (const pipeline of [single, three]) await drainQueue(world, () => world.fill(pipeline, 4_000), 4_000, bench);
      const rounds: Record<'single' | 'three', Round[]> = { single: [], three: [] };
      // Interleaved, so that what else the machine does falls on both.
      for (let round = 0; round < bench.rounds; round += 1) {
        rounds.single.push(await drainQueue(world, () => world.fill(single, count), count, bench));
        rounds.three.push(await drainQueue(world, () => world.fill(three, count), count, bench));
      }
      const on = bench.pglite ? ' (PGlite)' : '';
      const heard = await besideAnother(world, bench, () =>
        drainQueue(world, () => world.fill(single, count), count, bench),
      );
      return [
        runsFigure(`single-step runs${on}`, rounds.single, bench.pglite ? undefined : '≥ 16,000'),
        runsFigure(`three-step runs${on}`, rounds.three, bench.pglite ? undefined : '≥ 10,000'),
        ...(heard.length === 0 ? [] : [runsFigure('single-step runs, another node listens', heard, undefined)]),
      ];
    } finally {
      await world.stop();
    }
  },
};

interface Round {
  perSecond: number;
  nodeUs: number;
  serverUs: number | undefined;
}

/** The same while there is somebody to send hints to. */
async function besideAnother(world: BenchWorld, bench: Bench, round: () => Promise<Round>): Promise<Round[]> {
  if (world.url === undefined) return [];
  const other = await startSecondNode(world.url);
  try {
    const rounds: Round[] = [];
    for (let i = 0; i < bench.rounds; i += 1) rounds.push(await round());
    return rounds;
  } finally {
    await other.stop();
  }
}

async function drainQueue(world: BenchWorld, fill: () => Promise<void>, count: number, bench: Bench): Promise<Round> {
  await fill();
  const before = { node: process.cpuUsage(), server: bench.cluster.cpuMs(), at: performance.now() };
  await new Promise<void>((resolve) => {
    let finished = 0;
    const end = world.events.on('run.finished', () => {
      finished += 1;
      if (finished < count) return;
      end();
      resolve();
    });
    world.serve(true);
  });
  const seconds = (performance.now() - before.at) / 1_000;
  const { user, system } = process.cpuUsage(before.node);
  // The embedded database's time is this process's.
  const server = bench.pglite ? undefined : bench.cluster.cpuMs();
  world.serve(false);
  const serverMs = server === undefined || before.server === undefined ? undefined : server - before.server;
  return {
    perSecond: count / seconds,
    nodeUs: (user + system) / count,
    serverUs: serverMs === undefined ? undefined : (serverMs * 1_000) / count,
  };
}

function runsFigure(name: string, rounds: readonly Round[], target: string | undefined): Figure {
  const node = Math.round(median(rounds.map((round) => round.nodeUs)));
  const server = Math.round(median(rounds.map((round) => round.serverUs ?? Number.NaN)));
  const serverCost = Number.isNaN(server) ? '' : `, server ${server} µs`;
  return figure(
    name,
    'runs/s',
    rounds.map((round) => round.perSecond),
    { ...(target === undefined ? {} : { target }), note: `processor time a run: node ${node} µs${serverCost}` },
  );
}
