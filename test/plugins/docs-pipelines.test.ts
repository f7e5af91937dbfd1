// Checks the pipelines that come with Cronwright against the real loader and the real step types, and walks through repo-docs by its steps.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import { loadPipelines } from '../../src/config/load-pipelines.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { builtInPlugins } from '../../src/steps/built-in-plugins.ts';
import { loadPlugins } from '../../src/steps/load-plugins.ts';
import { createRegistry } from '../../src/steps/registry.ts';
import { commitFiles, createScratch, git, runStep, type Scratch } from './git-scratch.ts';

let scratch: Scratch;
beforeEach(async () => {
  scratch = await createScratch();
});
afterEach(() => scratch.remove());

async function shipped(id: string): Promise<Pipeline> {
  const { plugins } = await loadPlugins({ builtIn: builtInPlugins, listed: [], baseDir: packageRoot });
  const loaded = await loadPipelines({
    configDir: join(packageRoot, 'config'),
    settings: { calendars: {} },
    catalogue: createRegistry(plugins),
  });
  const mine = (problem: { file?: string }): boolean => problem.file === `pipelines/${id}.yaml`;
  expect([...loaded.problems.filter(mine), ...loaded.warnings.filter(mine)]).toEqual([]);
  const pipeline = loaded.pipelines.find((candidate) => candidate.id === id);
  if (pipeline === undefined) throw new Error(`no pipeline ${id}`);
  return pipeline;
}

describe('the pipeline repo-docs', () => {
  it('runs every minute, one run at a time, and reaches its milestones in order', async () => {
    const pipeline = await shipped('repo-docs');
    expect(pipeline.schedules).toMatchObject([{ cron: '* * * * *', timezone: 'UTC', overlap: 'skip' }]);
    expect(pipeline.concurrency).toEqual({ limit: 1 });
    const milestones = pipeline.steps.map((step) => step.progress ?? 0);
    expect(milestones).toEqual([...milestones].sort((a, b) => a - b));
    const after = Object.fromEntries(pipeline.steps.map(({ id, progress }) => [id, progress]));
    expect(after).toMatchObject({ fetch: 10, analyze: 30, write: 60, commit: 90, push: 100 });
    // Nothing is published that was not checked.
    const order = pipeline.steps.map((step) => step.id);
    expect(order).toEqual(['fetch', 'changed', 'analyze', 'write', 'index', 'validate', 'commit', 'push']);
    for (const step of pipeline.steps.slice(2)) expect(step.if, step.id).toBe('steps.changed.output.changed');
  });

  it('publishes what it documents, once per commit', async () => {
    const source = await scratch.repository('shop', { 'src/a b.ts': '// Adds.\nexport const add = 1;\n' });
    const bare = join(scratch.dataDir, 'repositories/docs.git');
    expect(await documentOnce(source)).toBe(true);
    const first = await git(bare, 'rev-parse', 'docs');
    expect(await git(bare, 'show', 'docs:README.md')).toContain('[`a b.ts`](modules/src/a%20b.ts.md) | Adds. | 1 |');
    expect(await git(bare, 'show', 'docs:modules/src/a b.ts.md')).toContain('const add = 1');
    expect(await documentOnce(source)).toBe(false);
    expect(await git(bare, 'rev-parse', 'docs')).toBe(first);
    await commitFiles(source, { 'src/a b.ts': '', 'c.js': 'exports.c = 1;' }, 'second');
    expect(await documentOnce(source)).toBe(true);
    expect(await git(bare, 'rev-list', '--count', 'docs')).toBe('2');
  });
});

describe('the pipeline self-check', () => {
  it('asks the daemon every 30 seconds, within 10 seconds and without retries', async () => {
    const pipeline = await shipped('self-check');
    expect(pipeline.schedules).toMatchObject([{ cron: '*/30 * * * * *', overlap: 'skip' }]);
    expect(pipeline.steps).toMatchObject([{ uses: 'http.request', timeoutMs: 10_000, retry: { maxRetries: 0 } }]);
  });
});

/** The steps of repo-docs with what its expressions come to; false where it ends after `changed`. */
async function documentOnce(source: string): Promise<boolean> {
  const context = scratch.context({ env: { REPO: source } });
  const target = { remote: 'repositories/docs.git', branch: 'docs' };
  const fetched = await runStep<{ commit: string; remote_name: string }>('git.checkout', context, {
    remote: '.',
    depth: 1,
  });
  const state = await runStep<{ changed: boolean; message: string }>('git.changed', context, target);
  if (!state.changed) {
    expect(state.message).toMatch(/^nothing changed since [0-9a-f]{7}$/);
    return false;
  }
  const { modules, note } = await runStep<{ modules: object[]; note: string | null }>('code.analyze', context, {});
  await Promise.all(modules.map((module) => runStep('docs.generate', context, { module })));
  await runStep('docs.index', context, { modules, note, title: fetched.remote_name });
  expect(await runStep('docs.validate', context, { modules, min_coverage: 100 })).toMatchObject({ ok: true });
  const trailers = { 'Documented-Commit': fetched.commit };
  await runStep('git.commit', context, { ...target, from: 'docs', orphan: true, message: 'Document it', trailers });
  await runStep('git.push', context, { ...target, create_bare: true });
  expect(existsSync(join(scratch.dataDir, 'repositories/docs.git/HEAD'))).toBe(true);
  return true;
}
