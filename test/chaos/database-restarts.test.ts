// PostgreSQL ends without a word and comes back, again and again, under load.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/daemon-process.ts';
import type { TestDatabase } from '../support/database.ts';
import type { OwnCluster } from '../support/postgres-server.ts';
import { seededRandom, seedOfThisRun } from '../support/seeded-random.ts';
import { type ChaosWorld, createChaosWorld, createOwnDatabase, examine, settle, startCallers } from './chaos-world.ts';
import { figure, isFull } from './figures.ts';

const seed = seedOfThisRun();
const restarts = isFull ? 20 : 3;

const pipelines = [
  `
id: chain
schedules: [{ id: tick, cron: "* * * * * *", overlap: allow, catchup: { policy: all, window: 1h } }]
steps:
  - { id: first, uses: chaos.light, with: { dir: DIR, ms: 20 } }
  - { id: second, uses: chaos.saves, with: { dir: DIR, ms: 100 } }
`,
  `
id: narrow
concurrency: { limit: 2 }
steps:
  - { id: only, uses: chaos.heavy, with: { dir: DIR, ms: 20 } }
`,
];

let test: TestDatabase & { cluster: OwnCluster };
let world: ChaosWorld;
beforeAll(async () => {
  test = await createOwnDatabase();
  world = await createChaosWorld({ pipelines, test });
  await Promise.all([world.addPlace('a'), world.addPlace('b')]);
});
afterAll(() => world?.close());

async function isReady(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
  return answer?.status === 200;
}

describe(`immediate restarts of PostgreSQL (CHAOS_SEED=${seed})`, () => {
  it(`loses no acknowledged run in ${restarts} of them`, { timeout: restarts * 30_000 + 120_000 }, async () => {
    const random = seededRandom(seed);
    const callers = startCallers(world.places, ['chain', 'narrow', 'chain'], 15);
    const healthyMs: number[] = [];
    for (let n = 0; n < restarts; n += 1) {
      await sleep(1_000 + random() * 2_000);
      await test.cluster.restartImmediately();
      const from = performance.now();
      await eventually(
        'all daemons are ready',
        async () => {
          const ready = await Promise.all(world.places.map(({ daemon }) => isReady(daemon.url)));
          return ready.every(Boolean) ? true : undefined;
        },
        15_000,
        () => world.places.map(({ daemon }) => daemon.output().slice(-1_500)),
      );
      healthyMs.push(Math.round(performance.now() - from));
    }
    const ids = await callers.stop();
    await settle(world);
    const pids = new Set(world.places.map(({ daemon }) => daemon.pid));
    // A database that is away for longer than leases costs the runs of their holders: their steps may run again.
    const found = await examine(world, ids, pids);
    figure(
      `${restarts} immediate restarts of PostgreSQL under load`,
      '0 acknowledged runs lost, healthy ≤ 15 s after each',
      `${ids.length} acknowledged, ${found.lost.length} lost, ${found.twice.length} twice, ${found.repeats} steps ` +
        `repeated, healthy ≤ ${Math.max(...healthyMs)} ms after the server answers`,
    );
    expect([found.lost, found.twice, found.deadLetters]).toEqual([[], [], []]);
    expect(ids.length).toBeGreaterThan(restarts * 5);
  });
});
