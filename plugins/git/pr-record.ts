// The provider `local` of git.pr: a pull request is a ref of the remote itself, whose commits hold what it says and what it said before.
import { type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import type { Git } from './git-command.ts';
import { classifyGitFailure } from './git-failure.ts';
import { bring, type Merge, recordRefs } from './pr-merge.ts';
import { maskUserinfo, type Remote } from './remote.ts';
import { loadPushNote, type PushNote } from './undo-push.ts';

const recordSchema = z.object({
  number: z.int(),
  title: z.string(),
  body: z.string(),
  head: z.string(),
  base: z.string(),
  state: z.enum(['open', 'closed']),
  head_commit: z.string(),
  base_commit: z.string(),
  conflicts: z.array(z.string()).nullable(),
  opened_by: z.object({ pipeline: z.string(), run: z.string() }),
});
type PullRecord = z.infer<typeof recordSchema>;

interface Wanted {
  remote: Remote;
  /** As the pipeline names the remote. */
  address: string;
  head: string;
  base: string;
  title: string;
  body: string;
  merge: Merge;
}

export interface Published {
  number: number | null;
  url: string | null;
  created: boolean;
  updated: boolean;
  mergeable: boolean | null;
}

const fileName = 'pull-request.json';
/** Others may take the next number at the same moment. */
const tries = 5;

export async function publishRecord(ctx: StepContext, git: Git, wanted: Wanted): Promise<Published> {
  for (let attempt = 1; ; attempt++) {
    const published = await tryPublish(ctx, git, wanted);
    if (published !== undefined) return published;
    if (attempt === tries) {
      throw new StepError('transient', 'others record pull requests in the remote all the time', { name: 'Contended' });
    }
    await bring(git, wanted.merge.scratch, wanted.remote, [wanted.base, wanted.head]);
  }
}

/** undefined where somebody else was faster. */
async function tryPublish(ctx: StepContext, git: Git, wanted: Wanted): Promise<Published | undefined> {
  const { merge, remote, head, base } = wanted;
  const { found, highest } = await readRecords(git, merge.scratch);
  const open = await openOne(git, found, wanted);
  if (ctx.dryRun || merge.head === undefined) {
    ctx.log.info(`dry run: would ${open ? 'update' : 'open'} a pull request`, { head, base, title: wanted.title });
    return { ...describe(wanted, open?.record.number), created: false, updated: false };
  }
  const number = open?.record.number ?? highest + 1;
  const ref = `${recordRefs}${number}`;
  const note = await loadPushNote(ctx);
  const record = recordOf(ctx, wanted, merge.head, number, open?.record);
  if (open && JSON.stringify(open.record) === JSON.stringify(record)) {
    const ours = note?.ref === ref && note.commit === open.commit;
    ctx.log.info('the pull request is open already', { number });
    return {
      ...describe(wanted, number),
      created: ours && note.former === null,
      updated: ours && note.former !== null,
    };
  }
  const commit = await writeRecord(git, merge.scratch, record, open?.commit);
  const former = note?.ref === ref && note.commit === open?.commit ? note.former : (open?.commit ?? null);
  await ctx.checkpoint.save({ ref, commit, former });
  if (!(await pushRecord(git, merge.scratch, remote, { ref, commit, former }, open?.commit))) return undefined;
  ctx.log.info(former === null ? 'pull request opened' : 'pull request updated', { number, head, base });
  return { ...describe(wanted, number), created: former === null, updated: former !== null };
}

interface Found {
  commit: string;
  record: PullRecord;
}

/** `highest`: of all numbers that are taken, also by what is no record. */
async function readRecords(git: Git, scratch: string): Promise<{ found: Found[]; highest: number }> {
  const listing = await git.run(['for-each-ref', '--format=%(objectname) %(refname)', recordRefs], { cwd: scratch });
  const refs = listing.split('\n').flatMap((line) => {
    const [commit = '', name = ''] = line.split(' ');
    const number = Number(name.slice(recordRefs.length));
    return Number.isInteger(number) && number > 0 ? [{ commit, number }] : [];
  });
  if (refs.length === 0) return { found: [], highest: 0 };
  const stdin = refs.map(({ commit }) => `${commit}:${fileName}\n`).join('');
  const texts = splitBatch(await git.run(['cat-file', '--batch'], { cwd: scratch, stdin }));
  const found = refs.flatMap(({ commit, number }, at) => {
    const read = recordSchema.safeParse(parseJson(texts[at] ?? ''));
    return read.success && read.data.number === number ? [{ commit, record: read.data }] : [];
  });
  found.sort((a, b) => a.record.number - b.record.number);
  return { found, highest: Math.max(...refs.map(({ number }) => number)) };
}

/** `<hash> blob <bytes>`, the bytes, a line end; or `<name> missing`. */
function splitBatch(text: string): string[] {
  const bytes = Buffer.from(text, 'utf8');
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at);
    const [, size] = /^\S+ blob (\d+)$/.exec(bytes.toString('utf8', at, end)) ?? [];
    const start = end + 1;
    texts.push(bytes.toString('utf8', start, start + Number(size ?? 0)));
    at = size === undefined ? start : start + Number(size) + 1;
  }
  return texts;
}

/** One that was merged since is open no longer, whatever its record says. */
async function openOne(git: Git, found: readonly Found[], { head, base, merge }: Wanted): Promise<Found | undefined> {
  for (const one of found.toReversed()) {
    const { record } = one;
    if (record.head !== head || record.base !== base || record.state !== 'open') continue;
    const args = ['merge-base', '--is-ancestor', record.head_commit, merge.base];
    if (!(await git.attempt(args, { cwd: merge.scratch })).ok) return one;
  }
  return undefined;
}

function recordOf(
  ctx: StepContext,
  wanted: Wanted,
  headCommit: string,
  number: number,
  open: PullRecord | undefined,
): PullRecord {
  const { title, body, head, base, merge } = wanted;
  const conflicts = merge.state === 'conflicts' ? merge.conflicts : merge.state === 'clean' ? [] : null;
  const sameMerge = open?.head_commit === headCommit && JSON.stringify(open.conflicts) === JSON.stringify(conflicts);
  return {
    number,
    title,
    body,
    head,
    base,
    state: 'open',
    head_commit: headCommit,
    // A base that merely moved on is no news.
    base_commit: open && sameMerge ? open.base_commit : merge.base,
    conflicts,
    opened_by: open?.opened_by ?? { pipeline: ctx.pipeline, run: ctx.runId },
  };
}

async function writeRecord(git: Git, scratch: string, record: PullRecord, former: string | undefined): Promise<string> {
  const where = { cwd: scratch };
  const text = `${JSON.stringify(record, undefined, 2)}\n`;
  const blob = (await git.run(['hash-object', '-w', '--stdin'], { ...where, stdin: text })).trim();
  const tree = (await git.run(['mktree'], { ...where, stdin: `100644 blob ${blob}\t${fileName}\n` })).trim();
  // The head's own instant: a repeated step makes the very same commit, whenever it runs.
  const date = (await git.run(['log', '-1', '--format=@%ct +0000', record.head_commit, '--'], where)).trim();
  const commit = await git.run(['commit-tree', tree, ...(former === undefined ? [] : ['-p', former]), '-F', '-'], {
    ...where,
    stdin: `${record.title}\n\n${record.body === '' ? '' : `${record.body}\n\n`}Head: ${record.head}\nBase: ${record.base}\n`,
    env: { ...identity, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
  });
  return commit.trim();
}

const identity = {
  GIT_AUTHOR_NAME: 'Cronwright',
  GIT_AUTHOR_EMAIL: 'cronwright@localhost',
  GIT_COMMITTER_NAME: 'Cronwright',
  GIT_COMMITTER_EMAIL: 'cronwright@localhost',
};

/** The lease makes the remote compare: false where its ref is another one by now. */
async function pushRecord(
  git: Git,
  scratch: string,
  remote: Remote,
  { ref, commit }: PushNote,
  expected: string | undefined,
): Promise<boolean> {
  const lease = `--force-with-lease=${ref}:${expected ?? ''}`;
  const args = ['push', '--quiet', '--porcelain', lease, '--', remote.url, `${commit}:${ref}`];
  const result = await git.attempt(args, { cwd: scratch, remote });
  if (result.ok) return true;
  const said = `${result.stderr}\n${result.stdout}`;
  if (/\[rejected\].*\(stale info\)|reference already exists/.test(said)) return false;
  throw classifyGitFailure(args, { ...result, stderr: said });
}

function describe({ address }: Wanted, number: number | undefined): Pick<Published, 'number' | 'url' | 'mergeable'> {
  if (number === undefined) return { number: null, url: null, mergeable: null };
  return { number, url: `${maskUserinfo(address)}#${recordRefs}${number}`, mergeable: null };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
