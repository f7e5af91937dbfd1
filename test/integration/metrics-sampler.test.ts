// What the sampler finds in the database, read from the text that Prometheus would read.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMetricsSampler } from '../../src/app/metrics-sampler.ts';
import { createEventBus } from '../../src/observe/events.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { newRunOf } from '../support/new-run.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase('pglite');
});
afterAll(() => database?.close());

/** The series after one pass, by name and labels. */
async function sampled(): Promise<Map<string, number>> {
  const events = createEventBus();
  const crashed = new Promise<never>((_, fail) => {
    events.on('service.crashed', ({ error }) => fail(new Error(error)));
  });
  const clock = { now: () => 0 };
  const metrics = createMetrics({ events, clock, version: '0.1.0', processMetrics: false });
  let done: () => void = () => {};
  const pass = new Promise<void>((resolve) => {
    done = resolve;
  });
  // The last thing of a pass.
  const last: typeof metrics.setScheduleNextFires = (rows) => {
    metrics.setScheduleNextFires(rows);
    done();
  };
  const sampler = createMetricsSampler({
    db: database.db,
    metrics: { ...metrics, setScheduleNextFires: last },
    events,
  });
  await sampler.start();
  await Promise.race([pass, crashed]);
  await sampler.stop();
  const { body } = await metrics.render();
  const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  );
}

describe('the sampler', () => {
  it('says 0 of an empty queue, in every state that a live run can have', async () => {
    const series = await sampled();
    const states = [...series.keys()].filter((name) => name.startsWith('cronwright_runs_active{'));
    expect(states).toHaveLength(8);
    for (const name of states) expect(series.get(name), name).toBe(0);
    expect(series.get('cronwright_queue_depth{queue="default",state="pending"}')).toBe(0);
    expect(series.get('cronwright_queue_oldest_wait_seconds{queue="default"}')).toBe(0);
    expect(series.get('cronwright_dead_letters')).toBe(0);
  });

  it('says how many runs stand in a queue and how long the oldest has waited', async () => {
    const fiveMinutesAgo = new Date(Date.now() - 300_000);
    await enqueueRuns(database.db, [newRunOf('slow'), newRunOf('slow')], fiveMinutesAgo);
    const series = await sampled();
    expect(series.get('cronwright_queue_depth{queue="slow",state="pending"}')).toBe(2);
    expect(series.get('cronwright_runs_active{state="pending"}')).toBe(2);
    const wait = series.get('cronwright_queue_oldest_wait_seconds{queue="slow"}');
    expect(wait).toBeGreaterThanOrEqual(300);
    expect(wait).toBeLessThan(400);
    expect(series.get('cronwright_queue_oldest_wait_seconds{queue="default"}')).toBe(0);
  });
});
