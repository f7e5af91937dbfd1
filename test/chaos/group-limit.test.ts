// A limit on a group of pipelines, counted by what the steps themselves wrote down, while daemons are killed.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom, seedOfThisRun } from '../support/seeded-random.ts';
import { type ChaosWorld, createChaosWorld, type Effect, examine, leaseMs, settle, startRun } from './chaos-world.ts';
import { figure, isFull } from './figures.ts';

const seed = seedOfThisRun();
const kills = isFull ? 12 : 2;
const limit = 3;
/** A lease, and the time in which a rescue is promised. */
const longestGapMs = leaseMs + 5_000;

const member = (id: string) =>
  `id: ${id}\nconcurrency: { limit: ${limit}, group: narrow }\nsteps: [{ id: only, uses: chaos.heavy, with: { dir: DIR, ms: 300 } }]\n`;

let world: ChaosWorld;
beforeAll(async () => {
  world = await createChaosWorld({ pipelines: [member('one'), member('two')] });
  const args = ['--workers', '8'];
  await Promise.all([world.addPlace('a', { args }), world.addPlace('b', { args })]);
});
afterAll(() => world?.close());

interface Held {
  from: number;
  to: number;
}

/** When each step ran: until its end, or until its daemon was killed. */
function intervals(effects: readonly Effect[], deaths: ReadonlyMap<number, number>): Held[] {
  return effects
    .filter(({ phase }) => phase === 'begin')
    .map(({ run, pid, at }) => {
      const end = effects.find((one) => one.run === run && one.pid === pid && one.phase !== 'begin' && one.at >= at);
      return { from: at, to: end?.at ?? deaths.get(pid) ?? Number.POSITIVE_INFINITY };
    });
}

function mostAtOnce(held: readonly Held[]): number {
  // At one instant an end comes before a beginning: the file tells milliseconds.
  const changes = held.flatMap(({ from, to }) => [
    { at: from, by: 1 },
    { at: to, by: -1 },
  ]);
  changes.sort((x, y) => x.at - y.at || x.by - y.by);
  let now = 0;
  let most = 0;
  for (const { by } of changes) {
    now += by;
    most = Math.max(most, now);
  }
  return most;
}

/** The longest time with fewer than the limit at work, between the first beginning and `until`. */
function longestShortage(held: readonly Held[], until: number): number {
  const starts = Math.min(...held.map(({ from }) => from));
  const instants = [...new Set([starts, until, ...held.flatMap(({ from, to }) => [from, to])])];
  const points = instants.filter((at) => at >= starts && at <= until).sort((x, y) => x - y);
  let since: number | undefined;
  let longest = 0;
  for (const at of points) {
    const running = held.filter(({ from, to }) => from <= at && at < to).length;
    if (running < limit) since ??= at;
    if (since !== undefined) longest = Math.max(longest, at - since);
    if (running >= limit) since = undefined;
  }
  return longest;
}

describe(`a limit of ${limit} on a group (CHAOS_SEED=${seed})`, () => {
  it(`holds with 16 workers on 2 nodes and ${kills} kills`, { timeout: kills * 30_000 + 180_000 }, async () => {
    const random = seededRandom(seed);
    const deaths = new Map<number, number>();
    const count = 40 + kills * 60;
    const ids = await Promise.all(
      Array.from({ length: count }, (_, n) => startRun(world.places, n % 2 === 0 ? 'one' : 'two')),
    );
    for (let n = 0; n < kills; n += 1) {
      await sleep(1_000 + random() * 2_000);
      const place = world.places[Math.floor(random() * world.places.length)];
      if (!place) continue;
      deaths.set(place.daemon.pid, Date.now());
      place.kill();
      await place.restart();
    }
    await settle(world, 180_000);
    const effects = await world.effects();
    const found = await examine(world, ids);
    const held = intervals(effects, deaths);
    const most = mostAtOnce(held);
    // From the beginning of the last few on there is no work for all.
    const last = [...held].sort((x, y) => x.from - y.from).at(-limit)?.from ?? 0;
    const shortage = Math.round(longestShortage(held, last));
    figure(
      `limit ${limit} on a group, 8 workers on each of 2 nodes, ${kills} kills`,
      `never more than ${limit} at once, never fewer for longer than a lease (+ 5 s of rescue)`,
      `${ids.length} runs, at most ${most} at once, fewer for ≤ ${shortage} ms, ${found.lost.length} lost`,
    );
    expect(most).toBe(limit);
    expect(shortage).toBeLessThanOrEqual(longestGapMs);
    expect([found.lost, found.twice, found.repeatedForNothing, found.deadLetters]).toEqual([[], [], [], []]);
  });
});
