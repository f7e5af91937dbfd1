// git.commit: commits files of the workspace on a branch of the clone, so that equal input gives an equal commit.
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { type Git, type GitOptions, openGit } from './git-command.ts';
import { branchName } from './ref-name.ts';
import { insideWorkspace, parseTarget } from './remote.ts';
import { fetchTip, trailerOf } from './target-branch.ts';
import { trailerKey } from './trailer-key.ts';

const input = z.strictObject({
  path: z.string().default('repo').describe('The clone, a folder of the workspace'),
  branch: branchName.describe('Branch that receives the commit'),
  from: z.string().optional().describe('Folder of the workspace the files are taken from; default the clone itself'),
  paths: z
    .array(z.string().min(1))
    .min(1)
    .default(['.'])
    .describe('Files and folders to commit, relative to `from`, no patterns; deleted ones are committed as deleted'),
  message: z.string().trim().min(1).describe('Subject, and after an empty line the body'),
  trailers: z
    .record(
      trailerKey,
      z
        .string()
        .trim()
        .min(1)
        .regex(/^[^\r\n]*$/, 'must be one line'),
    )
    .default({})
    .describe('Lines `Key: value` at the end of the message'),
  author: z
    .string()
    .regex(/^[^<>\r\n]+ <[^<>\s]+>$/, 'must look like Name <address@example.org>')
    .default('Cronwright <cronwright@localhost>'),
  orphan: z
    .boolean()
    .default(false)
    .describe('The branch has a history and a tree of its own: it holds exactly `paths`, and starts without a parent'),
  remote: z
    .string()
    .optional()
    .describe(
      'Build upon the branch of this repository: a path below the data directory, or a URL; default the clone’s branch',
    ),
});

const output = z.object({
  committed: z.boolean().describe('False where there was nothing to commit'),
  commit: z.string().nullable().describe('Tip of the branch; null where the branch is still empty'),
  branch: z.string(),
  files: z.int().describe('Files the commit changes'),
});

export const commit = defineStep({
  description: 'Commits files of the workspace on a branch; equal input gives an equal commit',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, options) {
    const clone = insideWorkspace(ctx.workspace, options.path);
    const tree = insideWorkspace(ctx.workspace, options.from ?? options.path);
    if (!existsSync(tree)) {
      throw new StepError('fatal', `there is no folder '${options.from ?? options.path}' in the workspace to commit`, {
        name: 'NotFound',
      });
    }
    const git = await openGit(ctx);
    const target = options.remote === undefined ? undefined : parseTarget(options.remote, ctx.host.dataDir);
    const upstream = target === undefined ? undefined : await fetchTip(git, clone, target, options.branch);
    const parent = target === undefined ? await localParent(git, clone, options) : upstream;
    // A branch that is new in the target starts at the checked-out commit, unless it has a history of its own.
    const base = parent ?? (options.orphan ? undefined : await revision(git, clone, 'HEAD'));
    const treeHash = await writeTree(git, ctx.workspace, { clone, tree, ...options, base });
    const files = await countChanges(git, clone, base, treeHash);
    if (files === 0 && (await sameTrailers(git, clone, base, options.trailers))) {
      ctx.log.info('nothing to commit', { branch: options.branch, commit: base ?? null });
      if (base !== undefined) await moveBranch(ctx, git, clone, options.branch, base);
      return { committed: false, commit: base ?? null, branch: options.branch, files: 0 };
    }
    const hash = await writeCommit(git, clone, treeHash, base, options);
    await moveBranch(ctx, git, clone, options.branch, hash);
    ctx.log.info('committed', { branch: options.branch, commit: hash, files });
    return { committed: true, commit: hash, branch: options.branch, files };
  },
  async compensate(ctx, { path, branch }) {
    const clone = insideWorkspace(ctx.workspace, path);
    const moved = await loadMove(ctx);
    if (moved === undefined || !existsSync(join(clone, '.git'))) return;
    await moveBack(ctx, await openGit(ctx), clone, branch, moved);
  },
});

interface Move {
  /** null: there was no such branch. */
  before: string | null;
  after: string;
}

async function loadMove(ctx: StepContext): Promise<Move | undefined> {
  return (await ctx.checkpoint.load()) as unknown as Move | undefined;
}

/** Notes where the branch was before it moves; of several tries the first one saw it. */
async function moveBranch(ctx: StepContext, git: Git, clone: string, branch: string, to: string): Promise<void> {
  const current = await revision(git, clone, `refs/heads/${branch}`);
  if (current !== to) {
    const earlier = await loadMove(ctx);
    const before = earlier?.after === current ? (earlier?.before ?? null) : (current ?? null);
    await ctx.checkpoint.save({ before, after: to });
  }
  await setBranch(git, clone, branch, to);
}

/** The branch as before, and the index with it where it is checked out; files are those of the steps that wrote them. */
async function moveBack(ctx: StepContext, git: Git, clone: string, branch: string, moved: Move): Promise<void> {
  const { before, after } = moved;
  const ref = `refs/heads/${branch}`;
  const current = (await revision(git, clone, ref)) ?? null;
  if (current !== before && current !== after) {
    ctx.log.warn('left as it is: the branch of the clone has moved on since', { branch, commit: current });
    return;
  }
  if (current === after && after !== before) {
    await git.run(before === null ? ['update-ref', '-d', ref, after] : ['update-ref', ref, before, after], {
      cwd: clone,
    });
    ctx.log.info('commit taken back', { branch, commit: before });
  }
  const head = await git.attempt(['symbolic-ref', '--quiet', 'HEAD'], { cwd: clone });
  if (head.stdout.trim() !== ref) return;
  await git.run(before === null ? ['read-tree', '--empty'] : ['reset', '--quiet', '--mixed'], { cwd: clone });
}

async function revision(git: Git, clone: string, name: string): Promise<string | undefined> {
  const result = await git.attempt(['rev-parse', '--verify', '--quiet', `${name}^{commit}`], { cwd: clone });
  return result.ok ? result.stdout.trim() : undefined;
}

function localParent(git: Git, clone: string, options: { branch: string }): Promise<string | undefined> {
  return revision(git, clone, `refs/heads/${options.branch}`);
}

/** The tree of the new commit, made in an index of its own: the clone's index and files stay as they are. */
async function writeTree(
  git: Git,
  workspace: string,
  options: { clone: string; tree: string; base: string | undefined; orphan: boolean; paths: readonly string[] },
): Promise<string> {
  const index = join(workspace, '.cronwright', `index-${randomUUID()}`);
  const gitDir = (await git.run(['rev-parse', '--absolute-git-dir'], { cwd: options.clone })).replace(/\n$/, '');
  const where = {
    cwd: options.tree,
    env: { GIT_DIR: gitDir, GIT_WORK_TREE: options.tree, GIT_INDEX_FILE: index, GIT_LITERAL_PATHSPECS: '1' },
  };
  try {
    const keep = options.base !== undefined && !options.orphan ? [options.base] : ['--empty'];
    await git.run(['read-tree', ...keep], where);
    const paths = await presentPaths(git, where, options);
    if (paths.length > 0) {
      const stdin = `${paths.join('\0')}\0`;
      await git.run(['add', '--all', '--pathspec-from-file=-', '--pathspec-file-nul'], { ...where, stdin });
    }
    return (await git.run(['write-tree'], where)).trim();
  } finally {
    await rm(index, { force: true });
  }
}

/** Without paths whose deletion the branch already holds (the step is repeated); one that never was is a fatal `NotFound`. */
async function presentPaths(
  git: Git,
  where: GitOptions,
  options: { tree: string; base: string | undefined; paths: readonly string[] },
): Promise<string[]> {
  const present: string[] = [];
  for (const path of options.paths) {
    const there = await lstat(join(options.tree, path)).catch(() => undefined);
    const tracked = there !== undefined || (await git.run(['ls-files', '-z', '--', path], where)) !== '';
    if (tracked) present.push(path);
    else if (options.base === undefined || (await git.run(['log', '-1', options.base, '--', path], where)) === '') {
      throw new StepError('fatal', `there is no '${path}' to commit: it is neither a file nor was it ever one`, {
        name: 'NotFound',
      });
    }
  }
  return present;
}

async function countChanges(git: Git, clone: string, base: string | undefined, tree: string): Promise<number> {
  const listing =
    base === undefined
      ? await git.run(['ls-tree', '-r', '-z', '--name-only', tree], { cwd: clone })
      : await git.run(['diff-tree', '-r', '-z', '--no-renames', '--name-only', base, tree, '--'], { cwd: clone });
  return listing.split('\0').length - 1;
}

/** Without a parent and without files there is nothing to say; with equal files, a new trailer is worth a commit. */
async function sameTrailers(
  git: Git,
  clone: string,
  base: string | undefined,
  trailers: Readonly<Record<string, string>>,
): Promise<boolean> {
  if (base === undefined) return true;
  for (const [key, value] of Object.entries(trailers)) {
    if ((await trailerOf(git, clone, base, key)) !== value) return false;
  }
  return true;
}

async function writeCommit(
  git: Git,
  clone: string,
  tree: string,
  parent: string | undefined,
  options: { message: string; trailers: Readonly<Record<string, string>>; author: string },
): Promise<string> {
  // The source commit's own instant: a repeated step makes the very same commit, whenever it runs.
  const date = (await git.run(['log', '-1', '--format=@%ct +0000', 'HEAD', '--'], { cwd: clone })).trim();
  const [, name = '', email = ''] = /^(.+) <(.+)>$/.exec(options.author) ?? [];
  const trailers = Object.entries(options.trailers)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}: ${value}`);
  const message = [options.message, ...(trailers.length === 0 ? [] : [trailers.join('\n')])].join('\n\n');
  const hash = await git.run(['commit-tree', tree, ...(parent === undefined ? [] : ['-p', parent]), '-F', '-'], {
    cwd: clone,
    stdin: `${message}\n`,
    env: {
      GIT_AUTHOR_NAME: name,
      GIT_AUTHOR_EMAIL: email,
      GIT_AUTHOR_DATE: date,
      GIT_COMMITTER_NAME: name,
      GIT_COMMITTER_EMAIL: email,
      GIT_COMMITTER_DATE: date,
    },
  });
  return hash.trim();
}

async function setBranch(git: Git, clone: string, branch: string, commit: string): Promise<void> {
  await git.run(['update-ref', `refs/heads/${branch}`, commit], { cwd: clone });
  const head = await git.attempt(['symbolic-ref', '--quiet', 'HEAD'], { cwd: clone });
  // Where the branch is the checked-out one, its index follows; the files are what was committed.
  if (head.stdout.trim() === `refs/heads/${branch}`) await git.run(['reset', '--quiet', '--mixed'], { cwd: clone });
}
