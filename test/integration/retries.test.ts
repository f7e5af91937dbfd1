// What is tried again, at which level, and which waits a run's timeout counts.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
import { StepError } from '../../src/steps/api.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  gate,
  type Script,
  startEngineWorld,
  transient,
} from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };
const once = { ...quick, maxRetries: 0 };
const slow = { ...slowRetry, initialMs: 50 };
const step = (retry: typeof quick, more = {}) => [testStep('a', [], { uses: 'test.do', retry, ...more })];

const pipelines = [
  testPipeline('names-timeout', { steps: step(once), timeoutMs: 2_000, retry: { ...slow, on: ['TimeoutError'] } }),
  testPipeline('names-another', { steps: step(once), timeoutMs: 2_000, retry: { ...slow, on: ['transient', 'Busy'] } }),
  testPipeline('long-wait', { steps: step(once), timeoutMs: 3_000, retry: { ...slow, initialMs: 3_500 } }),
  testPipeline('two-levels', { steps: step({ ...quick, maxRetries: 1 }), retry: { ...slow, maxRetries: 1 } }),
  testPipeline('by-name', { steps: step({ ...quick, on: ['Busy'] }) }),
  testPipeline('step-timeout', { steps: step({ ...quick, maxRetries: 1 }, { timeoutMs: 1_000 }) }),
  testPipeline('step-timeout-unnamed', { steps: step({ ...quick, on: ['Busy'] }, { timeoutMs: 1_000 }) }),
];

describe.each(engineVariants)('retries on $name', (variant) => {
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

  /** The first attempt never ends by itself; later ones do. */
  async function startStuck(pipeline: string): Promise<string> {
    const { entered } = gate(script, 'a');
    const id = await world.start(pipeline);
    await entered;
    script.gates.delete('a');
    return id;
  }
  const come = async (id: string) => {
    const { state, attempt, error } = await world.reached(id);
    return { state, attempt, error: error?.name ?? null };
  };

  it('gives a run its time a second time only where its policy names TimeoutError', async () => {
    const named = await startStuck('names-timeout');
    expect(await come(named)).toEqual({ state: 'completed', attempt: 2, error: null });
    const other = await startStuck('names-another');
    expect(await come(other)).toEqual({ state: 'failed', attempt: 1, error: 'TimeoutError' });
  });

  it('does not count the wait for a retry of the run into its timeout', async () => {
    script.failures.set('a', [transient()]);
    const id = await world.start('long-wait');
    const run = await world.reached(id);
    expect([run.state, run.attempt]).toEqual(['completed', 2]);
    expect(run.duration_ms).toBeGreaterThan(3_500);
  });

  it('retries the run once its step has used up its own retries', async () => {
    script.failures.set('a', [transient(), transient(), transient()]);
    const id = await world.start('two-levels');
    expect(await come(id)).toEqual({ state: 'completed', attempt: 2, error: null });
    expect(script.attempts).toEqual(['a', 'a', 'a', 'a']);
    script.failures.set('a', [transient(), transient(), transient(), transient()]);
    expect(await come(await world.start('two-levels'))).toMatchObject({ state: 'failed', attempt: 2 });
  });

  it('retries errors by name whatever their class, and no others', async () => {
    script.failures.set('a', [new StepError('fatal', 'no room', { name: 'Busy' })]);
    expect(await come(await world.start('by-name'))).toMatchObject({ state: 'completed' });
    script.failures.set('a', [transient()]);
    expect(await come(await world.start('by-name'))).toMatchObject({ state: 'failed', error: 'StepError' });
  });

  it('retries a step whose time was up as transient, unless its policy leaves that out', async () => {
    expect(await come(await startStuck('step-timeout'))).toMatchObject({ state: 'completed' });
    expect(script.attempts).toHaveLength(2);
    const other = await startStuck('step-timeout-unnamed');
    expect(await come(other)).toMatchObject({ state: 'failed', error: 'TimeoutError' });
  });
});
