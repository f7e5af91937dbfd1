// A daemon that stands still for longer than its lease and wakes up again, and one that is told to end under load.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/daemon-process.ts';
import type { WireQuery } from '../support/wire-proxy.ts';
import {
  type ChaosWorld,
  createChaosWorld,
  examine,
  type Place,
  settle,
  startCallers,
  startRun,
} from './chaos-world.ts';
import { figure, isFull } from './figures.ts';

const times = isFull ? 5 : 1;
const drainMs = 3_000;

const pipelines = [
  'id: short\nsteps: [{ id: only, uses: chaos.light, with: { dir: DIR, ms: 1500 } }]\n',
  'id: long\nsteps: [{ id: only, uses: chaos.light, with: { dir: DIR, ms: 8000 } }]\n',
  'id: quick\nsteps: [{ id: only, uses: chaos.light, with: { dir: DIR, ms: 100 } }]\n',
];

let world: ChaosWorld;
beforeAll(async () => {
  world = await createChaosWorld({ pipelines });
  await Promise.all([world.addPlace('a'), world.addPlace('b')]);
});
afterAll(() => world?.close());

function place(name: string): Place {
  const found = world.places.find((one) => one.name === name);
  if (!found) throw new Error(`no place ${name}`);
  return found;
}

/** Runs that the place's daemon has begun and not ended. */
async function underWay({ daemon }: Place): Promise<string[]> {
  const own = (await world.effects()).filter(({ pid }) => pid === daemon.pid);
  const over = new Set(own.filter(({ phase }) => phase !== 'begin').map(({ run }) => run));
  return own.filter(({ phase, run }) => phase === 'begin' && !over.has(run)).map(({ run }) => run);
}

/** Keeps ends of runs on their way; let go, it tells how many rows they came to. */
function holdFinishes({ proxy }: Place): { reached: Promise<void>; letGo(): Promise<number> } {
  let held = 0;
  let rows = 0;
  let reach = () => {};
  let release = () => {};
  let answered = () => {};
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const over = new Promise<void>((resolve) => {
    answered = resolve;
  });
  const isEnd = ({ name }: WireQuery) => /^finish_\w*runs$/.test(name);
  proxy.rules = {
    beforeForward(query) {
      if (!isEnd(query)) return undefined;
      held += 1;
      reach();
      return released;
    },
    afterAnswer(query, count) {
      if (!isEnd(query)) return;
      rows += count;
      held -= 1;
      if (held === 0) answered();
    },
  };
  return {
    reached,
    async letGo() {
      release();
      await over;
      proxy.rules = {};
      return rows;
    },
  };
}

async function startedThere(one: Place, ids: readonly string[]): Promise<readonly string[]> {
  return eventually('its steps have begun', async () => {
    const begun = (await underWay(one)).filter((id) => ids.includes(id));
    return begun.length === ids.length ? begun : undefined;
  });
}

describe('a daemon that stands still', () => {
  it('writes nothing that is stale, and ends its steps within a second of waking', { timeout: 300_000 }, async () => {
    const [a, b] = [place('a'), place('b')];
    const all: string[] = [];
    const abortedMs: number[] = [];
    let refused = 0;
    let stale = 0;
    for (let n = 0; n < times; n += 1) {
      // Only the one that will stop can take them.
      b.daemon.signal('SIGSTOP');
      const asked = ['long', 'long', 'short', 'short'].map((pipeline) => startRun([a], pipeline));
      const ids = await Promise.all(asked);
      await startedThere(a, ids);
      const held = holdFinishes(a);
      ids.push(await startRun([a], 'quick'));
      await held.reached;
      a.daemon.signal('SIGSTOP');
      b.daemon.signal('SIGCONT');
      const pid = a.daemon.pid;
      await eventually('the other has taken them over', async () => {
        const begun = (await world.effects()).filter((one) => one.phase === 'begin' && one.pid === b.daemon.pid);
        return ids.every((id) => begun.some(({ run }) => run === id)) ? true : undefined;
      });
      const rows = await held.letGo();
      refused += rows === 0 ? 1 : 0;
      stale += rows;
      const wokenAt = Date.now();
      a.daemon.signal('SIGCONT');
      const ends = await eventually('its steps have ended', async () => {
        const own = (await world.effects()).filter((one) => one.pid === pid && one.phase !== 'begin');
        const last = ids.map((id) => own.find(({ run }) => run === id));
        return last.every((one) => one !== undefined) ? last : undefined;
      });
      const aborted = ends.filter((one) => one?.phase === 'aborted lease_lost');
      expect(aborted.length).toBeGreaterThanOrEqual(2);
      abortedMs.push(...aborted.map((one) => (one?.at ?? 0) - wokenAt));
      all.push(...ids);
    }
    await settle(world);
    const found = await examine(world, all, new Set([a.daemon.pid]));
    figure(
      `SIGSTOP past the lease, then SIGCONT, ${times} times`,
      'every stale write refused, abort ≤ 1 s after waking',
      `${refused} stale writes refused, ${stale} accepted, ${found.twice.length} ends twice, ` +
        `${abortedMs.length} steps aborted ≤ ${Math.max(...abortedMs)} ms after waking`,
    );
    expect([refused, stale]).toEqual([times, 0]);
    expect([found.lost, found.twice, found.repeatedForNothing, found.deadLetters]).toEqual([[], [], [], []]);
    expect(Math.max(...abortedMs)).toBeLessThanOrEqual(1_000);
  });
});

describe('a daemon that is told to end', () => {
  it('ends within its grace and two seconds, and its runs go on elsewhere', { timeout: 300_000 }, async () => {
    const endedMs: number[] = [];
    const reclaimedMs: number[] = [];
    const callers = startCallers(world.places, ['quick', 'long', 'quick', 'quick'], 8);
    const stopped = new Set<number>();
    for (let n = 0; n < times; n += 1) {
      const one = place(n % 2 === 0 ? 'a' : 'b');
      const other = place(n % 2 === 0 ? 'b' : 'a');
      await eventually('it works on long runs', async () => ((await underWay(one)).length >= 2 ? true : undefined));
      stopped.add(one.daemon.pid);
      const from = performance.now();
      one.daemon.signal('SIGTERM');
      const { code } = await one.daemon.ended;
      endedMs.push(Math.round(performance.now() - from));
      expect(code).toBe(0);
      const endedAt = Date.now();
      const left = (await world.effects()).filter(
        ({ pid, phase }) => pid === one.daemon.pid && phase === 'aborted shutdown',
      );
      expect(left.length).toBeGreaterThan(0);
      const runs = new Set(left.map(({ run }) => run));
      const again = await eventually('all that it gave back goes on', async () => {
        const begun = (await world.effects()).filter(
          ({ run, phase, pid }) => runs.has(run) && phase === 'begin' && pid === other.daemon.pid,
        );
        return new Set(begun.map(({ run }) => run)).size === runs.size ? begun : undefined;
      });
      reclaimedMs.push(Math.max(0, Math.max(...again.map(({ at }) => at)) - endedAt));
      await one.restart();
    }
    const ids = await callers.stop();
    await settle(world, 120_000);
    const found = await examine(world, ids, stopped);
    figure(
      `SIGTERM under load, ${times} times`,
      `exit ≤ grace (${drainMs / 1_000} s) + 2 s, reclaimed ≤ 5 s elsewhere`,
      `exit ≤ ${Math.max(...endedMs)} ms, reclaimed ≤ ${Math.max(...reclaimedMs)} ms after, ${found.lost.length} lost`,
    );
    expect([found.lost, found.twice, found.deadLetters]).toEqual([[], [], []]);
    expect(Math.max(...endedMs)).toBeLessThanOrEqual(drainMs + 2_000);
    expect(Math.max(...reclaimedMs)).toBeLessThanOrEqual(5_000);
  });
});
