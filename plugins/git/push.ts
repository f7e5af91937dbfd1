// git.push: brings a branch of the clone to the repository that keeps it.
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { type Git, openGit } from './git-command.ts';
import { classifyGitFailure } from './git-failure.ts';
import { branchName } from './ref-name.ts';
import { insideWorkspace, parseTarget, type Remote } from './remote.ts';
import { seenRef, targetTip } from './target-branch.ts';
import { loadPushNote, undoPush } from './undo-push.ts';

const input = z.strictObject({
  path: z.string().default('repo').describe('The clone, a folder of the workspace'),
  remote: z.string().describe('A path below the data directory, or a URL'),
  branch: branchName,
  create_bare: z.boolean().default(false).describe('Make a bare repository where the path does not exist yet'),
  force_with_lease: z
    .boolean()
    .default(false)
    .describe('Replace the branch of the remote, provided it is still the one the commit was built upon'),
});

const output = z.object({
  pushed: z.boolean().describe('False where the remote had the commit before the step, and in a dry run'),
  commit: z.string(),
  ref: z.string(),
});

export const push = defineStep({
  description: 'Pushes a branch of the clone',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'reads',
  async run(ctx, options) {
    const { branch } = options;
    const clone = insideWorkspace(ctx.workspace, options.path);
    const remote = parseTarget(options.remote, ctx.host.dataDir);
    const git = await openGit(ctx);
    const ref = `refs/heads/${branch}`;
    const found = await git.attempt(['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], { cwd: clone });
    if (!found.ok) {
      throw new StepError('fatal', `the clone has no branch '${branch}' to push`, { name: 'BranchNotFound' });
    }
    const commit = found.stdout.trim();
    if (ctx.dryRun) {
      ctx.log.info('dry run: would push', { commit, ref });
      return { pushed: false, commit, ref };
    }
    if (options.create_bare) await createBare(ctx, git, remote, branch);
    const tip = await targetTip(git, clone, remote, branch);
    const earlier = await loadPushNote(ctx);
    if (tip === commit) {
      ctx.log.info('already there', { commit, ref });
      return { pushed: earlier?.commit === commit, commit, ref };
    }
    // Of several tries the first one saw what was there before.
    const former = earlier?.commit === tip ? (earlier?.former ?? null) : (tip ?? null);
    await ctx.checkpoint.save({ ref, commit, former });
    await pushBranch(git, clone, remote, { ref, commit, tip, lease: options.force_with_lease ? branch : undefined });
    ctx.log.info('pushed', { commit, ref });
    return { pushed: true, commit, ref };
  },
  async compensate(ctx, options) {
    const note = await loadPushNote(ctx);
    if (note === undefined) return;
    const clone = insideWorkspace(ctx.workspace, options.path);
    const remote = parseTarget(options.remote, ctx.host.dataDir);
    await undoPush(ctx, await openGit(ctx), { clone, remote, note });
  },
});

async function createBare(ctx: StepContext, git: Git, remote: Remote, branch: string): Promise<void> {
  if (remote.path === undefined || existsSync(remote.path)) return;
  const partial = `${remote.path}.${ctx.runId}.partial`;
  await mkdir(dirname(remote.path), { recursive: true });
  await rm(partial, { recursive: true, force: true });
  await git.run(['init', '--quiet', '--bare', '--template=', `--initial-branch=${branch}`, partial]);
  try {
    // Whole or not at all. Where another run was faster, its repository stays and ours goes.
    await rename(partial, remote.path);
  } catch (error) {
    if (!existsSync(remote.path)) throw error;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function pushBranch(
  git: Git,
  clone: string,
  remote: Remote,
  what: { ref: string; commit: string; tip: string | undefined; lease: string | undefined },
): Promise<void> {
  const lease =
    what.lease === undefined ? [] : [`--force-with-lease=${what.ref}:${await expectedTip(git, clone, what)}`];
  const args = ['push', '--quiet', '--porcelain', ...lease, '--', remote.url, `${what.commit}:${what.ref}`];
  const result = await git.attempt(args, { cwd: clone, remote });
  if (result.ok) return;
  if (
    /\[rejected\].*\((non-fast-forward|fetch first|stale info|needs force)\)/.test(`${result.stdout}${result.stderr}`)
  ) {
    throw new StepError(
      'fatal',
      `${what.ref} of the remote is at ${what.tip ?? 'no commit'} and does not lead to ${what.commit}: it was changed by someone else since. A new run builds upon it; force_with_lease replaces it`,
      { name: 'Diverged', details: { ref: what.ref, commit: what.commit, remote_commit: what.tip ?? null } },
    );
  }
  throw classifyGitFailure(args, { ...result, stderr: `${result.stderr}\n${result.stdout}` });
}

/** The tip that git.commit or git.changed saw in the remote; without one, the tip of this moment. Empty: the branch must not exist. */
async function expectedTip(
  git: Git,
  clone: string,
  what: { tip: string | undefined; lease: string | undefined },
): Promise<string> {
  const seen = await git.attempt(['rev-parse', '--verify', '--quiet', seenRef(what.lease ?? '')], { cwd: clone });
  return seen.ok ? seen.stdout.trim() : (what.tip ?? '');
}
