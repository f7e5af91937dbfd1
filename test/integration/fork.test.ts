// Forks of live and ended runs: what is kept, what runs again, whose files they begin with, and how two runs are compared.
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ForkRequest, forkRun } from '../../src/control/fork-run.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { createRunStarter, type RunStarter } from '../../src/control/start-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { diffRuns } from '../../src/reads/diff-runs.ts';
import { getRun } from '../../src/reads/get-run.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { storePipelines } from '../../src/store/pipelines.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, fatal, gate, type Script, startEngineWorld } from '../support/engine-world.ts';
import { createWorld, enqueueRun, sql, testPipeline, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50, maxRetries: 0 };

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

const line = testPipeline('line', {
  version: 'line-1',
  inputs: {
    n: { type: 'integer', required: false, default: 1 },
    word: { type: 'string', required: false, default: 'old' },
  },
  steps: [
    step('a', [], { with: { n: '${{ inputs.n }}' } }),
    step('b', ['a'], { with: { twice: '${{ steps.a.output.n * 2 }}' } }),
    step('c', ['b'], { with: { all: '${{ inputs.word }} ${{ steps.b.output.twice }}' } }),
  ],
  finally: [step('sweep')],
});
const files = testPipeline('files', {
  version: 'files-1',
  steps: [
    step('list', [], { with: { files: ['x', 'y'] } }),
    step('write', ['list'], { uses: 'file.write', with: { path: 'out/a.txt', content: 'written' } }),
    step('stop', ['write'], { with: { bytes: '${{ steps.write.output.bytes }}' } }),
    step('read', ['stop'], { uses: 'file.read', with: { path: 'out/a.txt' } }),
  ],
});
const many = testPipeline('many', {
  version: 'many-1',
  steps: [
    step('each', [], {
      foreach: { items: [1, 2, 3], maxParallel: 1, onItemError: 'fail' },
      with: { n: '${{ item }}' },
    }),
    step('sum', ['each'], { with: { size: '${{ size(steps.each.output) }}', first: '${{ steps.each.output[0].n }}' } }),
  ],
});
const undoing = testPipeline('undoing', {
  version: 'undoing-1',
  steps: [step('a', [], { uses: 'test.undo' }), step('b', ['a'])],
});
const maria = { tenant: 'default', actor: 'maria', origin: 'api' } as const;

describe.each(engineVariants)('a fork on $name', (variant) => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;
  let starter: RunStarter;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, variant.isolation ? { isolation: variant.isolation } : {});
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines: [line, files, many, undoing] });
    starter = createRunStarter(world.engine.control);
  });
  afterEach(() => world.stop());

  const fork = (id: string, request: ForkRequest = {}) => forkRun(starter, id, request, maria);

  async function completed(pipeline: string): Promise<string> {
    const id = await world.start(pipeline);
    expect((await world.reached(id)).state).toBe('completed');
    script.attempts.length = 0;
    return id;
  }

  async function outputsOf(id: string): Promise<Record<string, unknown>> {
    return Object.fromEntries((await runSteps(test.db, 'default', id)).map((one) => [one.step, one.output]));
  }

  it('of a completed run begins at the step named, with what went before as it was', async () => {
    const parent = await completed('line');
    const forked = await fork(parent, { from: 'c', inputs: { word: 'new' }, priority: 2 });
    expect(forked).toMatchObject({ parent_id: parent, kept_steps: ['a', 'b'], priority: 2 });
    expect(forked.edited).toEqual({ inputs: ['word'], outputs: [] });
    const run = await world.reached(forked.id);
    expect(run).toMatchObject({ state: 'completed', origin: 'fork', parent_id: parent, inputs: { n: 1, word: 'new' } });
    expect(script.attempts).toEqual(['c', 'sweep']);
    expect(await outputsOf(forked.id)).toMatchObject({ a: { n: 1 }, b: { twice: 2 }, c: { all: 'new 2' } });
    expect((await getRun(test.db, 'default', parent)).children).toEqual([forked.id]);
  });

  it('runs every step again that names an edited input, and what needs it', async () => {
    const parent = await completed('line');
    const forked = await fork(parent, { inputs: { n: 5 } });
    expect(forked.kept_steps).toEqual([]);
    await world.reached(forked.id);
    expect((await outputsOf(forked.id)).c).toEqual({ all: 'old 10' });
  });

  it('passes an edited output on to the steps that name it, and says that it is edited', async () => {
    const parent = await completed('line');
    const forked = await fork(parent, { outputs: { a: { n: 21 } } });
    expect(forked.kept_steps).toEqual(['a']);
    await world.reached(forked.id);
    expect(await outputsOf(forked.id)).toMatchObject({ a: { n: 21 }, b: { twice: 42 }, c: { all: 'old 42' } });
    const [a, b] = await runSteps(test.db, 'default', forked.id);
    expect([a?.edited, b?.edited]).toEqual([true, false]);
    expect((await outputsOf(parent)).a).toEqual({ n: 1 });
  });

  it('says in its history who made it, what it keeps and what is edited', async () => {
    const parent = await completed('line');
    const forked = await fork(parent, { outputs: { b: { twice: 0 } }, inputs: { word: 'x' } });
    await world.reached(forked.id);
    const { items } = await runEvents(test.db, 'default', forked.id, { after: 0, limit: 100 });
    expect(items.map((event) => event.seq)).toEqual(items.map((_, i) => i + 1));
    expect(items[1]).toMatchObject({
      event: 'run.forked',
      actor: 'maria',
      data: { parent_id: parent, kept_steps: ['a', 'b'], edited: { inputs: ['word'], outputs: ['b'] }, from: null },
    });
    expect(Math.abs((items[1]?.at.getTime() ?? 0) - (items[0]?.at.getTime() ?? 0))).toBeLessThan(60_000);
  });

  it('of a failed run goes on at the step that did not complete', async () => {
    script.failures.set('b', [fatal('no')]);
    const parent = await world.start('line');
    expect((await world.reached(parent)).state).toBe('failed');
    const forked = await fork(parent);
    expect(forked.kept_steps).toEqual(['a']);
    expect((await world.reached(forked.id)).state).toBe('completed');
  });

  it('of a live run takes what has completed, and lets the run go on', async () => {
    const { entered, open } = gate(script, 'b');
    const parent = await world.start('line');
    await entered;
    const forked = await fork(parent, { inputs: { word: 'beside' } });
    expect(forked.kept_steps).toEqual(['a']);
    open();
    expect((await world.reached(parent)).state).toBe('completed');
    expect((await world.reached(forked.id)).state).toBe('completed');
    expect((await outputsOf(forked.id)).c).toEqual({ all: 'beside 2' });
    expect((await outputsOf(parent)).c).toEqual({ all: 'old 2' });
  });

  it('knows the runs it goes back to', async () => {
    const first = await completed('line');
    const second = await fork(first, { from: 'b' });
    await world.reached(second.id);
    const third = await fork(second.id, { from: 'c' });
    expect((await getRun(test.db, 'default', third.id)).lineage).toEqual([first, second.id]);
    await world.reached(third.id);
  });

  it('gives a fan-out the list that was put in its place', async () => {
    const parent = await completed('many');
    const forked = await fork(parent, { outputs: { each: [{ n: 9 }] } });
    await world.reached(forked.id);
    expect((await outputsOf(forked.id)).sum).toEqual({ size: 1, first: 9 });
    expect(script.attempts).toEqual(['sum']);
  });

  it('begins with a copy of the files of its parent as they were, also where the parent ends meanwhile', async () => {
    const { entered, open } = gate(script, 'stop');
    const parent = await world.start('files');
    await entered;
    const parked = gate(script, 'stop');
    const forked = await fork(parent);
    expect(forked.kept_steps).toEqual(['list', 'write']);
    await parked.entered;
    open();
    expect((await world.reached(parent)).state).toBe('completed');
    const own = (id: string) => join(world.settings.dataDir, 'workspaces', id);
    await expect.poll(() => existsSync(own(parent))).toBe(false);
    parked.open();
    expect((await world.reached(forked.id)).state).toBe('completed');
    expect((await outputsOf(forked.id)).read).toMatchObject({ content: 'written' });
    expect(script.attempts.filter((name) => name === 'list')).toHaveLength(1);
  });

  it('keeps an edited output where its step has to run again for the sake of its files', async () => {
    const parent = await completed('files');
    const output = { path: 'out/a.txt', bytes: 1234, sha256: 'x', changed: true };
    const forked = await fork(parent, { outputs: { write: output } });
    const run = await world.reached(forked.id);
    expect(run.state).toBe('completed');
    expect(await outputsOf(forked.id)).toMatchObject({
      write: output,
      stop: { bytes: 1234 },
      read: { content: 'written' },
    });
    // The same once more, and by a retry, which takes over what was put in.
    script.failures.set('stop', [fatal('no')]);
    const second = await fork(forked.id, { from: 'stop' });
    expect((await world.reached(second.id)).state).toBe('failed');
    // Its files are gone, if its undoing has not taken them along already.
    await rm(join(world.settings.dataDir, 'workspaces', second.id), { recursive: true, force: true });
    const third = await retryRun(starter, second.id, maria);
    expect((await world.reached(third.id)).state).toBe('completed');
    expect((await outputsOf(third.id)).stop).toEqual({ bytes: 1234 });
  });

  it('compares two runs: version, inputs, and what each step came to', async () => {
    const parent = await completed('line');
    script.failures.set('c', [fatal('broken')]);
    const forked = await fork(parent, { outputs: { b: { twice: 7 } }, inputs: { word: 'new' } });
    await world.reached(forked.id);
    const diff = await diffRuns(test.db, 'default', forked.id, undefined);
    expect(diff).toMatchObject({
      before: { id: parent },
      after: { id: forked.id, state: 'failed' },
      same_version: true,
    });
    expect(diff.inputs.items).toEqual([{ path: 'word', before: 'old', after: 'new', clipped: false }]);
    expect(diff.steps.map((one) => [one.step, one.same])).toEqual([
      ['a', true],
      ['b', false],
      ['c', false],
      ['sweep', true],
    ]);
    expect(diff.steps[1]).toMatchObject({
      after: { edited: true },
      output: { items: [{ path: 'twice', before: 2, after: 7 }], more: 0 },
    });
    expect(diff.steps[2]?.after?.error).toMatchObject({ message: 'broken' });
    await expect(diffRuns(test.db, 'default', parent, undefined)).rejects.toMatchObject({ code: 'invalid_input' });
    expect((await diffRuns(test.db, 'default', parent, forked.id)).before.id).toBe(forked.id);
  });

  describe('is refused', () => {
    const refusals: [string, ForkRequest, string][] = [
      ['where nothing would run', {}, 'every step is kept'],
      ['from a step that is not there', { from: 'z' }, 'one of: a, b, c'],
      ['with the output of a step that runs again', { from: 'b', outputs: { c: {} } }, 'it needs b, which runs again'],
      ['with the output of a step that is not there', { outputs: { z: 1 } }, 'no such step'],
      ['with an input that is not declared', { inputs: { q: 1 } }, 'inputs.q'],
      ['with an input of another type', { inputs: { n: 'one' } }, 'inputs.n'],
      ['with an output above 1 MB', { outputs: { a: 'x'.repeat(1_100_000) } }, 'outputs.a'],
    ];
    it.each(refusals)('%s', async (_, request, said) => {
      const parent = await completed('line');
      await expect(fork(parent, request)).rejects.toMatchObject({
        code: 'invalid_input',
        message: expect.stringContaining(said),
      });
    });

    it('with an output that is none of its step type', async () => {
      const parent = await completed('files');
      const refused = fork(parent, { outputs: { write: { path: 'a', bytes: 'many' } } });
      await expect(refused).rejects.toMatchObject({
        code: 'invalid_input',
        problems: [{ path: 'outputs.write.bytes' }],
      });
      const [row] = await sql<{ n: number }>(
        test.db,
        "select count(*) as n from cronwright.runs where parent_id = $1 and origin = 'fork'",
        [parent],
      );
      expect(row?.n).toBe(0);
    });

    it('while its parent is being undone', async () => {
      script.failures.set('b', [fatal('no')]);
      const { entered, open } = gate(script, 'undo a');
      const parent = await world.start('undoing');
      await entered;
      await expect(fork(parent)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('being undone'),
      });
      open();
      expect((await world.reached(parent)).state).toBe('failed');
      const forked = await fork(parent);
      expect(forked.kept_steps).toEqual([]);
      expect((await world.reached(forked.id)).state).toBe('completed');
    });

    it('where there is no such run', async () => {
      await expect(fork('0198c0de-0000-7000-8000-000000000000')).rejects.toMatchObject({ code: 'not_found' });
    });
  });
});

describe('a fork by the version in force', () => {
  it('runs again what that version defines in another way, and leaves out inputs it does not know', async () => {
    const test = await createTestDatabase('pglite');
    try {
      const next = testPipeline('line', {
        ...line,
        version: 'line-2',
        inputs: { n: { type: 'integer', required: false, default: 1 } },
        steps: [line.steps[0] as never, step('b', ['a'], { with: { twice: 0 } }), step('c', ['b'], { timeoutMs: 5 })],
      });
      const world = await createWorld(test.db, [next]);
      await storePipelines(test.db, [line]);
      const parent = await enqueueRun(test.db, line, { inputs: { n: 3 } });
      await sql(
        test.db,
        `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms)
        select $1, step, -1, 'default', 'completed', 1, 0, 1, 0 from unnest(array['a', 'b', 'c']) as step`,
        [parent.id],
      );
      const forked = await forkRun(createRunStarter(world.control), parent.id, { version: 'current' }, maria);
      expect(forked).toMatchObject({ pipeline_version: 'line-2', kept_steps: ['a'], edited: { inputs: [] } });
      expect((await getRun(test.db, 'default', forked.id)).inputs).toEqual({ n: 3 });
    } finally {
      await test.close();
    }
  });
});
