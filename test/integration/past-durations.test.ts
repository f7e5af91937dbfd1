// What the past of a pipeline decides: timeouts that adapt, and when a run will probably end.
import { uuidv7 } from 'uuidv7';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AdaptiveTimeout } from '../../src/domain/adaptive-timeout.ts';
import { getRun } from '../../src/reads/get-run.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  gate,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const p99: AdaptiveTimeout = { percentile: 99, factor: 3, minMs: 100, maxMs: 86_400_000 };
const step = (id: string, needs: string[], more: Partial<Parameters<typeof testStep>[2]> = {}) =>
  testStep(id, needs, { uses: 'test.do', ...more });
const noRetry = { initialMs: 0, multiplier: 1, maxMs: 0, jitter: 0, maxRetries: 0, on: [] };
const adaptive = { adaptiveTimeout: p99, timeoutMs: 600_000, retry: noRetry };
const pipelines = [
  testPipeline('known', { steps: [step('a', [], adaptive), step('b', ['a'], { timeoutMs: 60_000 })] }),
  testPipeline('fresh', { steps: [step('a', [])] }),
  testPipeline('young', { steps: [step('a', [], adaptive)] }),
  testPipeline('items', {
    steps: [step('a', [], { ...adaptive, foreach: { items: [1], maxParallel: 1, onItemError: 'fail' } })],
  }),
  testPipeline('whole', { adaptiveTimeout: p99, steps: [step('a', [], { retry: noRetry })] }),
  testPipeline('plain', { steps: [step('a', []), step('b', ['a'])] }),
];

describe.each(engineVariants)('the past on $name', (variant) => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;
  beforeAll(async () => {
    test = await createTestDatabase(variant.kind);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines });
  });
  afterEach(() => world.stop());

  /** A completed run whose steps took so long, one after the other; `more` overrides its row. */
  async function pastRun(
    pipeline: string,
    steps: Readonly<Record<string, number>>,
    more: { state?: string; attempts?: number; item?: number; origin?: string } = {},
  ): Promise<void> {
    const id = uuidv7();
    const total = Object.values(steps).reduce((sum, ms) => sum + ms, 0);
    await sql(
      test.db,
      `insert into cronwright.runs (id, tenant, pipeline, pipeline_version, nominal_count, late, origin, priority, queue,
        dry_run, created_at, state, started_at, finished_at, attempt)
      values ($1, 'default', $2, 'v', 1, false, $5, 5, 'default', false, now(), $4, '2026-01-01T00:00:00Z',
        '2026-01-01T00:00:00Z'::timestamptz + $3::int8 * interval '1 millisecond', 1)`,
      [id, pipeline, total, more.state ?? 'completed', more.origin ?? 'api'],
    );
    let from = 0;
    for (const [name, ms] of Object.entries(steps)) {
      await sql(
        test.db,
        `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, started_at,
          finished_at, rate_limited_ms)
        values ($1, $2, $5, 'default', 'completed', $6, 0, 1,
          '2026-01-01T00:00:00Z'::timestamptz + $3::int8 * interval '1 millisecond',
          '2026-01-01T00:00:00Z'::timestamptz + $4::int8 * interval '1 millisecond', 0)`,
        [id, name, from, from + ms, more.item ?? -1, more.attempts ?? 1],
      );
      from += ms;
    }
  }

  it('ends a step at its percentile times the factor, and tells from what', async () => {
    for (let n = 1; n <= 25; n++) await pastRun('known', { a: 50 + n, b: 10 });
    // What does not count: more than one attempt, runs of others.
    await pastRun('known', { a: 99_000 }, { attempts: 2 });
    await pastRun('young', { a: 99_000 });
    const stuck = gate(script, 'a');
    const id = await world.start('known');
    await stuck.entered;
    const run = await world.reached(id);
    expect(run.error).toMatchObject({ name: 'TimeoutError', message: expect.stringContaining('225 ms') });
    const [a, b] = await runSteps(test.db, 'default', id);
    expect(a).toMatchObject({ timeout_ms: 225, timeout_from: 'history', timeout_auto: 'p99 × 3', timeout_samples: 25 });
    expect(b).toMatchObject({
      timeout_ms: 60_000,
      timeout_from: 'definition',
      timeout_auto: null,
      timeout_samples: null,
    });
  });

  it('leaves a step its default while few have completed', async () => {
    await pastRun('young', { a: 10 });
    const id = await world.start('young');
    await world.reached(id);
    const [a] = await runSteps(test.db, 'default', id);
    expect(a).toMatchObject({ timeout_ms: 600_000, timeout_from: 'default', timeout_auto: 'p99 × 3' });
  });

  it('measures a fan-out by its items', async () => {
    for (let n = 0; n < 20; n++) await pastRun('items', { a: 70 }, { item: n });
    await pastRun('items', { a: 99_000 });
    const id = await world.start('items');
    await world.reached(id);
    expect((await runSteps(test.db, 'default', id))[0]).toMatchObject({ timeout_ms: 210, timeout_samples: 20 });
  });

  it('ends a run by the past of its pipeline', async () => {
    for (let n = 0; n < 20; n++) await pastRun('whole', { a: 100 });
    await pastRun('whole', { a: 99_000 }, { state: 'failed' });
    gate(script, 'a');
    const id = await world.start('whole');
    const run = await world.reached(id);
    expect(run.error).toMatchObject({
      name: 'TimeoutError',
      message: expect.stringContaining('its timeout of 300 ms'),
    });
  });

  it('tells when a run ends by how long others still took at this point', async () => {
    for (let n = 0; n < 3; n++) await pastRun('plain', { a: 1_000, b: 500_000 });
    await pastRun('plain', { a: 1_000, b: 9_000_000 }, { state: 'failed' });
    await pastRun('plain', { a: 1, b: 1 }, { origin: 'retry' });
    const [a, b] = [gate(script, 'a'), gate(script, 'b')];
    const id = await world.start('plain');
    await a.entered;
    const first = await getRun(test.db, 'default', id);
    expect(first).toMatchObject({ eta_from: 'history', eta_reason: null, progress: 0 });
    expect((first.eta?.getTime() ?? 0) - (first.started_at?.getTime() ?? 0)).toBe(501_000);
    a.open();
    await b.entered;
    const second = await eventually(async () => {
      const run = await getRun(test.db, 'default', id);
      expect(run.steps.completed).toBe(1);
      return run;
    });
    const [done] = await runSteps(test.db, 'default', id);
    expect((second.eta?.getTime() ?? 0) - (done?.finished_at?.getTime() ?? 0)).toBe(500_000);
    b.open();
    expect(await world.reached(id)).toMatchObject({ eta: null, eta_from: null, eta_reason: 'ended' });
  });

  it('says nothing at 0 % where there is no past', async () => {
    const stopped = gate(script, 'a');
    const id = await world.start('fresh');
    await stopped.entered;
    const run = await getRun(test.db, 'default', id);
    expect(run).toMatchObject({ eta: null, eta_from: null, eta_reason: 'no_progress' });
    stopped.open();
    await world.reached(id);
  });
});
