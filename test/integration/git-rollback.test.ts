// A pipeline that checks out, writes, commits and pushes, and fails at each of its steps: everything outside is as before.
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { rollbackRun } from '../../src/control/rollback-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import type { Pipeline, StepDefinition } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { commitFiles, createScratch, git, type Scratch } from '../plugins/git-scratch.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, fatal, gate, type Script, startEngineWorld } from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';

const once = { ...fastRetry, maxRetries: 0 };
const work: readonly [string, string, Record<string, unknown>][] = [
  ['fetch', 'git.checkout', { remote: '${{ inputs.source }}' }],
  ['write', 'file.write', { path: 'docs/new/x.md', content: 'ours' }],
  ['report', 'file.write', { path: 'report.md', content: 'ours', target: 'files' }],
  [
    'commit',
    'git.commit',
    { branch: 'docs', from: 'docs', orphan: true, message: 'document', remote: 'repositories/docs.git' },
  ],
  ['push', 'git.push', { branch: 'docs', remote: 'repositories/docs.git' }],
  ['fresh', 'git.push', { branch: 'main', remote: 'repositories/docs.git' }],
];

/** The work, with a step that fails after the first `n` of it. */
function failsAfter(n: number): Pipeline {
  const steps: StepDefinition[] = [...work.slice(0, n), ['boom', 'test.do', {}] as const].map(
    ([id, uses, input], at, all) =>
      testStep(id, at === 0 ? [] : [all[at - 1]?.[0] as string], { uses, with: input, retry: once }),
  );
  const inputs = { source: { type: 'string', required: true } } as const;
  return testPipeline(`after-${n}`, { version: `after-${n}-1`, inputs, steps });
}

/** A program did something that nobody can undo, and left a file. */
const withProgram = testPipeline('with-program', {
  steps: [
    testStep('make', [], {
      uses: 'shell.run',
      with: { script: 'echo made > made.txt; echo ran >> ../../ran.txt' },
      retry: once,
    }),
    testStep('note', ['make'], { uses: 'file.write', with: { path: 'note.md', content: 'ours' }, retry: once }),
    testStep('boom', ['note'], { uses: 'test.do', with: {}, retry: once }),
  ],
});
const pipelines = [0, 1, 2, 3, 4, 5, 6].map(failsAfter);

describe('a run that checks out, writes, commits and pushes', () => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;
  let scratch: Scratch;
  let source: string;
  let bare: string;
  let before: { refs: string; report: string };

  beforeAll(async () => {
    test = await createTestDatabase('postgres', { isolation: 'read committed' });
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    scratch = await createScratch();
    source = await scratch.repository('source', { 'a.ts': '1' });
    bare = join(scratch.dataDir, 'repositories/docs.git');
    await mkdir(bare, { recursive: true });
    await git(bare, 'init', '--quiet', '--bare', '--initial-branch=docs');
    const theirs = await scratch.repository('theirs', { 'old.md': 'old' });
    await commitFiles(theirs, { 'old.md': 'older' }, 'second');
    await git(theirs, 'push', '--quiet', bare, 'HEAD:docs');
    await mkdir(join(scratch.dataDir, 'files'));
    await writeFile(join(scratch.dataDir, 'files/report.md'), 'theirs');
    script = createScript();
    const all = [...pipelines, withProgram];
    world = await startEngineWorld({ db: test.db, script, pipelines: all, dataDir: scratch.dataDir });
    before = await outside();
  });
  afterEach(async () => {
    await world.stop();
    await scratch.remove();
  });

  async function outside(): Promise<{ refs: string; report: string }> {
    return {
      refs: await git(bare, 'for-each-ref', '--format=%(refname) %(objectname)'),
      report: await readFile(join(scratch.dataDir, 'files/report.md'), 'utf8'),
    };
  }

  const workspace = (id: string) => join(scratch.dataDir, 'workspaces', id);

  async function filesOf(id: string): Promise<string[]> {
    const names = existsSync(workspace(id)) ? await readdir(workspace(id)) : [];
    // Notes of the steps themselves; they go with the run.
    return names.filter((name) => name !== '.cronwright');
  }

  it.each(
    pipelines.map((one, n) => [n, work[n - 1]?.[0] ?? 'nothing', one.id] as const),
  )('leaves nothing behind where it fails after step %i (%s)', async (n, _, pipeline) => {
    script.failures.set('boom', [fatal('broken')]);
    const id = await world.start(pipeline, { inputs: { source } });
    const run = await world.reached(id);
    expect([run.state, run.error?.message]).toEqual(['failed', 'step boom: broken']);
    expect(await outside()).toEqual(before);
    expect(await filesOf(id)).toEqual([]);
    if (n > 0) await expect.poll(() => existsSync(workspace(id))).toBe(false);
    const steps = await runSteps(test.db, 'default', id);
    expect(steps.filter(({ state }) => state === 'compensated')).toHaveLength(n);
  });

  it('does all of it again when it is retried after it was undone', async () => {
    script.failures.set('boom', [fatal('broken')]);
    const id = await world.start('after-4', { inputs: { source } });
    expect((await world.reached(id)).state).toBe('failed');
    await expect.poll(() => existsSync(workspace(id))).toBe(false);
    const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;
    const retry = await retryRun(createRunStarter(world.engine.control), id, caller);
    expect((await world.reached(retry.id)).state).toBe('completed');
    expect((await outside()).report).toBe('ours');
  });

  it('keeps the workspace where a program was run that is not undone: a retry does not run it again', async () => {
    script.failures.set('boom', [fatal('broken')]);
    const id = await world.start('with-program');
    expect((await world.reached(id)).error?.message).toBe('step boom: broken');
    expect(await filesOf(id)).toEqual(['made.txt']);
    const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;
    const retry = await retryRun(createRunStarter(world.engine.control), id, caller);
    expect((await world.reached(retry.id)).state).toBe('completed');
    expect(await readFile(join(scratch.dataDir, 'ran.txt'), 'utf8')).toBe('ran\n');
  });

  it('leaves nothing behind where a push itself fails', async () => {
    await writeFile(join(bare, 'refs/heads/main.lock'), '');
    const id = await world.start('after-6', { inputs: { source } });
    const run = await world.reached(id);
    expect(run).toMatchObject({ state: 'failed', error: { step: 'fresh' } });
    await rm(join(bare, 'refs/heads/main.lock'));
    expect(await outside()).toEqual(before);
    expect(await filesOf(id)).toEqual([]);
  });

  it('does it all when nothing fails, and undoes it when it is rolled back after its end', async () => {
    const id = await world.start('after-6', { inputs: { source } });
    expect((await world.reached(id)).state).toBe('completed');
    const done = await outside();
    expect(done.report).toBe('ours');
    expect(done.refs.split('\n')).toHaveLength(2);
    await expect.poll(() => existsSync(workspace(id))).toBe(false);
    const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;
    const undo = await rollbackRun(createRunStarter(world.engine.control), id, {}, caller);
    expect((await world.reached(undo.id)).state).toBe('rolled_back');
    expect(await outside()).toEqual(before);
  });

  it('is undone by a cancel with rollback, and its workspace goes', async () => {
    const { entered } = gate(script, 'boom');
    const id = await world.start('after-6', { inputs: { source } });
    await entered;
    expect(await outside()).not.toEqual(before);
    await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester', rollback: true });
    expect((await world.reached(id)).state).toBe('rolled_back');
    expect(await outside()).toEqual(before);
    await expect.poll(() => existsSync(workspace(id))).toBe(false);
  });

  it('leaves what somebody else pushed on top of it', async () => {
    const { entered, open } = gate(script, 'boom');
    script.failures.set('boom', [fatal('broken')]);
    const id = await world.start('after-5', { inputs: { source } });
    await entered;
    const clone = join(scratch.root, 'another');
    await git(scratch.root, 'clone', '--quiet', '--branch', 'docs', bare, clone);
    const theirs = await commitFiles(clone, { 'theirs.md': '1' }, 'on top');
    await git(clone, 'push', '--quiet', 'origin', 'docs');
    open();
    expect((await world.reached(id)).state).toBe('failed');
    expect(await git(bare, 'rev-parse', 'docs')).toBe(theirs);
    expect((await outside()).report).toBe('theirs');
  });
});
