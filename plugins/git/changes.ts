// git.changes: a sensor that asks a remote where its branches and tags are, and tells which have moved since the last look.
import { defineSensor, type Json, type SensorEvent, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import { findSource } from './checkout.ts';
import { openGit } from './git-command.ts';
import { maskUserinfo } from './remote.ts';

const pattern = z
  .string()
  .min(1)
  .max(250)
  .regex(/^[^\s~^:?[\\]+$/);
const patterns = z
  .union(
    [pattern.transform((one) => [one]), z.array(pattern).min(1).max(50)],
    'expected a name of branches or tags, or up to 50 of them; `*` stands for any characters',
  )
  .pipe(z.array(z.string()));

const input = z.strictObject({
  remote: z
    .string()
    .default('.')
    .describe(
      'Path or URL. `.`: the repository REPO names, else the one that holds the working directory of the daemon',
    ),
  branches: patterns
    .optional()
    .describe('Names; `*` stands for any characters. Default: the branch that HEAD of the remote is on'),
  tags: patterns.optional().describe('Names; `*` stands for any characters. Default: none'),
});

const event = z.object({
  remote: z.string().describe('As git was given it, without credentials'),
  kind: z.enum(['branch', 'tag']),
  name: z.string().describe('Of the branch or tag'),
  ref: z.string().describe('In full: refs/heads/main'),
  commit: z.string().describe('Full hash; of a tag what it names, peeled'),
  previous: z.string().nullable().describe('Where it was at the last look; null: it is new'),
});

/** What was seen: refs with their commits, and how many events there have been. */
interface Cursor {
  refs: Record<string, string>;
  events: number;
}

/** With their names these fit into a cursor. */
const mostRefs = 500;

export const changes = defineSensor({
  description: 'Tells which branches and tags of a repository have new commits',
  input,
  event,
  first: 'run',
  async check(ctx, { remote: text, branches, tags }, last, { maxEvents }) {
    const git = await openGit(ctx);
    const remote = await findSource(ctx, git, text);
    const listing = await git.run(['ls-remote', '--symref', '--', remote.url], { remote });
    const watched = watchedRefs(listing, branches, tags);
    if (watched.size > mostRefs) {
      const found = `${watched.size} branches and tags of ${maskUserinfo(remote.url)} are meant, at most ${mostRefs} can be`;
      throw new StepError('fatal', `${found}: name fewer`, { name: 'TooManyRefs' });
    }
    const seen = (last as unknown as Cursor | undefined) ?? { refs: {}, events: 0 };
    const moved = [...watched].filter(([ref, commit]) => seen.refs[ref] !== commit);
    const told = moved.slice(0, maxEvents);
    // One that is gone is forgotten, and new when it comes back.
    const refs = Object.fromEntries(Object.entries(seen.refs).filter(([ref]) => watched.has(ref)));
    for (const [ref, commit] of told) refs[ref] = commit;
    const events = told.map(([ref, commit], index): SensorEvent<z.infer<typeof event>> => {
      const kind = ref.startsWith('refs/heads/') ? 'branch' : 'tag';
      const name = ref.replace(/^refs\/(heads|tags)\//, '');
      const previous = seen.refs[ref] ?? null;
      // The number tells a branch that comes back to a commit from one that was seen there before.
      const key = `${ref}@${commit}/${seen.events + index + 1}`;
      return { key, data: { remote: maskUserinfo(remote.url), kind, name, ref, commit, previous } };
    });
    const cursor: Cursor = { refs, events: seen.events + told.length };
    return { cursor: cursor as unknown as Json, events, more: told.length < moved.length };
  },
});

/** By ref, in order of their names. */
function watchedRefs(
  listing: string,
  branches: readonly string[] | undefined,
  tags: readonly string[] = [],
): Map<string, string> {
  const commits = new Map<string, string>();
  let head: string | undefined;
  for (const line of listing.split('\n')) {
    const [left = '', ref = ''] = line.split('\t');
    if (ref === 'HEAD' && left.startsWith('ref: ')) head = left.slice('ref: '.length);
    // A tag with a message is listed twice: as itself, and (peeled) as the commit that it names.
    else if (ref.endsWith('^{}')) commits.set(ref.slice(0, -3), left);
    else if (ref.startsWith('refs/heads/') || ref.startsWith('refs/tags/')) commits.set(ref, left);
  }
  const isMeant = (ref: string): boolean => {
    if (ref.startsWith('refs/tags/')) return tags.some((one) => matches(one, ref.slice('refs/tags/'.length)));
    return branches ? branches.some((one) => matches(one, ref.slice('refs/heads/'.length))) : ref === head;
  };
  return new Map([...commits].filter(([ref]) => isMeant(ref)).sort(([one], [other]) => (one < other ? -1 : 1)));
}

function matches(wanted: string, name: string): boolean {
  const parts = wanted.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(name);
}
