// git.changed: says whether the checked-out commit is another one than the last that was dealt with.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { openGit } from './git-command.ts';
import { branchName, refName } from './ref-name.ts';
import { insideWorkspace, parseTarget } from './remote.ts';
import { fetchTip, trailerOf } from './target-branch.ts';
import { trailerKey } from './trailer-key.ts';

const input = z
  .strictObject({
    path: z.string().default('repo').describe('The clone, a folder of the workspace'),
    since_ref: refName.optional().describe('Compare with this branch, tag or commit of the clone'),
    remote: z
      .string()
      .optional()
      .describe('Compare with what this repository recorded: a path below the data directory, or a URL'),
    branch: branchName.optional().describe('Branch of `remote` whose last commit holds the record'),
    key: trailerKey.default('Documented-Commit').describe('Trailer of that commit that names the commit dealt with'),
  })
  .refine((value) => (value.since_ref === undefined) !== (value.remote === undefined), {
    message: 'give either since_ref, or remote and branch',
  })
  .refine((value) => value.remote === undefined || value.branch !== undefined, {
    message: 'remote needs branch',
    path: ['branch'],
  });

const output = z.object({
  changed: z.boolean(),
  commit: z.string().describe('The checked-out commit'),
  last: z.string().nullable().describe('The commit dealt with last; null where there is none'),
  message: z.string(),
});

export const changed = defineStep({
  description: 'Says whether the checked-out commit differs from the last one that was dealt with',
  input,
  output,
  effects: 'none',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'reads',
  async run(ctx, { path, since_ref, remote, branch, key }) {
    const clone = insideWorkspace(ctx.workspace, path);
    const git = await openGit(ctx);
    const revision = async (name: string): Promise<string> =>
      (await git.run(['rev-parse', '--verify', `${name}^{commit}`], { cwd: clone })).trim();
    const commit = await revision('HEAD');
    let last: string | undefined;
    if (since_ref !== undefined) last = await revision(since_ref);
    if (remote !== undefined && branch !== undefined) {
      const tip = await fetchTip(git, clone, parseTarget(remote, ctx.host.dataDir), branch);
      if (tip !== undefined) last = await trailerOf(git, clone, tip, key);
    }
    const message = describe(commit, last);
    ctx.log.info(message, { commit, last: last ?? null });
    return { changed: commit !== last, commit, last: last ?? null, message };
  },
});

function describe(commit: string, last: string | undefined): string {
  if (last === undefined) return `nothing recorded yet, ${commit.slice(0, 7)} is new`;
  if (last === commit) return `nothing changed since ${last.slice(0, 7)}`;
  return `changed since ${last.slice(0, 7)}: now ${commit.slice(0, 7)}`;
}
