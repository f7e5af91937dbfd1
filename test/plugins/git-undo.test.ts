// Undoes git.checkout, git.commit and git.push on real repositories: after success, after a crash, twice, and after others moved on.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { freePort } from '../support/free-port.ts';
import {
  commitFiles,
  createScratch,
  git,
  runStep,
  type Scratch,
  type TestContext,
  undoStep,
  writeFiles,
} from './git-scratch.ts';

let scratch: Scratch;
let source: string;
beforeEach(async () => {
  scratch = await createScratch();
  source = await scratch.repository('source', { 'a.ts': '1' });
});
afterEach(() => scratch.remove());

const refs = (repository: string) => git(repository, 'for-each-ref', '--format=%(refname) %(objectname)');

async function checkedOut(input: Record<string, unknown> = {}): Promise<TestContext> {
  const context = scratch.context();
  await runStep('git.checkout', context, { remote: source, ...input });
  return context;
}

describe('git.checkout undone', () => {
  it('removes the clone, once and again', async () => {
    const context = await checkedOut();
    await undoStep('git.checkout', context, { remote: source });
    await undoStep('git.checkout', context, { remote: source });
    expect(existsSync(join(context.workspace, 'repo'))).toBe(false);
  });

  it('removes what a crash left of it, and nothing that was there before', async () => {
    const context = scratch.context();
    await mkdir(join(context.workspace, 'repo.partial'), { recursive: true });
    await mkdir(join(context.workspace, 'repo'));
    await undoStep('git.checkout', context, { remote: source });
    expect(await readdir(context.workspace)).toEqual(['repo']);
  });

  it('puts back the folder whose place it took, also where it was tried twice', async () => {
    const context = scratch.context();
    await mkdir(join(context.workspace, 'repo'), { recursive: true });
    await writeFile(join(context.workspace, 'repo', 'theirs'), 'x');
    await runStep('git.checkout', context, { remote: source });
    context.overrides = { ...context.overrides, checkpoint: context.checkpoints.get('git.checkout') ?? null };
    await runStep('git.checkout', context, { remote: source });
    expect(existsSync(join(context.workspace, 'repo', 'a.ts'))).toBe(true);
    await undoStep('git.checkout', context, { remote: source });
    await undoStep('git.checkout', context, { remote: source });
    expect(await readdir(join(context.workspace, 'repo'))).toEqual(['theirs']);
  });
});

describe('git.commit undone', () => {
  const input = { branch: 'main', message: 'change' };

  it('resets the branch and the index to the commit before, and leaves the files to the steps that wrote them', async () => {
    const context = await checkedOut();
    const clone = join(context.workspace, 'repo');
    const before = await git(clone, 'rev-parse', 'HEAD');
    await writeFiles(clone, { 'a.ts': '2', 'new.ts': '3' });
    await runStep('git.commit', context, input);
    expect(await git(clone, 'rev-parse', 'HEAD')).not.toBe(before);
    await undoStep('git.commit', context, input);
    await undoStep('git.commit', context, input);
    expect(await git(clone, 'rev-parse', 'main')).toBe(before);
    expect(await git(clone, 'diff', '--cached', '--name-only')).toBe('');
    expect(await git(clone, 'status', '--porcelain')).toBe('M a.ts\n?? new.ts');
  });

  it('deletes a branch that was not there before', async () => {
    const context = await checkedOut();
    const clone = join(context.workspace, 'repo');
    await writeFiles(context.workspace, { 'docs/x.md': 'x' });
    const orphan = { branch: 'docs', from: 'docs', orphan: true, message: 'document' };
    const before = await refs(clone);
    await runStep('git.commit', context, orphan);
    await undoStep('git.commit', context, orphan);
    expect(await refs(clone)).toBe(before);
  });

  it('knows the commit before the first of several tries', async () => {
    const context = await checkedOut();
    const clone = join(context.workspace, 'repo');
    const before = await git(clone, 'rev-parse', 'HEAD');
    for (const content of ['2', '3']) {
      await writeFiles(clone, { 'a.ts': content });
      await runStep('git.commit', context, input);
      context.overrides = { ...context.overrides, checkpoint: context.checkpoints.get('git.commit') ?? null };
    }
    await undoStep('git.commit', context, input);
    expect(await git(clone, 'rev-parse', 'main')).toBe(before);
  });

  it('leaves a branch that has moved on, and a clone that is gone', async () => {
    const context = await checkedOut();
    const clone = join(context.workspace, 'repo');
    await writeFiles(clone, { 'a.ts': '2' });
    await runStep('git.commit', context, input);
    const later = await commitFiles(clone, { 'b.ts': '1' }, 'later');
    await undoStep('git.commit', context, input);
    expect(await git(clone, 'rev-parse', 'main')).toBe(later);
    expect(context.logged.join()).toContain('has moved on');
    await rm(clone, { recursive: true });
    await undoStep('git.commit', context, input);
  });
});

/** A target that is a path, and one that is a URL. */
const targets = ['path', 'url'] as const;

describe.each(targets)('git.push to a %s undone', (kind) => {
  let served: { base: string; root: string; process: ChildProcess } | undefined;
  beforeAll(async () => {
    if (kind === 'url') served = await serveGit();
  });
  afterAll(async () => {
    if (served?.process.pid !== undefined) process.kill(-served.process.pid);
    if (served) await rm(served.root, { recursive: true, force: true });
  });

  /** A bare repository with the branches given, and how a step names it. */
  async function target(
    name: string,
    branches: Record<string, Record<string, string>>,
  ): Promise<{ bare: string; remote: string }> {
    const bare = join(served?.root ?? join(scratch.dataDir, 'repositories'), `${name}.git`);
    await rm(bare, { recursive: true, force: true });
    await mkdir(bare, { recursive: true });
    await git(bare, 'init', '--quiet', '--bare', '--initial-branch=main');
    for (const [branch, files] of Object.entries(branches)) {
      const work = join(scratch.root, `${name}-${branch}`);
      await mkdir(work);
      await git(work, 'init', '--quiet', `--initial-branch=${branch}`);
      await commitFiles(work, files, 'theirs');
      await commitFiles(work, { ...files, 'second.md': '2' }, 'theirs too');
      await git(work, 'push', '--quiet', bare, branch);
    }
    return { bare, remote: served === undefined ? `repositories/${name}.git` : `${served.base}/${name}.git` };
  }

  async function committed(remote: string, branch = 'docs'): Promise<TestContext> {
    const context = await checkedOut({ depth: 1 });
    await writeFiles(context.workspace, { 'docs/x.md': 'ours' });
    await runStep('git.commit', context, { branch, from: 'docs', orphan: true, message: 'document', remote });
    return context;
  }

  it('deletes a branch that was not there before, once and again', async () => {
    const { bare, remote } = await target('new', { main: { a: '1' } });
    const before = await refs(bare);
    const context = await committed(remote);
    const output = await runStep('git.push', context, { remote, branch: 'docs' });
    expect(await refs(bare)).not.toBe(before);
    await undoStep('git.push', context, { remote, branch: 'docs' }, output);
    await undoStep('git.push', context, { remote, branch: 'docs' }, output);
    expect(await refs(bare)).toBe(before);
    expect(context.logged.join()).toContain('branch of the remote deleted');
  });

  it('puts a branch that it moved on back to the commit before', async () => {
    const { bare, remote } = await target('moved', { docs: { a: '1' } });
    const before = await refs(bare);
    const context = await committed(remote);
    await runStep('git.push', context, { remote, branch: 'docs' });
    expect(await refs(bare)).not.toBe(before);
    await undoStep('git.push', context, { remote, branch: 'docs' });
    expect(await refs(bare)).toBe(before);
  });

  it.each([true, false])('puts a branch back that it replaced (the clone is still there: %s)', async (hasClone) => {
    const { bare, remote } = await target('replaced', { docs: { a: '1' } });
    const before = await refs(bare);
    const context = await checkedOut();
    await writeFiles(context.workspace, { 'docs/x.md': 'ours' });
    await runStep('git.commit', context, { branch: 'docs', from: 'docs', orphan: true, message: 'document' });
    const push = { remote, branch: 'docs', force_with_lease: true };
    await runStep('git.push', context, push);
    expect(await refs(bare)).not.toBe(before);
    if (!hasClone) await rm(context.workspace, { recursive: true });
    await undoStep('git.push', context, push);
    await undoStep('git.push', context, push);
    expect(await refs(bare)).toBe(before);
    expect(await git(bare, 'fsck', '--connectivity-only')).not.toContain('missing');
  });

  it('is undone where it crashed before or after the push', async () => {
    const { bare, remote } = await target('crashed', { docs: { a: '1' } });
    const before = await refs(bare);
    const context = await committed(remote);
    await undoStep('git.push', context, { remote, branch: 'docs' });
    expect(await refs(bare)).toBe(before);
    const pushed = await runStep('git.push', context, { remote, branch: 'docs' });
    // Again, as after a crash: it finds its own commit, and still knows what was there before it.
    context.overrides = { ...context.overrides, checkpoint: context.checkpoints.get('git.push') ?? null };
    expect(await runStep('git.push', context, { remote, branch: 'docs' })).toEqual(pushed);
    await undoStep('git.push', context, { remote, branch: 'docs' });
    expect(await refs(bare)).toBe(before);
  });

  it('knows what was there before the first of several tries, also where a later one pushed more', async () => {
    const { bare, remote } = await target('several', { docs: { a: '1' } });
    const before = await refs(bare);
    const context = await committed(remote);
    await runStep('git.push', context, { remote, branch: 'docs' });
    await writeFiles(context.workspace, { 'docs/x.md': 'ours, corrected' });
    await runStep('git.commit', context, { branch: 'docs', from: 'docs', message: 'correct', remote });
    context.overrides = { ...context.overrides, checkpoint: context.checkpoints.get('git.push') ?? null };
    await runStep('git.push', context, { remote, branch: 'docs' });
    await undoStep('git.push', context, { remote, branch: 'docs' });
    expect(await refs(bare)).toBe(before);
  });

  it('leaves the branch where somebody else moved it since, and says so', async () => {
    const { bare, remote } = await target('theirs', { docs: { a: '1' } });
    const context = await committed(remote);
    await runStep('git.push', context, { remote, branch: 'docs' });
    const work = join(scratch.root, 'another');
    await git(scratch.root, 'clone', '--quiet', '--branch', 'docs', bare, work);
    const theirs = await commitFiles(work, { 'theirs.md': '1' }, 'on top');
    await git(work, 'push', '--quiet', 'origin', 'docs');
    await undoStep('git.push', context, { remote, branch: 'docs' });
    expect(await git(bare, 'rev-parse', 'docs')).toBe(theirs);
    expect(context.logged.join()).toContain('somebody else has moved the branch');
  });

  it('leaves a branch that was at this commit before it', async () => {
    const { bare, remote } = await target('same', {});
    const context = await committed(remote);
    await runStep('git.push', context, { remote, branch: 'docs' });
    const before = await refs(bare);
    context.checkpoints.clear();
    expect(await runStep('git.push', context, { remote, branch: 'docs' })).toMatchObject({ pushed: false });
    await undoStep('git.push', context, { remote, branch: 'docs' });
    expect(await refs(bare)).toBe(before);
  });

  if (kind === 'url')
    it('fails with what it could not undo where the remote refuses it', async () => {
      const { bare, remote } = await target('strict', { main: { a: '1' } });
      const context = await committed(remote);
      await runStep('git.push', context, { remote, branch: 'docs' });
      await git(bare, 'config', 'receive.denyDeletes', 'true');
      await expect(undoStep('git.push', context, { remote, branch: 'docs' })).rejects.toMatchObject({
        name: 'CannotUndo',
        class: 'fatal',
        message: expect.stringContaining('cannot be deleted'),
      });
    });

  if (kind === 'path')
    it('leaves a repository that it made, empty', async () => {
      const remote = 'repositories/made.git';
      const context = await committed(remote);
      await runStep('git.push', context, { remote, branch: 'docs', create_bare: true });
      const bare = join(scratch.dataDir, remote);
      expect(await refs(bare)).not.toBe('');
      await undoStep('git.push', context, { remote, branch: 'docs', create_bare: true });
      expect(await refs(bare)).toBe('');
    });
});

/** `git daemon` on a free port: a server that is spoken to by the protocol. */
async function serveGit(): Promise<{ base: string; root: string; process: ChildProcess }> {
  const { root } = await createScratch();
  const port = await freePort();
  const args = ['daemon', '--reuseaddr', '--listen=127.0.0.1', `--port=${port}`, `--base-path=${root}`];
  const child = spawn('git', ['-c', 'safe.directory=*', ...args, '--export-all', '--enable=receive-pack', root], {
    env: {
      PATH: process.env.PATH,
      HOME: root,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    },
    stdio: 'ignore',
    // Git starts the daemon as a process of its own.
    detached: true,
  });
  const base = `git://127.0.0.1:${port}`;
  await mkdir(join(root, 'probe.git'));
  await git(join(root, 'probe.git'), 'init', '--quiet', '--bare');
  await vi.waitFor(() => git(root, 'ls-remote', `${base}/probe.git`), { timeout: 10_000, interval: 50 });
  return { base, root, process: child };
}
