// How fast runs become durable, in this process: one by one with 16 in flight, and in batches of 1,000.
import { createRunStarter } from '../../src/control/start-run.ts';
import { startRuns } from '../../src/control/start-runs.ts';
import { benchPipeline, startBenchWorld } from '../bench-world.ts';
import { figure } from '../figure.ts';
import type { Scenario } from '../scenario.ts';

const caller = { tenant: 'default', actor: 'bench', origin: 'api' } as const;
const inFlight = 16;
const batch = 1_000;

export const enqueue: Scenario = {
  name: 'enqueue',
  about: 'runs made durable a second, in-process: one by one from 16 callers, and in batches',
  onPglite: true,
  async run(bench) {
    const pipeline = benchPipeline('single', 1);
    const world = await startBenchWorld(bench, { pipelines: [pipeline] });
    const single: number[] = [];
    const batched: number[] = [];
    try {
      world.serve(false);
      const starter = createRunStarter(world.engine.control);
      const oneByOne = (count: number) => {
        let left = count;
        const lane = async () => {
          while (left > 0) {
            left -= 1;
            await starter.start(pipeline.id, {}, caller);
          }
        };
        return perSecond(count, () => Promise.all(Array.from({ length: inFlight }, lane)));
      };
      const inBatches = (count: number) =>
        perSecond(count, async () => {
          const requests = Array.from({ length: batch }, () => ({}));
          for (let left = count; left > 0; left -= batch) await startRuns(starter, pipeline.id, requests, caller);
        });
      await oneByOne(2_000);
      await inBatches(4_000);
      for (let round = 0; round < bench.rounds; round += 1) {
        single.push(await oneByOne(bench.quick ? 3_000 : 20_000));
        batched.push(await inBatches(bench.quick ? 10_000 : 60_000));
      }
    } finally {
      await world.stop();
    }
    const on = bench.pglite ? ' (PGlite)' : '';
    return [
      figure(`enqueue one by one${on}`, 'runs/s', single, { target: '≥ 20,000', note: `${inFlight} in flight` }),
      figure(`enqueue in batches${on}`, 'runs/s', batched, { note: `${batch} a batch, one after the other` }),
    ];
  },
};

async function perSecond(count: number, work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return (count / (performance.now() - from)) * 1_000;
}
