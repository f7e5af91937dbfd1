// How often a node looks through the queue for runs that a pause is to hold.
import { uuidv7 } from 'uuidv7';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/migrate.ts';
import { createPauseSweep } from '../../src/maintenance/pause-sweep.ts';
import { createEventBus } from '../../src/observe/events.ts';
import { beginPause } from '../../src/queue/pauses.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/engine-world.ts';

let test: TestDatabase;
let asked: string[];

beforeEach(async () => {
  test = await createTestDatabase('pglite');
  await migrate(test.db);
  asked = [];
});
afterEach(() => test.close());

/** Sweeps while the clock says that so much time has passed since the pause began. */
async function sweepAt(ageMs: number): Promise<{ sweeps: number; looks: number }> {
  const db: Database = {
    ...test.db,
    kind: test.db.kind,
    query: (statement, params) => {
      asked.push(statement.name);
      return test.db.query(statement, params);
    },
    transaction: (work, options) => test.db.transaction(work, options),
  };
  const begun = new Date();
  const clock: Clock = { now: () => begun.getTime() + ageMs, monotonic: systemClock.monotonic };
  const pause = { id: uuidv7(), tenant: 'default', pipeline: 'p', by: 'maria', reason: null, until: null };
  await test.db.transaction((tx) => beginPause(tx, pause, begun));
  const sweep = createPauseSweep({
    db,
    clock,
    events: createEventBus(),
    everyMs: 1,
    idleMs: 60_000,
    onReady: () => {},
  });
  await sweep.start();
  const count = (name: string) => asked.filter((one) => one === name).length;
  await eventually(async () => expect(count('end_overdue_pauses')).toBeGreaterThan(20));
  await sweep.stop();
  return { sweeps: count('end_overdue_pauses'), looks: count('request_pause_of_scope') };
}

it('a young pause has every sweep look for runs that raced with it', async () => {
  const { sweeps, looks } = await sweepAt(1_000);
  expect(looks).toBe(sweeps);
});

it('a pause that has lasted has the queue looked through as seldom as none', async () => {
  const { sweeps, looks } = await sweepAt(60_000);
  expect(sweeps).toBeGreaterThan(20);
  expect(looks).toBe(1);
});
