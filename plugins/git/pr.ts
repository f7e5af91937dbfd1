// git.pr: asks people to merge one branch into another, in the remote itself or at a forge, and says what would not merge.
import { defineStep, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { openGit } from './git-command.ts';
import { loadForgeNote, publishAtForge, undoAtForge } from './pr-forge.ts';
import { inspectMerge, type Merge } from './pr-merge.ts';
import { publishRecord } from './pr-record.ts';
import { branchName } from './ref-name.ts';
import { parseTarget } from './remote.ts';
import { loadPushNote, undoPush } from './undo-push.ts';

const oneLine = /^[^\r\n]*$/;

const input = z
  .strictObject({
    provider: z.enum(['local', 'gitea', 'github']).default('local'),
    remote: z
      .string()
      .optional()
      .describe('The repository: a path below the data directory, or a URL. At a forge it is read for conflicts only'),
    head: branchName.describe('Branch to be merged; the remote has it'),
    base: branchName.default('main').describe('Branch to merge into'),
    title: z.string().trim().min(1).max(255).regex(oneLine, 'must be one line'),
    body: z.string().trim().max(60_000).default('').describe('Markdown'),
    on_conflict: z.enum(['open', 'fail']).default('open').describe('What becomes of a request that does not merge'),
    api_url: z
      .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
      .optional()
      .describe('gitea: `https://HOST/api/v1`. Default for github `https://api.github.com`'),
    repository: z
      .string()
      .regex(/^[\w.-]+\/[\w.-]+$/, 'must look like owner/name')
      .optional(),
    token: z.string().min(1).optional().describe('Of the forge; name a secret: `${{ secrets.FORGE_TOKEN }}`'),
  })
  .refine((value) => value.head !== value.base, { message: 'head and base are the same branch', path: ['head'] })
  .refine((value) => value.provider !== 'local' || value.remote !== undefined, {
    message: 'provider local needs remote',
    path: ['remote'],
  })
  .refine((value) => value.provider === 'local' || (value.repository !== undefined && value.token !== undefined), {
    message: 'a forge needs repository and token',
    path: ['repository'],
  })
  .refine((value) => value.provider !== 'gitea' || value.api_url !== undefined, {
    message: 'provider gitea needs api_url',
    path: ['api_url'],
  });

const output = z.object({
  number: z.int().nullable().describe('Null where there is nothing to merge, and in a dry run that would open one'),
  url: z.string().nullable(),
  created: z.boolean().describe('By this step'),
  updated: z.boolean().describe('Title, body or head of one that was open already'),
  mergeable: z.boolean().nullable().describe('Null where nobody knows (yet)'),
  conflicts: z.array(z.string()).describe('Files that do not merge, as far as `remote` tells'),
});

export const pr = defineStep({
  description: 'Opens a pull request, or updates the one that is open for the same branches',
  input,
  output,
  effects: 'outside',
  dryRun: 'handled',
  idempotency: 'natural',
  weight: 'heavy',
  workspace: 'none',
  rateLimitKey: ({ provider, api_url }) =>
    provider === 'local' ? undefined : `http:${new URL(api_url ?? githubApi).host}`,
  async run(ctx, options) {
    const { provider, head, base } = options;
    const merge = options.remote === undefined ? undefined : await lookAtMerge(ctx, options.remote, head, base);
    if (merge?.state === 'conflicts') refuseConflicts(ctx, options, merge.conflicts);
    if (merge?.state === 'nothing') {
      ctx.log.info('nothing to merge', { head, base });
      return { number: null, url: null, created: false, updated: false, mergeable: null, conflicts: [] };
    }
    const published =
      provider === 'local' ? await publishLocally(ctx, options, merge) : await publishAtForge(ctx, forgeOf(options));
    const known = merge === undefined || merge.state === 'unknown' ? undefined : merge.state === 'clean';
    const conflicts = merge?.state === 'conflicts' ? merge.conflicts : [];
    return { ...published, mergeable: known ?? published.mergeable, conflicts };
  },
  async compensate(ctx, options) {
    if (options.provider !== 'local') return undoAtForge(ctx, forgeOf(options), await loadForgeNote(ctx));
    const note = await loadPushNote(ctx);
    if (note === undefined || options.remote === undefined) return;
    const remote = parseTarget(options.remote, ctx.host.dataDir);
    await undoPush(ctx, await openGit(ctx), { clone: ctx.workspace, remote, note });
  },
});

type Options = z.output<typeof input>;

const githubApi = 'https://api.github.com';

async function lookAtMerge(ctx: StepContext, remote: string, head: string, base: string): Promise<Merge> {
  return inspectMerge(ctx, await openGit(ctx), { remote: parseTarget(remote, ctx.host.dataDir), head, base });
}

function refuseConflicts(ctx: StepContext, { head, base, on_conflict }: Options, conflicts: readonly string[]): void {
  const text = `${head} does not merge into ${base}: ${conflicts.slice(0, 20).join(', ')}`;
  if (on_conflict === 'fail') {
    throw new StepError('fatal', text, { name: 'MergeConflict', details: { conflicts: conflicts.slice(0, 100) } });
  }
  ctx.log.warn(text, { conflicts: conflicts.length });
}

async function publishLocally(ctx: StepContext, options: Options, merge: Merge | undefined) {
  if (merge === undefined || options.remote === undefined) throw new Error('provider local has a remote');
  const remote = parseTarget(options.remote, ctx.host.dataDir);
  return publishRecord(ctx, await openGit(ctx), { ...options, remote, address: options.remote, merge });
}

function forgeOf(options: Options) {
  const { provider, repository = '', token = '', api_url = githubApi, head, base, title, body } = options;
  const kind = provider === 'gitea' ? ('gitea' as const) : ('github' as const);
  return { kind, api: api_url.replace(/\/+$/, ''), repository, token, wanted: { head, base, title, body } };
}
