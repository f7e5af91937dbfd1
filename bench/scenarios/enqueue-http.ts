// How fast runs become durable over HTTP, called from a process of its own: one by one from 16 callers, and in batches.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createWorldServer } from '../../test/support/world-server.ts';
import { benchPipeline, startBenchWorld } from '../bench-world.ts';
import { figure, median, percentile } from '../figure.ts';
import type { CallerOrder, CallerReport } from '../http-callers.ts';
import type { Scenario } from '../scenario.ts';

const batch = 1_000;

export const enqueueHttp: Scenario = {
  name: 'http',
  about: 'runs made durable a second over HTTP: one by one from 16 callers, and in batches',
  async run(bench) {
    const pipeline = benchPipeline('single', 1);
    const world = await startBenchWorld(bench, { pipelines: [pipeline] });
    const server = createWorldServer(world);
    const single: number[] = [];
    const latencies: number[] = [];
    const batched: number[] = [];
    try {
      world.serve(false);
      await server.start();
      const path = `/api/v1/pipelines/${pipeline.id}/runs`;
      const one = { url: server.url, path, body: '{}', callers: 16 };
      const runs = Array.from({ length: batch }, () => ({}));
      const many = { url: server.url, path: `${path}/batch`, body: JSON.stringify({ runs }), callers: 4 };
      await call({ ...one, calls: 2_000 });
      for (let round = 0; round < bench.rounds; round += 1) {
        const calls = bench.quick ? 3_000 : 20_000;
        const report = await call({ ...one, calls });
        single.push(calls / report.seconds);
        latencies.push(percentile(report.latenciesMs, 0.99));
        const batches = bench.quick ? 10 : 100;
        batched.push((batches * batch) / (await call({ ...many, calls: batches })).seconds);
      }
    } finally {
      await server.stop();
      await world.stop();
    }
    const p99 = median(latencies).toFixed(1);
    return [
      figure('HTTP one by one', 'runs/s', single, { target: '≥ 8,000', note: `16 callers, p99 ${p99} ms` }),
      figure('HTTP in batches', 'runs/s', batched, { target: '≥ 70,000', note: `${batch} a batch, 4 callers` }),
    ];
  },
};

function call(order: CallerOrder): Promise<CallerReport> {
  const program = fileURLToPath(new URL('../http-callers.ts', import.meta.url));
  return new Promise((resolve, reject) => {
    const child = fork(program, [JSON.stringify(order)]);
    let report: CallerReport | undefined;
    child.on('message', (message) => {
      report = message as CallerReport;
    });
    child.on('error', reject);
    child.on('exit', (code) => {
      if (report) resolve(report);
      else reject(new Error(`the callers ended with exit code ${code} and no report`));
    });
  });
}
