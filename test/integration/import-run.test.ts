// Runs that another system began: what is taken over, once; whole conversations of forks.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { forkRun } from '../../src/control/fork-run.ts';
import { type ImportRequest, importRun } from '../../src/control/import-run.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { createRunStarter, type RunStarter } from '../../src/control/start-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { loadThread } from '../../src/store/conversations.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, fatal, type Script, startEngineWorld } from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50, maxRetries: 0 };

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

const line = testPipeline('line', {
  version: 'line-1',
  inputs: { word: { type: 'string', required: false, default: 'old' } },
  steps: [
    step('a', [], { with: { n: 1 } }),
    step('b', ['a'], { with: { twice: '${{ steps.a.output.n * 2 }}' } }),
    step('c', ['b'], { with: { all: '${{ inputs.word }} ${{ steps.b.output.twice }}' } }),
  ],
});
const maria = { tenant: 'default', actor: 'maria', origin: 'api' } as const;
const said = [
  { role: 'user' as const, content: 'a question' },
  { role: 'assistant' as const, content: 'an answer' },
];

describe('a run of another system', () => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;
  let starter: RunStarter;

  beforeAll(async () => {
    test = await createTestDatabase('pglite');
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines: [line] });
    starter = createRunStarter(world.engine.control);
  });
  afterEach(() => world.stop());

  const take = (request: ImportRequest) => importRun(starter, 'line', request, maria);
  const outputs = { a: { n: 21 }, b: { twice: 7 } };

  it('goes on behind the steps that it had done, with what they gave and what was said', async () => {
    const facts = { status: 'running' };
    const taken = await take({ source: 'one', inputs: { word: 'new' }, outputs, conversations: { main: said }, facts });
    expect(taken).toMatchObject({ imported: true, kept_steps: ['a', 'b'], pipeline: 'line' });
    const run = await world.reached(taken.id);
    expect(run).toMatchObject({ state: 'completed', inputs: { word: 'new' } });
    expect(script.attempts).toEqual(['c']);
    const steps = await runSteps(test.db, 'default', taken.id);
    expect(steps.map((one) => [one.step, one.state, one.attempts, one.output])).toEqual([
      ['a', 'completed', 0, { n: 21 }],
      ['b', 'completed', 0, { twice: 7 }],
      ['c', 'completed', 1, { all: 'new 7' }],
    ]);
    const thread = await loadThread(test.db, taken.id, 'main');
    expect(thread.map(({ role, content }) => ({ role, content }))).toEqual(said);
    const { items } = await runEvents(test.db, 'default', taken.id, { after: 0, limit: 100 });
    expect(items.map((event) => event.seq)).toEqual(items.map((_, i) => i + 1));
    expect(items[1]).toMatchObject({
      event: 'run.imported',
      actor: 'maria',
      data: { source: 'one', kept_steps: ['a', 'b'], facts },
    });
  });

  it('is taken once, also by two at the same moment', async () => {
    const both = await Promise.all([take({ source: 'two', outputs }), take({ source: 'two', outputs })]);
    expect(both.map(({ imported }) => imported).sort()).toEqual([false, true]);
    expect(both[0].id).toBe(both[1].id);
    await world.reached(both[0].id);
    // It may have changed since: it stays as it was taken.
    expect(await take({ source: 'two', outputs: { a: { n: 5 } } })).toMatchObject({ id: both[0].id, imported: false });
    expect(script.attempts).toEqual(['c']);
    expect((await take({ source: 'another', outputs })).id).not.toBe(both[0].id);
  });

  it.each([
    [{ x: {} }, 'outputs.x: no such step'],
    [{ b: { twice: 1 } }, 'outputs.b: it needs a, which has no output'],
    [{ a: {}, b: {}, c: {} }, 'every step has one'],
    [{ a: { text: 'x'.repeat(1_100_000) } }, 'outputs.a:'],
  ])('is refused with %j', async (wrong: Record<string, unknown>, why) => {
    await expect(take({ source: 'wrong', outputs: wrong })).rejects.toThrow(why);
    expect(script.attempts).toEqual([]);
  });

  it('keeps what it began with when it is retried', async () => {
    script.failures.set('c', [fatal('no')]);
    const taken = await take({ source: 'three', outputs, conversations: { main: said } });
    expect((await world.reached(taken.id)).state).toBe('failed');
    const retry = await retryRun(starter, taken.id, maria, {});
    expect(retry.kept_steps).toEqual(['a', 'b']);
    await world.reached(retry.id);
    expect((await loadThread(test.db, retry.id, 'main')).map(({ content }) => content)).toEqual(
      said.map((one) => one.content),
    );
  });

  it('a fork has what kept steps have said, or all of it where that is asked for', async () => {
    const taken = await take({ source: 'four', outputs: { a: { n: 1 } }, conversations: { main: said } });
    await world.reached(taken.id);
    const threadOf = async (conversation?: 'kept' | 'whole') => {
      // Step a, which has said it, runs again.
      const { id } = await forkRun(starter, taken.id, { from: 'a', conversation }, maria);
      await world.reached(id);
      return (await loadThread(test.db, id, 'main')).map(({ content }) => content);
    };
    expect(await threadOf()).toEqual([]);
    expect(await threadOf('kept')).toEqual([]);
    expect(await threadOf('whole')).toEqual(said.map(({ content }) => content));
  });
});
