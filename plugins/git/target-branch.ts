// Reads the tip of a branch of the repository that results are kept in, which may not exist yet.
import { existsSync } from 'node:fs';
import type { Git } from './git-command.ts';
import type { Remote } from './remote.ts';

/** Full hash of the branch's tip in the target; undefined where the branch, or a target on this machine, does not exist yet. */
export function targetTip(git: Git, clone: string, target: Remote, branch: string): Promise<string | undefined> {
  return refTip(git, clone, target, `refs/heads/${branch}`);
}

/** The same of any ref, by its full name. */
export async function refTip(git: Git, clone: string, target: Remote, name: string): Promise<string | undefined> {
  if (target.path !== undefined && !existsSync(target.path)) return undefined;
  const listing = await git.run(['ls-remote', '--', target.url, name], { cwd: clone, remote: target });
  for (const line of listing.split('\n')) {
    const [hash = '', ref] = line.split('\t');
    // ls-remote also lists refs that merely end with the name.
    if (ref === name) return hash;
  }
  return undefined;
}

/** Brings the tip (and nothing of its history) into the clone. */
export async function fetchTip(git: Git, clone: string, target: Remote, branch: string): Promise<string | undefined> {
  const tip = await targetTip(git, clone, target, branch);
  if (tip === undefined) return undefined;
  const refspec = `+refs/heads/${branch}:${seenRef(branch)}`;
  await git.run(['fetch', '--quiet', '--no-tags', '--depth=1', '--update-shallow', '--', target.url, refspec], {
    cwd: clone,
    remote: target,
  });
  return (await git.run(['rev-parse', '--verify', seenRef(branch)], { cwd: clone })).trim();
}

/** Where the clone remembers the tip that new commits were built upon: the lease of a push. */
export function seenRef(branch: string): string {
  return `refs/cronwright/seen/${branch}`;
}

/** The value of a trailer of a commit's message; undefined where it has none. The last one counts. */
export async function trailerOf(git: Git, clone: string, commit: string, key: string): Promise<string | undefined> {
  const format = `--format=%(trailers:key=${key},valueonly,unfold)`;
  const values = await git.run(['log', '-1', format, commit, '--'], { cwd: clone });
  return values
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .at(-1);
}
