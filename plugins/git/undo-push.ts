// Takes a push back: the ref of the remote becomes what it was before, provided that it is still at our commit.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type StepContext, StepError } from 'cronwright/plugin';
import type { Git, GitResult } from './git-command.ts';
import { classifyGitFailure } from './git-failure.ts';
import type { Remote } from './remote.ts';
import { refTip } from './target-branch.ts';

export interface PushNote {
  ref: string;
  /** What we push. */
  commit: string;
  /** Where the ref was before; null: there was none. */
  former: string | null;
}

/** What the step noted before it pushed, in this try or an earlier one. */
export async function loadPushNote(ctx: StepContext): Promise<PushNote | undefined> {
  return (await ctx.checkpoint.load()) as unknown as PushNote | undefined;
}

/** `clone` may be gone. What somebody else pushed since stays, and the log says so. */
export async function undoPush(
  ctx: StepContext,
  git: Git,
  options: { clone: string; remote: Remote; note: PushNote },
): Promise<void> {
  const { remote, note } = options;
  const { ref, commit, former } = note;
  const here = await placeToPushFrom(ctx, git, options.clone);
  const tip = (await refTip(git, here, remote, ref)) ?? null;
  if (tip === former) return;
  if (tip !== commit) return tellMoved(ctx, note, tip);
  const result =
    remote.path === undefined ? await pushBack(git, here, remote, note) : await setBack(git, remote.path, note);
  if (result.ok) {
    ctx.log.info(`${kindOf(ref)} of the remote ${former === null ? 'deleted' : 'put back'}`, { ref, former });
    return;
  }
  const now = (await refTip(git, here, remote, ref)) ?? null;
  if (now !== commit && now !== former) return tellMoved(ctx, note, now);
  if (now !== former) throw failureOf(note, result);
}

function tellMoved(ctx: StepContext, { ref, commit, former }: PushNote, tip: string | null): void {
  const text = `left as it is: somebody else has moved the ${kindOf(ref)} since`;
  ctx.log.warn(text, { ref, commit, former, remote_commit: tip });
}

function kindOf(ref: string): string {
  return ref.startsWith('refs/heads/') ? 'branch' : 'record';
}

/** On this machine no push is needed: it would refuse to delete the branch that HEAD names, and needs the commits at hand. */
function setBack(git: Git, path: string, { ref, commit, former }: PushNote): Promise<GitResult> {
  const args = former === null ? ['update-ref', '-d', ref, commit] : ['update-ref', ref, former, commit];
  return git.attempt(args, { cwd: path });
}

/** The lease makes the server compare before it deletes or replaces. */
async function pushBack(git: Git, here: string, remote: Remote, note: PushNote): Promise<GitResult> {
  const { ref, commit, former } = note;
  if (former !== null) await bring(git, here, remote, note.ref, former);
  const args = ['push', '--quiet', '--porcelain', `--force-with-lease=${ref}:${commit}`, '--', remote.url];
  return git.attempt([...args, `${former ?? ''}:${ref}`], { cwd: here, remote });
}

/** Where the clone is gone, or never had it: by its hash, as servers of today allow, else by the branch that was built upon it. */
async function bring(git: Git, here: string, remote: Remote, ref: string, commit: string): Promise<void> {
  const isThere = () => git.attempt(['cat-file', '-e', `${commit}^{commit}`], { cwd: here });
  const fetch = ['fetch', '--quiet', '--no-tags', '--update-shallow'];
  for (const wanted of [commit, ref]) {
    if ((await isThere()).ok) return;
    await git.attempt([...fetch, '--', remote.url, wanted], { cwd: here, remote });
  }
}

/** The clone, or an empty repository where it is gone. */
async function placeToPushFrom(ctx: StepContext, git: Git, clone: string): Promise<string> {
  if (existsSync(join(clone, '.git'))) return clone;
  const empty = join(ctx.workspace, '.cronwright', 'undo-push');
  await git.run(['init', '--quiet', '--bare', '--template=', empty]);
  return empty;
}

function failureOf({ ref, commit, former }: PushNote, result: GitResult): StepError {
  const said = `${result.stderr}\n${result.stdout}`;
  if (!said.includes('[remote rejected]')) {
    return classifyGitFailure(['push'], { ...result, stderr: said });
  }
  const wanted = former === null ? 'deleted' : `put back to ${former}`;
  return new StepError(
    'fatal',
    `${ref} of the remote is at ${commit} and cannot be ${wanted}: the remote refuses it: ${said.trim().slice(0, 500)}`,
    {
      name: 'CannotUndo',
      details: { ref, commit, former },
    },
  );
}
