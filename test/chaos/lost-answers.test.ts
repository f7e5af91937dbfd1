// The connection is cut after a commit was sent and done, before its answer arrives: again and again, under load.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isRead } from '../../src/db/statement-names.ts';
import { eventually } from '../support/daemon-process.ts';
import { seededRandom, seedOfThisRun } from '../support/seeded-random.ts';
import { randomFaults } from '../support/wire-proxy.ts';
import { type ChaosWorld, createChaosWorld, examine, settle, startCallers, storyOf } from './chaos-world.ts';
import { figure, isFull } from './figures.ts';

const seed = seedOfThisRun();
const cuts = isFull ? 1_000 : 120;

const pipelines = [
  `
id: chain
schedules: [{ id: tick, cron: "* * * * * *", overlap: allow, catchup: { policy: all, window: 1h } }]
steps:
  - { id: first, uses: chaos.light, with: { dir: DIR } }
  - { id: second, uses: chaos.saves, with: { dir: DIR } }
`,
  `
id: narrow
concurrency: { limit: 2 }
schedules: [{ id: tick, cron: "* * * * * *", overlap: queue_all, catchup: { policy: all, window: 1h } }]
steps:
  - { id: only, uses: chaos.heavy, with: { dir: DIR } }
`,
];

let world: ChaosWorld;
beforeAll(async () => {
  world = await createChaosWorld({ pipelines });
  await world.addPlace('a');
});
afterAll(() => world?.close());

describe(`connections cut after COMMIT was sent (CHAOS_SEED=${seed})`, () => {
  it(`loses nothing and does nothing twice in ${cuts} cuts`, { timeout: 600_000 }, async () => {
    const [place] = world.places;
    if (!place) throw new Error('no daemon');
    const where = new Map<string, number>();
    const draw = randomFaults(seededRandom(seed), { cutAfter: 0.2, among: ({ text }) => !isRead(text) });
    place.proxy.rules = {
      fault: (query) => {
        const fault = draw(query);
        const name = query.name === 'commit' ? (query.within.find((one) => one !== 'begin') ?? 'commit') : query.name;
        if (fault) where.set(name, (where.get(name) ?? 0) + 1);
        return fault;
      },
    };
    const callers = startCallers(world.places, ['chain', 'narrow', 'chain'], 15);
    await eventually(
      `${cuts} cuts`,
      () => (place.proxy.injected.cut_after >= cuts ? true : undefined),
      500_000,
      () => [place.proxy.injected, place.daemon.output().slice(-2_000)],
    );
    place.proxy.rules = {};
    const ids = await callers.stop();
    await settle(world);
    const found = await examine(world, ids);
    console.info(Object.fromEntries(where));
    figure(
      `connection cut after COMMIT was sent, ${place.proxy.injected.cut_after} times`,
      '0 lost, 0 twice',
      `${found.runs} runs, ${found.lost.length} lost, ${found.twice.length} twice, ${found.repeats} steps repeated, ` +
        `${found.leasesLost} leases lost, ${found.deadLetters.length} dead letters`,
    );
    const { lost, twice, repeatedForNothing, deadLetters } = found;
    expect([lost, twice, repeatedForNothing, deadLetters], storyOf(world, found)).toEqual([[], [], [], []]);
    expect(ids.length).toBeGreaterThan(cuts / 10);
  });
});
