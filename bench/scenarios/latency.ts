// How soon a step begins on an idle node: after an enqueue here or on another node, and after a schedule's nominal instant.
import { setTimeout as sleep } from 'node:timers/promises';
import { createRunStarter } from '../../src/control/start-run.ts';
import { benchPipeline, benchSchedule, startBenchWorld } from '../bench-world.ts';
import { figure, percentile } from '../figure.ts';
import type { Bench, Scenario } from '../scenario.ts';
import { startSecondNode } from '../start-second-node.ts';

const caller = { tenant: 'default', actor: 'bench', origin: 'api' } as const;

export const latency: Scenario = {
  name: 'latency',
  about: 'enqueue → step starts (in-process, and from another node by NOTIFY) and due → step starts on an idle node',
  async run(bench) {
    const single = benchPipeline('single', 1);
    const timed = benchPipeline('timed', 1, { schedules: [benchSchedule('timed', 'every_second', '* * * * * *')] });
    const enqueued: number[][] = [];
    const due: number[][] = [];
    const idle = await startBenchWorld(bench, { pipelines: [single] });
    try {
      const starter = createRunStarter(idle.engine.control);
      const once = () =>
        new Promise<number>((resolve, reject) => {
          const from = performance.now();
          idle.onStep = () => resolve(performance.now() - from);
          starter.start(single.id, {}, caller).catch(reject);
        });
      for (let i = 0; i < 300; i += 1) await once();
      for (let round = 0; round < bench.rounds; round += 1) {
        const times: number[] = [];
        for (let i = 0; i < (bench.quick ? 200 : 1_000); i += 1) {
          times.push(await once());
          // Long enough for the node to be idle again.
          await sleep(bench.quick ? 2 : 5);
        }
        enqueued.push(times);
      }
    } finally {
      await idle.stop();
    }
    const hinted = await fromAnotherNode(bench);
    const scheduled = await startBenchWorld(bench, { pipelines: [timed], schedules: true });
    try {
      const { clock } = scheduled.engine;
      for (let round = 0; round < bench.rounds; round += 1) {
        const times: number[] = [];
        scheduled.onStep = () => times.push(clock.now() % 1_000);
        await sleep(bench.quick ? 4_000 : 30_000);
        // Whoever fires right after the start does so for a nominal time that has passed.
        due.push(times.slice(1));
      }
    } finally {
      await scheduled.stop();
    }
    return [
      figure('enqueue → step starts, p50', 'ms', at(enqueued, 0.5), { target: '≤ 2.5' }),
      figure('enqueue → step starts, p99', 'ms', at(enqueued, 0.99), { target: '≤ 6' }),
      figure('enqueue on another node → step starts, p50', 'ms', at(hinted, 0.5), { target: '≤ 3.5' }),
      figure('enqueue on another node → step starts, p99', 'ms', at(hinted, 0.99), { target: '≤ 8.5' }),
      figure('due → step starts, p50', 'ms', at(due, 0.5), { target: '≤ 5' }),
      figure('due → step starts, p99', 'ms', at(due, 0.99), { target: '≤ 15', note: `${due[0]?.length ?? 0} a round` }),
    ];
  },
};

/** The other node is a process of its own; the clock is the machine's monotonic one, which both read. */
async function fromAnotherNode(bench: Bench): Promise<number[][]> {
  const rounds: number[][] = [];
  const world = await startBenchWorld(bench, { pipelines: [benchPipeline('single', 1)], schedules: true });
  try {
    const other = await startSecondNode(world.url ?? '');
    const once = async () => {
      const began = new Promise<bigint>((resolve) => {
        world.onStep = () => resolve(process.hrtime.bigint());
      });
      const askedAt = await other.enqueue();
      return Number((await began) - askedAt) / 1e6;
    };
    for (let i = 0; i < 300; i += 1) await once();
    for (let round = 0; round < bench.rounds; round += 1) {
      const times: number[] = [];
      for (let i = 0; i < (bench.quick ? 200 : 1_000); i += 1) {
        times.push(await once());
        await sleep(bench.quick ? 15 : 20);
      }
      rounds.push(times);
    }
    await other.stop();
  } finally {
    await world.stop();
  }
  return rounds;
}

function at(rounds: readonly (readonly number[])[], share: number): number[] {
  return rounds.map((times) => percentile(times, share));
}
