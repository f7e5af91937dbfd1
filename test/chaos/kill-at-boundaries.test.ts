// kill -9 of a daemon just before or just after each statement that makes something durable, while the other goes on.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/daemon-process.ts';
import { sql } from '../support/http-world.ts';
import { seededRandom, seedOfThisRun } from '../support/seeded-random.ts';
import type { WireQuery } from '../support/wire-proxy.ts';
import {
  type ChaosWorld,
  createChaosWorld,
  examine,
  leaseMs,
  type Place,
  settle,
  startRun,
  storyOf,
} from './chaos-world.ts';
import { figure, isFull } from './figures.ts';

/** Each round has a seed of its own: `CHAOS_SEED=… CHAOS_ROUNDS=1` has one again. */
const firstSeed = seedOfThisRun();
const rounds = Number(process.env.CHAOS_ROUNDS ?? (isFull ? 200 : 8));

const pipelines = [
  `
id: chain
schedules: [{ id: tick, cron: "* * * * * *", overlap: allow, catchup: { policy: all, window: 1h } }]
steps:
  - { id: first, uses: chaos.light, with: { dir: DIR, ms: 50 } }
  - { id: second, uses: chaos.saves, with: { dir: DIR, ms: 100 } }
  - { id: third, uses: chaos.light, with: { dir: DIR, ms: 50 } }
`,
  `
id: narrow
concurrency: { limit: 2 }
schedules: [{ id: tick, cron: "* * * * * *", overlap: queue_all, catchup: { policy: all, window: 1h } }]
steps:
  - { id: only, uses: chaos.light, with: { dir: DIR, ms: 50 } }
`,
  `
id: heavy
steps:
  - { id: first, uses: chaos.heavy, with: { dir: DIR, ms: 100 } }
  - { id: last, uses: chaos.light, with: { dir: DIR, ms: 10 } }
`,
];

const makes = (name: string) => (query: WireQuery) =>
  query.commits && (query.name === name || query.within.includes(name));
const checkpoints = (state: string) => (query: WireQuery) => makes('write_checkpoints')(query) && query.mentions(state);
const boundaries: Readonly<Record<string, (query: WireQuery) => boolean>> = {
  enqueue: makes('enqueue_runs'),
  admit: makes('take_slots'),
  claim: makes('claim_runs'),
  'step start': checkpoints('running'),
  checkpoint: (query) => checkpoints('completed')(query) || makes('save_step_checkpoint')(query),
  finish: (query) => query.commits && /^finish_\w*runs$/.test(query.name),
  'schedule commit': makes('commit_due'),
};

let world: ChaosWorld;
beforeAll(async () => {
  world = await createChaosWorld({ pipelines });
  await Promise.all([world.addPlace('a'), world.addPlace('b')]);
});
afterAll(() => world?.close());

interface Round {
  boundary: string;
  moment: 'before' | 'after';
  /** The so-and-so-many-th statement that fits. */
  nth: number;
}

function drawRound(random: () => number): Round {
  const names = Object.keys(boundaries);
  const boundary = names[Math.floor(random() * names.length)] ?? 'claim';
  return { boundary, moment: random() < 0.5 ? 'before' : 'after', nth: 1 + Math.floor(random() * 3) };
}

/** Resolves with the place whose daemon has been killed at the boundary. */
function arm({ boundary, moment, nth }: Round): Promise<Place> {
  const fits = boundaries[boundary] ?? (() => false);
  let left = nth;
  return new Promise((resolve) => {
    for (const place of world.places) {
      const strike = (query: WireQuery, rows: number) => {
        // A claim that finds nothing is no boundary.
        if (left === 0 || !fits(query) || (moment === 'after' && boundary === 'claim' && rows === 0)) return;
        left -= 1;
        if (left > 0) return;
        place.kill();
        for (const { proxy } of world.places) proxy.rules = {};
        resolve(place);
      };
      place.proxy.rules =
        moment === 'before' ? { beforeForward: (query) => strike(query, 1) } : { afterAnswer: strike };
    }
  });
}

/** Milliseconds from the kill until each run that the node held is in other hands. */
async function untilResumed(node: string, from: number): Promise<number> {
  // What was on its way when the connections were cut is done by now, or never will be.
  await sleep(200);
  const held = await sql<{ run_id: string; token: number }>(
    world.test.db,
    `select run_id, token from cronwright.queue where node = $1 and state = 'running'`,
    [node],
  );
  const ids = held.map((run) => run.run_id);
  await eventually(
    `${ids.length} runs go on`,
    async () => {
      const rows = await sql<{ run_id: string; token: number; state: string }>(
        world.test.db,
        'select run_id, token, state from cronwright.queue where run_id = any($1::uuid[])',
        [ids],
      );
      const isWaiting = held.some(({ run_id: id, token }) => {
        const now = rows.find((row) => row.run_id === id);
        return now !== undefined && !(now.token > token + 1 || (now.token > token && now.state === 'running'));
      });
      return isWaiting ? undefined : true;
    },
    leaseMs + 15_000,
  );
  return ids.length === 0 ? 0 : Math.round(performance.now() - from);
}

describe(`kill -9 at the boundaries (CHAOS_SEED=${firstSeed})`, () => {
  it(`loses nothing and does nothing twice in ${rounds} kills`, { timeout: rounds * 30_000 + 120_000 }, async () => {
    const acknowledged: Promise<string>[] = [];
    const struck = new Map<string, number>();
    const resumed: number[] = [];
    for (let n = 0; n < rounds; n += 1) {
      const seed = firstSeed + n;
      const random = seededRandom(seed);
      const round = drawRound(random);
      const struckAt = arm(round);
      const work = ['chain', 'chain', 'narrow', 'narrow', 'narrow', 'heavy'];
      // Which place is asked first is chance, too.
      const asked = random() < 0.5 ? world.places : [...world.places].reverse();
      for (const pipeline of work) acknowledged.push(startRun(asked, pipeline));
      const place = await Promise.race([struckAt, sleep(20_000)]);
      if (!place) throw new Error(`no statement at ${JSON.stringify(round)}, CHAOS_SEED=${seed} CHAOS_ROUNDS=1`);
      const from = performance.now();
      const node = place.node;
      const [, ms] = await Promise.all([place.restart(), untilResumed(node, from)]);
      if (ms > 0) resumed.push(ms);
      if (ms > leaseMs + 5_000) throw new Error(`resumed after ${ms} ms, CHAOS_SEED=${seed} CHAOS_ROUNDS=1`);
      const name = `${round.moment} ${round.boundary}`;
      struck.set(name, (struck.get(name) ?? 0) + 1);
    }
    const ids = await Promise.all(acknowledged);
    await settle(world);
    const found = await examine(world, ids);
    console.info(Object.fromEntries(struck), { resumed: resumed.sort((a, b) => a - b) });
    figure(
      `kill -9 before and after every boundary, ${rounds} kills`,
      '0 lost, 0 twice, a step repeats at most once a kill, resumed ≤ 7 s',
      `${found.runs} runs, ${found.lost.length} lost, ${found.twice.length} twice, ${found.repeats} steps repeated, ` +
        `${found.repeatedForNothing.length} without a kill, resumed in ≤ ${Math.max(0, ...resumed)} ms ` +
        `(median ${resumed[Math.floor(resumed.length / 2)] ?? 0}), ${found.leasesLost} leases of others lost, ` +
        `${found.deadLetters.length} dead letters`,
    );
    const { lost, twice, repeatedForNothing, deadLetters } = found;
    expect([lost, twice, repeatedForNothing, deadLetters], storyOf(world, found)).toEqual([[], [], [], []]);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
