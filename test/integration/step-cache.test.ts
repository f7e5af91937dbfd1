// Steps that take the result of an earlier run: by key, once, said so, and never what is undone, old or not real.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { StepCacheRule } from '../../src/domain/pipeline.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runLogs } from '../../src/reads/run-logs.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { keepCachedResult, pruneStepCache, removeCacheEntries } from '../../src/store/step-cache.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, fatal, type Script, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const week = 604_800_000;
const rule = (key: string, more: Partial<StepCacheRule> = {}) => ({
  key,
  ttlMs: week,
  scope: 'pipeline' as const,
  ...more,
});
const once = { initialMs: 0, multiplier: 1, maxMs: 0, jitter: 0, maxRetries: 0, on: [] };
const inputs = { key: { type: 'string', required: false }, value: { type: 'integer', required: false } } as const;
const cached = (cache: StepCacheRule, more: Partial<Parameters<typeof testStep>[2]> = {}) =>
  testStep('a', [], { uses: 'test.do', with: { n: '${{ inputs.value }}' }, cache, ...more });

const pipelines = [
  testPipeline('one', {
    inputs,
    steps: [
      cached(rule('${{ inputs.key }}')),
      testStep('b', ['a'], { uses: 'test.do', with: { got: '${{ steps.a.output.n }}' } }),
    ],
  }),
  testPipeline('other', { inputs, steps: [cached(rule('${{ inputs.key }}'))] }),
  testPipeline('shared1', { inputs, steps: [cached(rule('${{ inputs.key }}', { scope: 'tenant' }))] }),
  testPipeline('shared2', { inputs, steps: [cached(rule('${{ inputs.key }}', { scope: 'tenant' }))] }),
  testPipeline('undone', {
    inputs,
    steps: [
      cached(rule('${{ inputs.key }}'), { uses: 'test.undo', compensate: { timeoutMs: 5_000, retry: once } }),
      testStep('b', ['a'], { uses: 'test.do' }),
    ],
  }),
  testPipeline('leaf', { steps: [testStep('l', [], { uses: 'test.do' })] }),
  testPipeline('parent', {
    inputs,
    steps: [cached(rule('${{ inputs.key }}'), { uses: 'pipeline.run', with: { pipeline: 'leaf' } })],
  }),
  testPipeline('brief', { inputs, steps: [cached(rule('${{ inputs.key }}', { ttlMs: 1 }))] }),
  testPipeline('many', {
    inputs: { list: { type: 'array', required: true } },
    steps: [
      testStep('each', [], {
        uses: 'test.do',
        with: { n: '${{ item }}' },
        foreach: { items: '${{ inputs.list }}', maxParallel: 2, onItemError: 'continue' },
        cache: rule('${{ item }}'),
      }),
    ],
  }),
];

describe.each(engineVariants)('a cached step on $name', (variant) => {
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

  const ran = async (pipeline: string, request: Parameters<EngineWorld['start']>[1]) => {
    const before = script.attempts.length;
    const id = await world.start(pipeline, request);
    const { state } = await world.reached(id);
    const steps = await runSteps(test.db, 'default', id);
    return { id, state, steps, attempts: script.attempts.slice(before) };
  };
  const entries = () => sql<{ run_id: string }>(test.db, 'select run_id from cronwright.step_cache');

  it('is not run again for its key, takes the output of that time, and says where from', async () => {
    const first = await ran('one', { inputs: { key: 'k1', value: 1 } });
    expect(first.attempts).toEqual(['a', 'b']);
    const second = await ran('one', { inputs: { key: 'k1', value: 2 } });
    expect(second.attempts).toEqual(['b']);
    const [a, b] = second.steps;
    expect(a).toMatchObject({ state: 'completed', attempts: 0, output: { n: 1 }, started_at: null });
    expect(a?.cached_from).toEqual({ run_id: first.id, step: 'a', at: first.steps[0]?.finished_at?.toISOString() });
    expect(b).toMatchObject({ output: { got: 1 }, cached_from: null });
    const events = (await runEvents(test.db, 'default', second.id, { after: 0, limit: 100 })).items;
    const told = events.find(({ event, step }) => event === 'step.completed' && step === 'a');
    expect(told?.data).toMatchObject({ cached_from: { run_id: first.id } });
    const { items } = await runLogs(test.db, 'default', second.id, { limit: 10, follow: false, cursor: undefined });
    expect(items.map(({ text }) => text).join()).toContain(`in run ${first.id}; its output is taken`);
    const third = await ran('one', { inputs: { key: 'k2', value: 3 } });
    expect(third.attempts).toEqual(['a', 'b']);
  });

  it('shares results with other pipelines of its tenant only where it says so', async () => {
    await ran('one', { inputs: { key: 'k3', value: 1 } });
    expect((await ran('other', { inputs: { key: 'k3', value: 2 } })).attempts).toEqual(['a']);
    await ran('shared1', { inputs: { key: 'k3', value: 3 } });
    const taken = await ran('shared2', { inputs: { key: 'k3', value: 4 } });
    expect(taken.attempts).toEqual([]);
    expect(taken.steps[0]?.output).toEqual({ n: 3 });
  });

  it('runs where its key comes to nothing, and where the result is too old', async () => {
    await ran('one', { inputs: { value: 1 } });
    expect((await ran('one', { inputs: { value: 2 } })).attempts).toEqual(['a', 'b']);
    await ran('brief', { inputs: { key: 'k4', value: 1 } });
    expect((await ran('brief', { inputs: { key: 'k4', value: 2 } })).attempts).toEqual(['a']);
  });

  it('keeps nothing of a step that failed, and a dry run neither takes nor gives', async () => {
    script.failures.set('a', [fatal()]);
    expect((await ran('one', { inputs: { key: 'k5', value: 1 } })).state).toBe('failed');
    expect((await ran('one', { inputs: { key: 'k5', value: 2 }, dryRun: true })).attempts).toEqual(['a', 'b']);
    expect((await ran('one', { inputs: { key: 'k5', value: 3 } })).attempts).toEqual(['a', 'b']);
    expect((await ran('one', { inputs: { key: 'k5', value: 4 }, dryRun: true })).attempts).toEqual(['a', 'b']);
    expect((await ran('one', { inputs: { key: 'k5', value: 5 } })).steps[0]?.output).toEqual({ n: 3 });
  });

  it('is asked item by item in a fan-out', async () => {
    await ran('many', { inputs: { list: [1, 2, 3] } });
    const second = await ran('many', { inputs: { list: [2, 3, 4] } });
    expect(second.attempts).toEqual(['each/2']);
    expect(second.steps[0]?.output).toBeNull();
    const rows = await sql<{ output: unknown }>(
      test.db,
      `select output from cronwright.step_runs where run_id = $1 and item >= 0 order by item`,
      [second.id],
    );
    expect(rows.map(({ output }) => output)).toEqual([{ n: 2 }, { n: 3 }, { n: 4 }]);
  });

  it('runs again once what it came to is undone', async () => {
    const first = await ran('one', { inputs: { key: 'k6', value: 1 } });
    await test.db.transaction((tx) => removeCacheEntries(tx, [first.id]));
    expect((await ran('one', { inputs: { key: 'k6', value: 2 } })).attempts).toEqual(['a', 'b']);
  });

  it('forgets what a run came to whose steps are undone after its failure', async () => {
    script.failures.set('b', [fatal()]);
    const first = await ran('undone', { inputs: { key: 'k8', value: 1 } });
    expect(first.steps[0]).toMatchObject({ state: 'compensated' });
    expect(await entries()).not.toContainEqual({ run_id: first.id });
    const second = await ran('undone', { inputs: { key: 'k8', value: 2 } });
    expect(second.attempts).toEqual(['a', 'b']);
    // What was taken from the cache has done nothing here: there is nothing to undo.
    script.failures.set('b', [fatal()]);
    const third = await ran('undone', { inputs: { key: 'k8', value: 3 } });
    expect(third.attempts).toEqual(['b']);
    expect(third.steps[0]).toMatchObject({ state: 'completed', attempts: 0 });
  });

  it('starts no child run for what a child run came to before', async () => {
    expect((await ran('parent', { inputs: { key: 'k9' } })).attempts).toEqual(['l']);
    const second = await ran('parent', { inputs: { key: 'k9' } });
    expect(second.attempts).toEqual([]);
    expect(second).toMatchObject({ state: 'completed', steps: [{ cached_from: { step: 'a' } }] });
  });

  it('gives nothing where another worker holds the run by now', async () => {
    const { id } = await ran('one', { inputs: { key: 'k7', value: 1 } });
    const key = { tenant: 'default', stepType: 'test.do', scope: 'one', key: 'stale' };
    await keepCachedResult(test.db, key, { runId: id, step: 'a', item: -1, token: 99 }, week);
    expect(await sql(test.db, "select 1 from cronwright.step_cache where key = 'stale'")).toEqual([]);
  });

  it('loses its oldest results beyond the most a tenant may have, and those whose time is over', async () => {
    for (const key of ['p1', 'p2', 'p3']) await ran('one', { inputs: { key, value: 1 } });
    const newest = (await ran('one', { inputs: { key: 'p4', value: 1 } })).id;
    expect((await entries()).length).toBeGreaterThan(3);
    expect(await pruneStepCache(test.db, null, 1)).toBe(false);
    expect(await entries()).toEqual([{ run_id: newest }]);
    await pruneStepCache(test.db, new Date(Date.now() + 2 * week));
    expect(await entries()).toEqual([]);
  });
});
