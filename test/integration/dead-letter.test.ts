// A run that ends every process that takes it: after three claims it is a dead letter, and counted as an end.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createRescuer } from '../../src/maintenance/rescuer.ts';
import { createEventBus, type Events } from '../../src/observe/events.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually, reachedState } from '../support/engine-world.ts';
import { enqueueRun, testPipeline } from '../support/http-world.ts';

describe('a run that kills its process', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await createTestDatabase('pglite');
  });
  afterAll(() => test.close());

  it('is a dead letter after three claims without progress, and is told as finished once', async () => {
    const { db } = test;
    const events = createEventBus();
    const finished: Events['run.finished'][] = [];
    events.on('run.finished', (event) => finished.push(event));
    const run = await enqueueRun(db, testPipeline('deadly'));
    const rescuer = createRescuer({
      db,
      clock: systemClock,
      events,
      node: randomUUID(),
      home: randomUUID(),
      holds: () => false,
      everyMs: 20,
      leaseMs: 1_000,
      isAlone: true,
      onRescued: () => {},
      noticesOf: () => [],
    });
    await rescuer.start();
    try {
      for (let claims = 1; claims <= 3; claims += 1) {
        // A worker that takes the run and is never heard of again.
        const options = { routes: ['default'], weight: 'light', limit: 1, node: randomUUID(), leaseMs: -1 } as const;
        await eventually(async () => expect(await claimRuns(db, options)).toHaveLength(1));
      }
      expect((await reachedState(db, run.id)).state).toBe('dead_letter');
      await eventually(async () => expect(finished).toHaveLength(1));
    } finally {
      await rescuer.stop();
    }
    expect(finished[0]).toMatchObject({ runId: run.id, pipeline: 'deadly', state: 'dead_letter', result: 'error' });
    expect(finished[0]?.error).toContain('3 times in a row');
  });
});
