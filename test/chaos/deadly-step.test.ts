// A step that ends the whole daemon, wherever it is taken up.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/daemon-process.ts';
import { sql } from '../support/http-world.ts';
import {
  type ChaosWorld,
  createChaosWorld,
  examine,
  type Place,
  settle,
  startCallers,
  startRun,
} from './chaos-world.ts';
import { figure } from './figures.ts';

const pipelines = [
  'id: deadly\nsteps: [{ id: only, uses: chaos.kills, with: { dir: DIR } }]\n',
  'id: harmless\nsteps: [{ id: only, uses: chaos.light, with: { dir: DIR, ms: 50 } }]\n',
];

let world: ChaosWorld;
beforeAll(async () => {
  world = await createChaosWorld({ pipelines });
  await Promise.all([world.addPlace('a'), world.addPlace('b')]);
});
afterAll(() => world?.close());

/** As a supervisor does it, until told otherwise. */
function keepAlive(place: Place): { stop(): Promise<void> } {
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      const end = await Promise.race([
        place.daemon.ended,
        eventually('over', () => (isOver ? true : undefined), 300_000),
      ]);
      if (end === true) return;
      world.killed.add(place.daemon.pid);
      await place.restart();
    }
  })();
  return {
    async stop() {
      isOver = true;
      await watching;
    },
  };
}

describe('a step that kills its process', () => {
  it('is a dead letter after three claims, and other runs end as ever', { timeout: 180_000 }, async () => {
    const keepers = world.places.map(keepAlive);
    const callers = startCallers(world.places, ['harmless'], 5);
    const deadly = await startRun(world.places, 'deadly');
    const from = performance.now();
    await eventually(
      'it is a dead letter',
      async () => {
        const [run] = await sql<{ state: string | null }>(
          world.test.db,
          'select state from cronwright.runs where id = $1',
          [deadly],
        );
        return run?.state === 'dead_letter' ? true : undefined;
      },
      120_000,
    );
    const seconds = Math.round((performance.now() - from) / 1_000);
    const ids = await callers.stop();
    await Promise.all(keepers.map((keeper) => keeper.stop()));
    await settle(world);
    const begun = (await world.effects()).filter(({ run, phase }) => run === deadly && phase === 'begin');
    const found = await examine(world, ids);
    figure(
      'a step that kills its process',
      'dead-lettered after 3 claims, other runs unaffected',
      `${begun.length} claims, dead letter after ${seconds} s; ${ids.length} other runs, ${found.lost.length} lost, ` +
        `${found.deadLetters.length - 1} of them dead letters`,
    );
    expect(begun).toHaveLength(3);
    expect([found.lost, found.twice, found.repeatedForNothing]).toEqual([[], [], []]);
    expect(found.deadLetters).toEqual([deadly]);
    expect(ids.length).toBeGreaterThan(20);
  });
});
