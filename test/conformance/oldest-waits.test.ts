// How long ready runs have waited, by queue, on every database.
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { wakeRuns } from '../../src/queue/wake-runs.ts';
import { oldestWaits } from '../../src/reads/oldest-waits.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { newRunOf } from '../support/new-run.ts';

const noon = new Date('2026-03-01T12:00:00Z');
const noonPlus = (seconds: number) => new Date(noon.getTime() + seconds * 1_000);

describe.each(databaseVariants)('the oldest wait on $name', ({ kind, isolation }) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase(kind, isolation === undefined ? {} : { isolation });
  });
  afterAll(() => database?.close());

  it('is that of runs that could start and never did, counted from when they could', async () => {
    const { db } = database;
    const queues = ['claimed', 'plain', 'blocked', 'delayed', 'none'];
    expect(await oldestWaits(db, queues, noon)).toEqual([]);
    await enqueueRuns(db, [newRunOf('claimed'), newRunOf('plain')], noon);
    await enqueueRuns(db, [newRunOf('plain', { priority: 1 })], noonPlus(40));
    await enqueueRuns(db, [newRunOf('blocked', { limits: ['pipeline:build'] })], noon);
    await enqueueRuns(db, [newRunOf('delayed', { runAt: noonPlus(60) })], noon);
    const node = uuidv7();
    await claimRuns(db, { routes: ['claimed'], weight: 'light', limit: 9, node, leaseMs: 30_000, now: noonPlus(1) });
    expect(await oldestWaits(db, queues, noonPlus(50))).toEqual([{ queue: 'plain', waitMs: 50_000 }]);

    // Those that wait for nodes with labels wait in the same queue.
    await enqueueRuns(db, [newRunOf('plain', { runsOn: ['gpu'] })], noonPlus(-5));
    expect(await oldestWaits(db, ['plain', 'plain{gpu}'], noonPlus(50))).toEqual([{ queue: 'plain', waitMs: 55_000 }]);

    await wakeRuns(db, { limit: 9, node, now: noonPlus(61) });
    const waits = (await oldestWaits(db, queues, noonPlus(70))).sort((a, b) => (a.queue < b.queue ? -1 : 1));
    expect(waits).toEqual([
      { queue: 'delayed', waitMs: 10_000 },
      { queue: 'plain', waitMs: 70_000 },
    ]);
  });
});
