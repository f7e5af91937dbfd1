// Every query takes two seconds longer, with the lease that is the default.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ChaosWorld, createChaosWorld, examine, settle, startCallers } from './chaos-world.ts';
import { figure, isFull } from './figures.ts';

const seconds = isFull ? 180 : 15;
/** A start takes several statements of two seconds each: what the connections of one daemon carry without a line. */
const callsPerSecond = 0.5;
/** What a heap that is not collected in between may come to. */
const mostGrowthMb = 64;

const pipelines = [
  `
id: chain
steps:
  - { id: first, uses: chaos.light, with: { dir: DIR, ms: 50 } }
  - { id: second, uses: chaos.light, with: { dir: DIR, ms: 50 } }
`,
];

let world: ChaosWorld;
beforeAll(async () => {
  world = await createChaosWorld({ pipelines, settings: 'timing: { lease: 30s, heartbeat: 5s }\n' });
  await world.addPlace('a');
});
afterAll(() => world?.close());

function rssMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kb) / 1024);
}

describe('a database that is slow', () => {
  it('costs time, but no lease and no memory', { timeout: seconds * 1_000 + 180_000 }, async () => {
    const [place] = world.places;
    if (!place) throw new Error('no daemon');
    const callers = startCallers(world.places, ['chain'], callsPerSecond);
    await sleep(5_000);
    place.proxy.rules = { delayMs: 2_000 };
    // Runs in flight have become many: what grows from here on grows for ever.
    await sleep((seconds * 1_000) / 3);
    const before = rssMb(place.daemon.pid);
    await sleep((seconds * 2_000) / 3);
    const after = rssMb(place.daemon.pid);
    const ids = await callers.stop();
    place.proxy.rules = {};
    await settle(world, 120_000);
    const found = await examine(world, ids);
    const leases = place.daemon.log.filter(({ msg }) => msg === 'run.lease_lost').length;
    figure(
      `every query +2 s for ${seconds} s`,
      'no false lease loss, memory flat',
      `${ids.length} runs, ${leases} leases lost, ${found.lost.length} runs lost, RSS ${before} → ${after} MB`,
    );
    expect(leases).toBe(0);
    expect([found.lost, found.twice, found.repeatedForNothing, found.deadLetters]).toEqual([[], [], [], []]);
    expect(after - before).toBeLessThan(mostGrowthMb);
    // The last ones were given up when the callers stopped.
    expect(ids.length).toBeGreaterThan((seconds * callsPerSecond) / 2);
  });
});
