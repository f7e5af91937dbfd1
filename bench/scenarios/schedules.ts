// Many schedules: how long registering them takes, what they weigh, and how soon 10,000 that are due together are enqueued.
import { setTimeout as sleep } from 'node:timers/promises';
import { applySchedules } from '../../src/schedule/apply-schedules.ts';
import { benchPipeline, benchSchedule, startBenchWorld } from '../bench-world.ts';
import { figure } from '../figure.ts';
import type { Scenario } from '../scenario.ts';

export const schedules: Scenario = {
  name: 'schedules',
  about: '100,000 schedules registered, and 10,000 due in one second enqueued',
  async run(bench) {
    const total = bench.quick ? 10_000 : 100_000;
    const dueTogether = bench.quick ? 1_000 : 10_000;
    // Hours away from now, so that nothing but the ones of the second part is due.
    const hour = (new Date().getUTCHours() + 12) % 24;
    const quiet = Array.from({ length: total }, (_, i) =>
      benchSchedule('quiet', `s${i}`, `${i % 60} ${Math.floor(i / 60) % 60} ${hour} ${1 + (i % 28)} * *`),
    );
    const pipelines = [benchPipeline('quiet', 1), benchPipeline('due', 1)];
    const world = await startBenchWorld(bench, { pipelines, schedules: true });
    try {
      const before = process.memoryUsage().rss;
      const from = performance.now();
      await applySchedules(world.db, quiet, world.engine.clock.now());
      const registered = (performance.now() - from) / 1_000;
      const memory = (process.memoryUsage().rss - before) / 2 ** 20;
      world.serve(false);
      const late: number[] = [];
      for (let round = 0; round < bench.rounds; round += 1) {
        late.push(await allEnqueuedAfter(world, dueTogether, quiet, round));
      }
      return [
        figure(`${total.toLocaleString('en-US')} schedules registered`, 's', [registered], { target: '≤ 10' }),
        figure('memory they added', 'MB', [memory], { target: '≤ 200' }),
        figure(`${dueTogether.toLocaleString('en-US')} due in one second, last enqueued after`, 'ms', late, {
          target: '≤ 1,000',
          note: 'from the nominal instant to the last one durable',
        }),
      ];
    } finally {
      await world.stop();
    }
  },
};

/** Milliseconds from the nominal instant until all are durable. */
async function allEnqueuedAfter(
  world: Awaited<ReturnType<typeof startBenchWorld>>,
  count: number,
  others: readonly ReturnType<typeof benchSchedule>[],
  round: number,
): Promise<number> {
  const { clock } = world.engine;
  // Far enough for the registration to be over.
  const at = new Date(Math.ceil(clock.now() / 1_000) * 1_000 + (count >= 10_000 ? 20_000 : 6_000));
  const cron = `${at.getUTCSeconds()} ${at.getUTCMinutes()} ${at.getUTCHours()} * * *`;
  const due = Array.from({ length: count }, (_, i) => benchSchedule('due', `r${round}_${i}`, cron));
  let enqueued = 0;
  let lastAt = 0;
  const end = world.events.on('schedule.due', () => {
    enqueued += 1;
    lastAt = clock.now();
  });
  await applySchedules(world.db, [...others, ...due], clock.now());
  if (clock.now() > at.getTime()) throw new Error('registering took longer than the time left to the instant');
  world.engine.control.wake.scheduler();
  while (enqueued < count) {
    if (clock.now() > at.getTime() + 60_000) throw new Error(`${enqueued} of ${count} were enqueued within a minute`);
    await sleep(20);
  }
  end();
  return lastAt - at.getTime();
}
