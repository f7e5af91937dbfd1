// Checks git.changed, git.commit and git.push as one line: from a checked-out commit to a branch of another repository.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  commitFiles,
  committedAt,
  createScratch,
  git,
  runStep,
  type Scratch,
  type TestContext,
  writeFiles,
} from './git-scratch.ts';

const checkout = 'git.checkout';
const changed = 'git.changed';
const commit = 'git.commit';
const push = 'git.push';
const target = { remote: 'repositories/docs.git', branch: 'docs' };
let scratch: Scratch;
let source: string;
beforeEach(async () => {
  scratch = await createScratch();
  source = await scratch.repository('source', { 'a b.ts': '1' });
});
afterEach(() => scratch.remove());

interface Changed {
  changed: boolean;
  commit: string;
  last: string | null;
  message: string;
}
interface Committed {
  committed: boolean;
  commit: string | null;
  branch: string;
  files: number;
}
interface Pushed {
  pushed: boolean;
  commit: string;
  ref: string;
}

const barePath = (): string => join(scratch.dataDir, 'repositories', 'docs.git');

async function checkedOut(options: { depth?: number; dryRun?: boolean } = {}): Promise<TestContext> {
  const context = scratch.context(options.dryRun === undefined ? {} : { dryRun: options.dryRun });
  await runStep(checkout, context, { remote: source, ...(options.depth === undefined ? {} : { depth: 1 }) });
  return context;
}

/** One whole run, as the pipeline repo-docs makes it. */
async function publish(context: TestContext, files: Record<string, string>): Promise<[Changed, Committed, Pushed]> {
  const state = await runStep<Changed>(changed, context, target);
  await rm(join(context.workspace, 'docs'), { recursive: true, force: true });
  await mkdir(join(context.workspace, 'docs'));
  await writeFiles(join(context.workspace, 'docs'), files);
  const committed = await runStep<Committed>(commit, context, {
    ...target,
    from: 'docs',
    orphan: true,
    message: 'Document it',
    trailers: { 'Documented-Commit': state.commit },
  });
  return [state, committed, await runStep<Pushed>(push, context, { ...target, create_bare: true })];
}

describe('publishing to a repository below the data directory', () => {
  it('makes the repository, records the commit, and says the next time that nothing changed', async () => {
    const head = await git(source, 'rev-parse', 'HEAD');
    const [state, committed, pushed] = await publish(await checkedOut({ depth: 1 }), {
      'README.md': 'x',
      'ü/a b.md': 'y',
    });
    expect(state).toMatchObject({ changed: true, commit: head, last: null });
    expect(committed).toMatchObject({ committed: true, files: 2, branch: 'docs' });
    expect(pushed).toEqual({ pushed: true, commit: committed.commit, ref: 'refs/heads/docs' });
    expect(await git(barePath(), '-c', 'core.quotePath=false', 'ls-tree', '-r', '--name-only', 'docs')).toBe(
      'README.md\nü/a b.md',
    );
    expect(await git(barePath(), 'log', '-1', '--format=%an <%ae> %s', 'docs')).toBe(
      'Cronwright <cronwright@localhost> Document it',
    );

    const again = await checkedOut({ depth: 1 });
    const second = await runStep<Changed>(changed, again, target);
    expect(second).toEqual({
      changed: false,
      commit: head,
      last: head,
      message: `nothing changed since ${head.slice(0, 7)}`,
    });
    expect(again.logged.join('\n')).toContain(second.message);
  });

  it('makes the same commit from equal input, whenever and wherever it runs', async () => {
    const [, first] = await publish(await checkedOut(), { 'README.md': 'x' });
    await rm(barePath(), { recursive: true });
    const [, second] = await publish(await checkedOut({ depth: 1 }), { 'README.md': 'x' });
    expect(second.commit).toBe(first.commit);
    const dates = await git(barePath(), 'log', '-1', '--format=%at %ct', 'docs');
    expect(dates).toBe(`${Date.parse(committedAt) / 1000} ${Date.parse(committedAt) / 1000}`);
  });

  it('commits and pushes nothing when a step is repeated', async () => {
    const context = await checkedOut({ depth: 1 });
    const [, first] = await publish(context, { 'README.md': 'x' });
    const [state, committed, pushed] = await publish(context, { 'README.md': 'x' });
    expect(state.changed).toBe(false);
    expect(committed).toEqual({ committed: false, commit: first.commit, branch: 'docs', files: 0 });
    expect(pushed).toMatchObject({ pushed: false, commit: first.commit });
  });

  it('builds upon the branch of the target, and drops files that are gone', async () => {
    const [, first] = await publish(await checkedOut({ depth: 1 }), { 'README.md': 'x', 'old.md': 'y' });
    await commitFiles(source, { c: '3' }, 'second');
    const [state, second, pushed] = await publish(await checkedOut({ depth: 1 }), { 'README.md': 'z' });
    expect(state).toMatchObject({ changed: true });
    expect(second).toMatchObject({ committed: true, files: 2 });
    expect(pushed.pushed).toBe(true);
    expect(await git(barePath(), 'rev-parse', 'docs^')).toBe(first.commit);
    expect(await git(barePath(), 'ls-tree', '--name-only', 'docs')).toBe('README.md');
    await git(barePath(), 'fsck', '--strict');
  });

  it('holds on a branch of its own exactly the paths that are named', async () => {
    const context = await checkedOut();
    await publish(context, { 'README.md': 'x', 'old.md': 'y' });
    const options = { ...target, from: 'docs', orphan: true, message: 'Only one', paths: ['README.md'] };
    expect(await runStep(commit, context, options)).toMatchObject({ committed: true, files: 1 });
    expect(await git(join(context.workspace, 'repo'), 'ls-tree', '--name-only', 'docs')).toBe('README.md');
  });

  it('records a new commit although the files are the same, so that it is not looked at again', async () => {
    await publish(await checkedOut(), { 'README.md': 'x' });
    const head = await commitFiles(source, { 'other.txt': '3' }, 'second');
    const [, committed] = await publish(await checkedOut(), { 'README.md': 'x' });
    expect(committed).toMatchObject({ committed: true, files: 0 });
    expect(await runStep(changed, await checkedOut(), target)).toMatchObject({ changed: false, last: head });
  });

  it('refuses to push over what someone else pushed since, unless the lease is asked for and holds', async () => {
    await publish(await checkedOut(), { 'README.md': 'x' });
    await commitFiles(source, { c: '3' }, 'second');
    const context = await checkedOut();
    const made = await runStep<Committed>(commit, context, { ...target, paths: ['c'], message: 'Second' });
    await git(scratch.root, 'clone', '--quiet', barePath(), 'theirs');
    const theirs = await commitFiles(join(scratch.root, 'theirs'), { 'README.md': 'theirs' }, 'theirs');
    await git(join(scratch.root, 'theirs'), 'push', '--quiet', 'origin', 'HEAD:docs');
    for (const lease of [false, true]) {
      const failure = runStep(push, context, { ...target, force_with_lease: lease });
      await expect(failure).rejects.toMatchObject({
        name: 'Diverged',
        class: 'fatal',
        details: { commit: made.commit, remote_commit: theirs },
      });
    }
    expect(await git(barePath(), 'rev-parse', 'docs')).toBe(theirs);
    // Seen and accepted: now the lease holds.
    await runStep(changed, context, target);
    expect(await runStep(push, context, { ...target, force_with_lease: true })).toMatchObject({ pushed: true });
    expect(await git(barePath(), 'rev-parse', 'docs')).toBe(made.commit);
  });

  it('changes nothing outside in a dry run', async () => {
    const context = await checkedOut({ dryRun: true });
    const [, committed, pushed] = await publish(context, { 'README.md': 'x' });
    expect(pushed).toEqual({ pushed: false, commit: committed.commit, ref: 'refs/heads/docs' });
    expect(existsSync(barePath())).toBe(false);
    expect(context.logged.join('\n')).toContain('dry run: would push');
  });

  it('keeps to the data directory, except for an address that is a URL', async () => {
    const context = await checkedOut();
    for (const remote of ['../outside.git', join(scratch.root, 'outside.git'), '.']) {
      const failure = runStep(push, context, { remote, branch: 'main', create_bare: true });
      await expect(failure, remote).rejects.toMatchObject({ name: 'PathNotAllowed', class: 'fatal' });
    }
    const remote = `file://${join(scratch.root, 'outside.git')}`;
    expect(await runStep(push, context, { remote, branch: 'main', create_bare: true })).toMatchObject({
      pushed: true,
    });
  });

  it('says what is missing: the branch of the clone, the repository to push to, a folder to commit', async () => {
    const ctx = await checkedOut();
    await expect(runStep(push, ctx, { ...target, branch: 'none' })).rejects.toMatchObject({ name: 'BranchNotFound' });
    await expect(runStep(push, ctx, { ...target, branch: 'main' })).rejects.toMatchObject({
      name: 'RepositoryNotFound',
    });
    await expect(runStep(commit, ctx, { ...target, from: 'none', message: 'x' })).rejects.toMatchObject({
      name: 'NotFound',
    });
  });

  it('runs no hook of the target', async () => {
    const mark = join(scratch.root, 'mark');
    await mkdir(join(barePath(), '..'), { recursive: true });
    await git(scratch.root, 'init', '--quiet', '--bare', barePath());
    await mkdir(join(barePath(), 'hooks'), { recursive: true });
    await writeFile(join(barePath(), 'hooks', 'post-receive'), `#!/bin/sh\ntouch ${mark}\n`);
    await chmod(join(barePath(), 'hooks', 'post-receive'), 0o755);
    expect((await publish(await checkedOut(), { a: '1' }))[2].pushed).toBe(true);
    expect(existsSync(mark)).toBe(false);
  });

  it.runIf(process.getuid?.() === 0)('pushes to a repository that belongs to another user', async () => {
    await publish(await checkedOut(), { a: '1' });
    for (const entry of await readdir(barePath(), { recursive: true }))
      await chown(join(barePath(), entry), 65534, 65534);
    await chown(barePath(), 65534, 65534);
    const run = (): string =>
      execFileSync('git', ['-C', barePath(), 'log', 'docs'], {
        env: { PATH: process.env.PATH },
        stdio: 'pipe',
      }).toString();
    expect(run).toThrow(/dubious ownership/);
    await commitFiles(source, { c: '3' }, 'second');
    expect((await publish(await checkedOut(), { a: '2' }))[2].pushed).toBe(true);
  });
});

describe('git.commit in the clone itself', () => {
  it('commits changed, new and deleted files of the branch that is checked out', async () => {
    await commitFiles(source, { 'gone.txt': 'x', 'left alone': '1' }, 'second');
    const ctx = await checkedOut();
    const repo = join(ctx.workspace, 'repo');
    await writeFiles(repo, { 'a b.ts': '2', 'new/*.ts': '3', 'left alone': 'changed' });
    await rm(join(repo, 'gone.txt'));
    const paths = ['a b.ts', 'new', 'gone.txt'];
    const made = await runStep<Committed>(commit, ctx, {
      branch: 'main',
      paths,
      message: 'Change it',
      author: 'Ada <a@b.example>',
    });
    expect(made).toMatchObject({ committed: true, files: 3 });
    expect(await git(repo, 'log', '-1', '--format=%H %an %s')).toBe(`${made.commit} Ada Change it`);
    expect(await git(repo, 'status', '--porcelain')).toBe('M "left alone"');
    expect(await runStep(commit, ctx, { branch: 'main', paths, message: 'Change it' })).toMatchObject({
      committed: false,
    });
  });

  it('starts a new branch at the checked-out commit', async () => {
    const ctx = await checkedOut();
    await writeFiles(join(ctx.workspace, 'repo'), { b: '2' });
    await runStep(commit, ctx, { branch: 'next', paths: ['b'], message: 'Add b' });
    expect(await git(join(ctx.workspace, 'repo'), 'log', '--format=%s', 'next')).toBe('Add b\nfirst');
    expect(await git(join(ctx.workspace, 'repo'), 'symbolic-ref', 'HEAD')).toBe('refs/heads/main');
  });

  it('takes paths literally and names the one that does not exist', async () => {
    const ctx = await checkedOut();
    await writeFiles(join(ctx.workspace, 'repo'), { 'a b.ts': '2' });
    await expect(runStep(commit, ctx, { branch: 'main', paths: ['a*.ts'], message: 'x' })).rejects.toMatchObject({
      name: 'NotFound',
      message: expect.stringContaining("'a*.ts'"),
    });
  });

  it('refuses names and texts that git would read as something else', async () => {
    const ctx = await checkedOut();
    const bad = [
      { branch: '--all', message: 'x' },
      { branch: 'a..b', message: 'x' },
      { branch: 'a b', message: 'x' },
      { branch: 'HEAD', message: 'x' },
      { branch: 'x', message: ' ' },
      { branch: 'x', message: 'x', author: 'no address' },
      { branch: 'x', message: 'x', trailers: { 'A-Key': 'two\nlines' } },
      { branch: 'x', message: 'x', unknown: 1 },
    ];
    for (const input of bad) await expect(runStep(commit, ctx, input), JSON.stringify(input)).rejects.toThrow();
  });
});

describe('git.changed since a ref', () => {
  it('compares with a branch, tag or commit of the clone', async () => {
    const first = await git(source, 'rev-parse', 'HEAD');
    const before = await checkedOut();
    expect(await runStep(changed, before, { since_ref: first })).toMatchObject({ changed: false });
    const second = await commitFiles(source, { c: '3' }, 'second');
    const after = await checkedOut();
    expect(await runStep(changed, after, { since_ref: first })).toEqual({
      changed: true,
      commit: second,
      last: first,
      message: `changed since ${first.slice(0, 7)}: now ${second.slice(0, 7)}`,
    });
  });

  it('wants exactly one thing to compare with', async () => {
    const ctx = await checkedOut();
    for (const input of [{}, { remote: 'x.git' }, { since_ref: 'main', ...target }]) {
      await expect(runStep(changed, ctx, input)).rejects.toThrow(/since_ref|branch/);
    }
  });
});
