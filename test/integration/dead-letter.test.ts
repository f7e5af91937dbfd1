// Runs that get nowhere: one that ends every process that takes it is a dead letter, one that stands still is told of.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createRescuer } from '../../src/maintenance/rescuer.ts';
import { createStuckWatch } from '../../src/maintenance/stuck-watch.ts';
import { createEventBus, type Events } from '../../src/observe/events.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually, reachedState } from '../support/engine-world.ts';
import { enqueueRun, sql, testPipeline } from '../support/http-world.ts';

describe('a run that gets nowhere', () => {
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

  it('is told of where it made no progress for 10 minutes, and goes on', async () => {
    const { db } = test;
    const [events, node] = [createEventBus(), randomUUID()];
    const told: Events['run.stuck'][] = [];
    events.on('run.stuck', (event) => told.push(event));
    const [stuck] = [await enqueueRun(db, testPipeline('slow')), await enqueueRun(db, testPipeline('quick'))];
    await claimRuns(db, { routes: ['default'], weight: 'light', limit: 2, node, leaseMs: 60_000 });
    const past = `update cronwright.queue set progress_at = now() - interval '1 minute' *
      (case run_id when $1 then 11 else 9 end)`;
    await sql(db, past, [stuck.id]);
    const watch = createStuckWatch({ db, events, node, stuckMs: 600_000 });
    await watch.start();
    await eventually(async () => expect(told.length).toBeGreaterThan(0));
    await watch.stop();
    expect(told).toMatchObject([{ runId: stuck.id, pipeline: 'slow' }]);
    expect(told[0]?.forMs).toBeGreaterThan(600_000);
    expect((await reachedState(db, stuck.id, ['running'])).state).toBe('running');
  });
});
