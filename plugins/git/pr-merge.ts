// Tries a merge of two branches of a remote without touching either: what would not merge, or that there is nothing to merge.
import { join } from 'node:path';
import { type StepContext, StepError } from 'cronwright/plugin';
import type { Git } from './git-command.ts';
import { classifyGitFailure } from './git-failure.ts';
import { maskUserinfo, type Remote } from './remote.ts';
import { refTip } from './target-branch.ts';

export type Merge =
  /** In a dry run a head that nobody pushed; a git that cannot merge without a working tree. */
  | { state: 'unknown'; scratch: string; head: string | undefined; base: string }
  | { state: 'nothing' | 'clean'; scratch: string; head: string; base: string }
  | { state: 'conflicts'; scratch: string; head: string; base: string; conflicts: string[] };

/** Where records of pull requests are, in the remote and in the scratch repository alike. */
export const recordRefs = 'refs/cronwright/pr/';

/** `scratch` is a repository of the run that then holds both branches with their history, and the records of the remote. */
export async function inspectMerge(
  ctx: StepContext,
  git: Git,
  options: { remote: Remote; head: string; base: string },
): Promise<Merge> {
  const { remote } = options;
  const scratch = join(ctx.workspace, '.cronwright', 'pr');
  await git.run(['init', '--quiet', '--bare', '--template=', scratch]);
  const base = await refTip(git, scratch, remote, `refs/heads/${options.base}`);
  const head = await refTip(git, scratch, remote, `refs/heads/${options.head}`);
  if (base === undefined) throw branchNotFound(options.base, remote);
  if (head === undefined && !ctx.dryRun) throw branchNotFound(options.head, remote);
  await bring(git, scratch, remote, [options.base, ...(head === undefined ? [] : [options.head])]);
  if (head === undefined) return { state: 'unknown', scratch, head, base };
  return { scratch, ...(await tryMerge(ctx, git, scratch, options, { head, base })) };
}

/** Both branches and every record; what the remote no longer has goes. */
export async function bring(git: Git, scratch: string, remote: Remote, branches: readonly string[]): Promise<void> {
  const wanted = branches.map((branch) => `+refs/heads/${branch}:refs/cronwright/merge/${branch}`);
  const args = ['fetch', '--quiet', '--no-tags', '--prune', '--update-shallow', '--', remote.url];
  await git.run([...args, ...wanted, `+${recordRefs}*:${recordRefs}*`], { cwd: scratch, remote });
}

type Tips = { head: string; base: string };
type Tried = Tips & ({ state: 'unknown' | 'nothing' | 'clean' } | { state: 'conflicts'; conflicts: string[] });

async function tryMerge(
  ctx: StepContext,
  git: Git,
  scratch: string,
  names: { head: string; base: string },
  tips: Tips,
): Promise<Tried> {
  const args = ['merge-tree', '--write-tree', '--name-only', '--no-messages', '-z', tips.base, tips.head];
  const result = await git.attempt(args, { cwd: scratch });
  const [tree = '', ...files] = result.stdout.split('\0').filter((part) => part !== '');
  if (result.exitCode === 1) return { state: 'conflicts', conflicts: [...new Set(files)].sort(), ...tips };
  if (result.ok) {
    const now = (await git.run(['rev-parse', `${tips.base}^{tree}`], { cwd: scratch })).trim();
    return { state: tree === now ? 'nothing' : 'clean', ...tips };
  }
  if (result.exitCode === 129) {
    ctx.log.warn('whether the branches merge is not known: that needs git 2.38 or later', {
      head: names.head,
      base: names.base,
    });
    return { state: 'unknown', ...tips };
  }
  if (result.stderr.includes('unrelated histories')) {
    const text = `${names.head} has no commit in common with ${names.base}: it cannot be merged into it`;
    throw new StepError('fatal', text, { name: 'UnrelatedHistories' });
  }
  throw classifyGitFailure(args, result);
}

function branchNotFound(branch: string, remote: Remote): StepError {
  const address = maskUserinfo(remote.url);
  return new StepError('fatal', `the repository ${address} has no branch '${branch}'`, { name: 'BranchNotFound' });
}
