// Pull requests at a forge: Gitea (and Forgejo) or GitHub, whose interfaces differ little here.
import { createHash } from 'node:crypto';
import { retryAfterMs, type StepContext, StepError } from 'cronwright/plugin';
import { z } from 'zod';
import type { Published } from './pr-record.ts';

export interface Forge {
  kind: 'gitea' | 'github';
  /** Without a slash at its end. */
  api: string;
  /** `owner/name`. */
  repository: string;
  token: string;
  wanted: { head: string; base: string; title: string; body: string };
}

/** What the step noted before it asked for anything, in this try or an earlier one. */
interface ForgeNote {
  /** A comment at the end of the body of the one that the step opens: so it is known again if the answer is lost. */
  marker: string;
  /** null: the answer to its opening has not come. */
  number: number | null;
  /** What it said before; null where the step opened it. */
  former: { title: string; body: string } | null;
}

const pullSchema = z.object({
  number: z.int(),
  html_url: z.string(),
  state: z.string(),
  title: z.string(),
  body: z
    .string()
    .nullish()
    .transform((text) => (text ?? '').replace(/\r\n/g, '\n')),
  head: z.object({ ref: z.string() }),
  base: z.object({ ref: z.string() }),
  mergeable: z.boolean().nullish(),
});
type Pull = z.infer<typeof pullSchema>;

export async function loadForgeNote(ctx: StepContext): Promise<ForgeNote | undefined> {
  return (await ctx.checkpoint.load()) as unknown as ForgeNote | undefined;
}

export async function publishAtForge(ctx: StepContext, forge: Forge): Promise<Published> {
  const { wanted } = forge;
  const note = await loadForgeNote(ctx);
  const open = await findOpen(ctx, forge);
  if (ctx.dryRun) {
    ctx.log.info(`dry run: would ${open ? 'update' : 'open'} a pull request`, { ...wanted, body: undefined });
    return { ...describe(open), created: false, updated: false };
  }
  if (open === undefined) return { ...describe(await openNew(ctx, forge)), created: true, updated: false };
  const isOurs = note !== undefined && note.former === null && isMarked(open, note.marker);
  if (isOurs && note.number === null) await save(ctx, { ...note, number: open.number });
  const body = withMarkerOf(open.body, wanted.body);
  if (open.title === wanted.title && open.body === body) {
    ctx.log.info('the pull request is open already', { number: open.number });
    return { ...describe(open), created: isOurs, updated: note?.number === open.number && note.former !== null };
  }
  // Of several tries the first one saw what was there before.
  if (!isOurs && note?.number !== open.number) {
    const former = { title: open.title, body: open.body };
    await save(ctx, { marker: markerOf(ctx), number: open.number, former });
  }
  const changed = await edit(ctx, forge, open.number, { title: wanted.title, body });
  ctx.log.info('pull request updated', { number: open.number });
  return { ...describe(changed), created: isOurs, updated: !isOurs };
}

/** Closes what the step opened, or puts back what it changed; what others have done to it since stays. */
export async function undoAtForge(ctx: StepContext, forge: Forge, note: ForgeNote | undefined): Promise<void> {
  if (note === undefined) return;
  const pull = note.number === null ? await findOpen(ctx, forge) : await read(ctx, forge, note.number);
  if (pull === undefined || (note.number === null && !isMarked(pull, note.marker))) return;
  const { number } = pull;
  if (pull.state !== 'open') {
    ctx.log.warn('left as it is: the pull request is not open any more', { number, state: pull.state });
    return;
  }
  if (note.former === null) {
    await edit(ctx, forge, number, { state: 'closed' });
    ctx.log.info('pull request closed', { number });
    return;
  }
  const { title, body } = forge.wanted;
  if (pull.title === note.former.title && pull.body === note.former.body) return;
  if (pull.title !== title || pull.body !== withMarkerOf(note.former.body, body)) {
    ctx.log.warn('left as it is: somebody else has changed the pull request since', { number });
    return;
  }
  await edit(ctx, forge, number, note.former);
  ctx.log.info('title and body of the pull request put back', { number });
}

async function openNew(ctx: StepContext, forge: Forge): Promise<Pull> {
  const { head, base, title, body } = forge.wanted;
  const marker = markerOf(ctx);
  await save(ctx, { marker, number: null, former: null });
  const text = withMarkerOf(marker, body);
  const answer = await call(ctx, forge, 'POST', '/pulls', { head, base, title, body: text });
  if (answer.status === 409 || answer.status === 422) {
    // Opened by somebody else, or by an earlier try, since we looked.
    const found = /already exists/i.test(answer.text) ? await findOpen(ctx, forge) : undefined;
    if (found === undefined) throw refused(forge, answer);
    if (!isMarked(found, marker)) throw contended(found.number);
    await save(ctx, { marker, number: found.number, former: null });
    return found;
  }
  const opened = parsePull(forge, answer);
  await save(ctx, { marker, number: opened.number, former: null });
  ctx.log.info('pull request opened', { number: opened.number, head, base });
  return opened;
}

/** The next try finds it open, and notes what it says before it changes that. */
function contended(number: number): StepError {
  return new StepError('transient', `somebody else opened pull request ${number} for the same branches just now`, {
    name: 'Contended',
  });
}

/** Gitea has no search by head: its list is read page by page. */
async function findOpen(ctx: StepContext, forge: Forge): Promise<Pull | undefined> {
  const { head, base } = forge.wanted;
  const owner = forge.repository.split('/')[0] ?? '';
  const query =
    forge.kind === 'github'
      ? new URLSearchParams({ state: 'open', head: `${owner}:${head}`, base, per_page: '50' })
      : new URLSearchParams({ state: 'open', limit: '50' });
  for (let page = 1; page <= 100; page++) {
    query.set('page', String(page));
    const answer = await call(ctx, forge, 'GET', `/pulls?${query}`);
    const pulls = parse(forge, answer, z.array(pullSchema));
    const found = pulls.find((pull) => pull.state === 'open' && pull.head.ref === head && pull.base.ref === base);
    if (found || pulls.length === 0) return found;
  }
  return undefined;
}

/** undefined where it is gone. */
async function read(ctx: StepContext, forge: Forge, number: number): Promise<Pull | undefined> {
  const answer = await call(ctx, forge, 'GET', `/pulls/${number}`, undefined, [404]);
  return answer.status === 404 ? undefined : parsePull(forge, answer);
}

async function edit(ctx: StepContext, forge: Forge, number: number, change: Record<string, string>): Promise<Pull> {
  return parsePull(forge, await call(ctx, forge, 'PATCH', `/pulls/${number}`, change));
}

interface Answer {
  status: number;
  text: string;
}

/** 409, 422 and `expected` are answers like 2xx; all else is an error of its class. */
async function call(
  ctx: StepContext,
  forge: Forge,
  method: 'GET' | 'POST' | 'PATCH',
  path: string,
  body?: Record<string, string>,
  expected: readonly number[] = [],
): Promise<Answer> {
  const url = `${forge.api}/repos/${forge.repository}${path}`;
  const response = await ctx.fetch(url, {
    method,
    headers: {
      accept: forge.kind === 'github' ? 'application/vnd.github+json' : 'application/json',
      authorization: forge.kind === 'github' ? `Bearer ${forge.token}` : `token ${forge.token}`,
      'user-agent': 'cronwright',
      ...(forge.kind === 'github' ? { 'x-github-api-version': '2022-11-28' } : {}),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(30_000)]),
  });
  const answer = { status: response.status, text: await response.text() };
  if (response.ok || [409, 422, ...expected].includes(answer.status)) return answer;
  throw failureOf(forge, answer, response.headers, `${method} ${url}`);
}

function failureOf(forge: Forge, answer: Answer, headers: Headers, what: string): StepError {
  const { status } = answer;
  const said = saidBy(answer);
  const text = `${what} answered ${status}${said === '' ? '' : `: ${said}`}`;
  const wait = quietMs(headers);
  // GitHub also says 403 where it is asked too often, and then says so in the headers.
  if (status === 429 || (status === 403 && wait !== undefined)) {
    const after = wait === undefined ? {} : { retryAfterMs: wait };
    return new StepError('rate_limited', text, { name: 'RateLimited', ...after });
  }
  if (status === 401 || status === 403) return new StepError('fatal', text, { name: 'AuthenticationFailed' });
  if (status === 404) {
    const hint = `there is no ${forge.repository}, or the token may not see it`;
    return new StepError('fatal', `${text}; ${hint}`, { name: 'RepositoryNotFound' });
  }
  const isTransient = status === 408 || status >= 500;
  return new StepError(isTransient ? 'transient' : 'fatal', text, { name: 'HttpStatusError', details: { status } });
}

function quietMs(headers: Headers): number | undefined {
  const date = headers.get('date') ?? undefined;
  const wait = retryAfterMs(headers.get('retry-after') ?? undefined, date);
  if (wait !== undefined || headers.get('x-ratelimit-remaining') !== '0') return wait;
  const reset = Number(headers.get('x-ratelimit-reset'));
  return Number.isFinite(reset) && reset > 0 ? retryAfterMs(new Date(reset * 1_000).toUTCString(), date) : undefined;
}

function refused(forge: Forge, answer: Answer): StepError {
  const { head, base } = forge.wanted;
  const text = `the forge refuses a pull request of ${head} into ${base} (${answer.status}): ${saidBy(answer)}`;
  return new StepError('fatal', text, { name: 'PullRequestRefused', details: { status: answer.status } });
}

function parsePull(forge: Forge, answer: Answer): Pull {
  return parse(forge, answer, pullSchema);
}

function parse<Value>(forge: Forge, answer: Answer, schema: z.ZodType<Value>): Value {
  if (answer.status === 409 || answer.status === 422) throw refused(forge, answer);
  let value: unknown;
  try {
    value = JSON.parse(answer.text);
  } catch {
    // Said below.
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const text = `${forge.api} does not answer as a ${forge.kind} does: is api_url right?`;
  throw new StepError('fatal', text, { name: 'UnknownAnswer', details: { body: answer.text.slice(0, 300) } });
}

/** Both forges have a `message`; GitHub says in `errors` what was wrong. */
function saidBy({ text }: Answer): string {
  const shape = z.object({ message: z.string(), errors: z.array(z.object({ message: z.string() })).optional() });
  try {
    const { message, errors = [] } = shape.parse(JSON.parse(text));
    return [message, ...errors.map((error) => error.message)].join('; ').slice(0, 300);
  } catch {
    return text.trim().slice(0, 300);
  }
}

async function save(ctx: StepContext, note: ForgeNote): Promise<void> {
  await ctx.checkpoint.save({ ...note });
}

function markerOf(ctx: StepContext): string {
  return `<!-- cronwright ${createHash('sha256').update(ctx.idempotencyKey).digest('hex').slice(0, 32)} -->`;
}

function isMarked(pull: Pull, marker: string): boolean {
  return pull.body.includes(marker);
}

/** The text, with the marker that the body had: who opened it does not change. */
function withMarkerOf(body: string, text: string): string {
  const [marker] = /<!-- cronwright [0-9a-f]{32} -->/.exec(body) ?? [];
  return [text, marker ?? ''].filter((part) => part !== '').join('\n\n');
}

function describe(pull: Pull | undefined): Pick<Published, 'number' | 'url' | 'mergeable'> {
  return { number: pull?.number ?? null, url: pull?.html_url ?? null, mergeable: pull?.mergeable ?? null };
}
