// git.checkout: puts one commit of a repository into the workspace, in a clone that shares nothing with its source.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { type Git, type GitContext, openGit } from './git-command.ts';
import { refName } from './ref-name.ts';
import { insideWorkspace, maskUserinfo, parseRemote, type Remote, remoteName } from './remote.ts';

const input = z.strictObject({
  remote: z
    .string()
    .default('.')
    .describe(
      'Path or URL. `.`: the repository REPO names, else the one that holds the working directory of the daemon',
    ),
  ref: refName.optional().describe('Branch, tag or commit; default what HEAD of the remote is'),
  depth: z.int().min(1).max(1_000_000).optional().describe('Number of commits of history; default all'),
  path: z.string().default('repo').describe('Folder of the workspace that receives the clone'),
});

const output = z.object({
  commit: z.string().describe('Full hash'),
  branch: z.string().nullable().describe('Null where a tag, a commit or a detached HEAD was checked out'),
  remote_name: z.string().describe('Name of the repository, for people'),
  files: z.int().describe('Tracked files'),
});

export const checkout = defineStep({
  description: 'Clones a repository into the workspace and checks out one commit',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'writes',
  async run(ctx, { remote: text, ref, depth, path }) {
    const git = await openGit(ctx);
    const remote = await findSource(ctx, git, text);
    const target = insideWorkspace(ctx.workspace, path);
    if (target === resolve(ctx.workspace)) {
      throw new StepError('fatal', 'path must name a folder of the workspace, such as `repo`, not the workspace', {
        name: 'PathNotAllowed',
      });
    }
    const partial = `${target}.partial`;
    await rm(partial, { recursive: true, force: true });
    ctx.progress({ done: 0, total: 3, message: 'fetching' });
    try {
      await git.run(['init', '--quiet', '--template=', partial]);
      const { branch, revision } = await fetchCommit(git, partial, remote, ref, depth);
      ctx.progress({ done: 2, total: 3, message: 'checking out' });
      const commit = (await git.run(['rev-parse', '--verify', `${revision}^{commit}`], { cwd: partial })).trim();
      const where = branch === null ? ['--detach'] : ['-B', branch];
      await git.run(['checkout', '--quiet', '--force', ...where, commit, '--'], { cwd: partial });
      const files = countEntries(await git.run(['ls-files', '-z'], { cwd: partial }));
      // Last, so that a folder with the final name is always whole.
      await makeRoom(ctx, target);
      await rename(partial, target);
      ctx.log.info('repository checked out', { commit, branch, files });
      return { commit, branch, remote_name: await nameOf(git, remote), files };
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw error;
    }
  },
  async compensate(ctx, { path }) {
    const target = insideWorkspace(ctx.workspace, path);
    await rm(`${target}.partial`, { recursive: true, force: true });
    const room = await loadRoom(ctx);
    if (room === undefined) return;
    const kept = room.kept === null ? undefined : join(ctx.workspace, room.kept);
    // Where it was not moved aside yet, or is back already, what is there is not ours.
    if (kept !== undefined && !existsSync(kept)) return;
    await rm(target, { recursive: true, force: true });
    if (kept !== undefined) await rename(kept, target);
    ctx.log.info('clone removed', { path });
  },
});

interface Room {
  /** Where in the workspace the folder is that was there before; null: there was none. */
  kept: string | null;
}

async function loadRoom(ctx: StepContext): Promise<Room | undefined> {
  return (await ctx.checkpoint.load()) as unknown as Room | undefined;
}

/** Takes away what has the name of the clone: of an earlier try for good, of anybody else aside, so that it can be put back. */
async function makeRoom(ctx: StepContext, target: string): Promise<void> {
  let room = await loadRoom(ctx);
  if (room === undefined) {
    const name = createHash('sha256').update(`${ctx.step}/${ctx.item}`).digest('hex').slice(0, 32);
    room = { kept: existsSync(target) ? join('.cronwright', 'undo', name) : null };
    await ctx.checkpoint.save({ kept: room.kept });
  }
  const kept = room.kept === null ? undefined : join(ctx.workspace, room.kept);
  if (kept !== undefined && !existsSync(kept) && existsSync(target)) {
    await mkdir(dirname(kept), { recursive: true });
    await rename(target, kept);
  }
  await rm(target, { recursive: true, force: true });
}

/** The repository meant by `remote`; a fatal `NotARepository` where there is none. */
export async function findSource(ctx: GitContext, git: Git, text: string): Promise<Remote> {
  const named = text === '.' ? ctx.env.REPO : text;
  const discover = named === undefined || named === '';
  const remote = parseRemote(discover ? '.' : named, process.cwd());
  if (remote.path === undefined) return remote;
  const origin = discover ? 'the working directory of the daemon' : text === '.' ? 'REPO' : 'inputs.remote';
  const real = await realpath(remote.path).catch(() => undefined);
  if (real === undefined) throw notARepository(remote.path, `${origin} names a folder that does not exist`);
  const found = await repositoryOf(git, real);
  if (found === undefined) throw notARepository(remote.path, `${origin} is not inside a git repository`);
  // Below a repository counts only where nobody named a folder: a mistyped path must not document what happens to surround it.
  if (!discover && found.top !== real && found.gitDir !== real) {
    throw notARepository(remote.path, `${origin} is a folder inside the repository ${found.top}, not its root`);
  }
  return { ...remote, kind: 'path', url: found.top, path: found.top };
}

/** A folder may be called anything (a build server's `work`, a mounted `repo`): where the repository came from says more. */
async function nameOf(git: Git, remote: Remote): Promise<string> {
  if (remote.path === undefined) return remoteName(remote);
  const origin = await git.attempt(['-C', remote.path, 'config', '--get', 'remote.origin.url']);
  const address = withoutNewline(origin.stdout);
  return remoteName(origin.ok && address !== '' ? { ...remote, url: address, path: undefined } : remote);
}

async function repositoryOf(git: Git, directory: string): Promise<{ top: string; gitDir: string } | undefined> {
  const gitDir = await git.attempt(['-C', directory, 'rev-parse', '--absolute-git-dir']);
  if (!gitDir.ok) return undefined;
  const own = await realpath(withoutNewline(gitDir.stdout));
  const top = await git.attempt(['-C', directory, 'rev-parse', '--show-toplevel']);
  // No working tree around: a bare repository, or inside of `.git` itself.
  return { top: top.ok ? await realpath(withoutNewline(top.stdout)) : own, gitDir: own };
}

function notARepository(path: string, why: string): StepError {
  return new StepError(
    'fatal',
    `no git repository at ${path}: ${why}. Set the environment variable REPO of the daemon, or the input \`remote\`, to the root of a repository or to its URL`,
    { name: 'NotARepository' },
  );
}

interface Fetched {
  /** Null where what was fetched is not a branch. */
  branch: string | null;
  /** What the clone knows the commit by. */
  revision: string;
}

async function fetchCommit(
  git: Git,
  clone: string,
  remote: Remote,
  ref: string | undefined,
  depth: number | undefined,
): Promise<Fetched> {
  const fetch = async (refspecs: readonly string[], shallow = true): Promise<void> => {
    const limit = shallow && depth !== undefined ? [`--depth=${depth}`] : [];
    // --update-shallow: the source may be shallow itself, as checkouts on build servers are.
    const args = ['fetch', '--quiet', '--no-tags', '--update-shallow', ...limit, '--', remote.url, ...refspecs];
    await git.run(args, { cwd: clone, remote });
  };
  const wanted = ref === undefined ? ['HEAD'] : ['HEAD', `refs/heads/${ref}`, `refs/tags/${ref}`];
  const listing = await git.run(['ls-remote', '--symref', '--', remote.url, ...wanted], { cwd: clone, remote });
  const refs = parseListing(listing);
  const address = maskUserinfo(remote.url);
  if (ref === undefined) {
    if (!refs.commits.has('HEAD')) {
      throw new StepError(
        'fatal',
        `the repository ${address} has no commit on its HEAD yet: commit something, or give a \`ref\``,
        {
          name: 'EmptyRepository',
        },
      );
    }
    await fetch(['HEAD']);
    return { branch: refs.headBranch, revision: 'FETCH_HEAD' };
  }
  if (refs.commits.has(`refs/heads/${ref}`)) {
    await fetch([`refs/heads/${ref}`]);
    return { branch: ref, revision: 'FETCH_HEAD' };
  }
  if (refs.commits.has(`refs/tags/${ref}`)) {
    await fetch([`refs/tags/${ref}`]);
    return { branch: null, revision: 'FETCH_HEAD' };
  }
  if (!/^[0-9a-f]{7,64}$/i.test(ref)) throw refNotFound(ref, address);
  return { branch: null, revision: await fetchByHash(git, clone, ref, address, fetch) };
}

async function fetchByHash(
  git: Git,
  clone: string,
  hash: string,
  address: string,
  fetch: (refspecs: readonly string[], shallow?: boolean) => Promise<void>,
): Promise<string> {
  if (/^([0-9a-f]{40}|[0-9a-f]{64})$/i.test(hash)) {
    try {
      await fetch([hash]);
      return 'FETCH_HEAD';
    } catch (error) {
      if (!(error instanceof StepError) || error.class !== 'fatal') throw error;
      // Servers may refuse to serve a hash that no branch points at: then it has to be among all that the branches hold.
    }
  }
  await fetch(['+refs/heads/*:refs/remotes/origin/*', '+refs/tags/*:refs/tags/*'], false);
  const found = await git.attempt(['rev-parse', '--verify', '--quiet', `${hash}^{commit}`], { cwd: clone });
  if (!found.ok) throw refNotFound(hash, address);
  return found.stdout.trim();
}

function refNotFound(ref: string, address: string): StepError {
  return new StepError('fatal', `'${ref}' is neither a branch, a tag nor a commit of ${address}`, {
    name: 'RefNotFound',
  });
}

function parseListing(text: string): { commits: Map<string, string>; headBranch: string | null } {
  const commits = new Map<string, string>();
  let headBranch: string | null = null;
  for (const line of text.split('\n')) {
    const [left = '', name = ''] = line.split('\t');
    if (left.startsWith('ref: ') && name === 'HEAD') headBranch = left.replace(/^ref: refs\/heads\//, '');
    else if (name !== '') commits.set(name, left);
  }
  return { commits, headBranch };
}

function countEntries(text: string): number {
  return text.split('\0').length - 1;
}

function withoutNewline(text: string): string {
  return text.endsWith('\n') ? text.slice(0, -1) : text;
}
