// git.pr on a real remote, and against a scripted forge that speaks as Gitea and GitHub do: opened, found, updated, refused, undone.
import { existsSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Json } from 'cronwright/plugin';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  commitFiles,
  createScratch,
  git,
  runStep,
  type Scratch,
  type TestContext,
  undoStep,
  writeFiles,
} from './git-scratch.ts';

interface Output extends Record<string, Json> {
  number: number | null;
  url: string | null;
  created: boolean;
  updated: boolean;
  mergeable: boolean | null;
  conflicts: string[];
}

let scratch: Scratch;
let work: string;
let bare: string;
const remote = 'repositories/shop.git';
const refs = () => git(bare, 'for-each-ref', '--format=%(refname) %(objectname)');
const record = async (number: number) =>
  JSON.parse(await git(bare, 'show', `refs/cronwright/pr/${number}:pull-request.json`)) as Record<string, unknown>;

/** A remote whose branch `docs` has a file more than `main`. */
beforeEach(async () => {
  scratch = await createScratch();
  work = await scratch.repository('work', { 'a.txt': 'one\ntwo\nthree\n', 'b.txt': 'b' });
  bare = join(scratch.dataDir, remote);
  await git(scratch.root, 'clone', '--quiet', '--bare', work, bare);
  await git(work, 'remote', 'add', 'origin', bare);
  await git(work, 'checkout', '--quiet', '-b', 'docs');
  await commitFiles(work, { 'docs/x.md': '# X\n' }, 'documents');
  await git(work, 'push', '--quiet', 'origin', 'docs');
});
afterEach(() => scratch.remove());

/** As after a crash between what the step did and the record of its outcome. */
function again(context: TestContext): TestContext {
  context.overrides = { ...context.overrides, checkpoint: context.checkpoints.get('git.pr') ?? null };
  return context;
}

describe('git.pr in the remote itself', () => {
  const input = { remote, head: 'docs', base: 'main', title: 'Document the shop', body: 'One page.' };
  const pr = (context: TestContext, more: object = {}) => runStep<Output>('git.pr', context, { ...input, ...more });
  const undo = (context: TestContext, output?: Output) => undoStep('git.pr', context, input, output);

  it('opens one, as a record that a clone of the remote can read, and finds it again', async () => {
    const opened = await pr(scratch.context());
    expect(opened).toEqual({
      ...{ number: 1, url: `${remote}#refs/cronwright/pr/1`, created: true, updated: false },
      ...{ mergeable: true, conflicts: [] },
    });
    expect(await record(1)).toMatchObject({
      ...{ number: 1, title: 'Document the shop', body: 'One page.', head: 'docs', base: 'main', state: 'open' },
      ...{ head_commit: await git(bare, 'rev-parse', 'docs'), base_commit: await git(bare, 'rev-parse', 'main') },
      ...{ conflicts: [], opened_by: { pipeline: 'test-pipeline' } },
    });
    expect(await git(bare, 'log', '-1', '--format=%B', 'refs/cronwright/pr/1')).toContain(
      'Document the shop\n\nOne page.',
    );
    const before = await refs();
    expect(await pr(scratch.context())).toEqual({ ...opened, created: false });
    expect(await refs()).toBe(before);
  });

  it('updates the open one when it says something else or its head has moved, and keeps what it said', async () => {
    await pr(scratch.context());
    expect(await pr(scratch.context(), { title: 'Better' })).toMatchObject({
      number: 1,
      created: false,
      updated: true,
    });
    await commitFiles(work, { 'docs/y.md': '# Y\n' }, 'more');
    await git(work, 'push', '--quiet', 'origin', 'docs');
    expect(await pr(scratch.context(), { title: 'Better' })).toMatchObject({ number: 1, updated: true });
    expect(await record(1)).toMatchObject({ title: 'Better', head_commit: await git(bare, 'rev-parse', 'docs') });
    expect(await git(bare, 'rev-list', '--count', 'refs/cronwright/pr/1')).toBe('3');
  });

  it('opens another one for other branches, and once the first is merged', async () => {
    await pr(scratch.context());
    await git(work, 'push', '--quiet', 'origin', 'docs:refs/heads/other');
    expect(await pr(scratch.context(), { head: 'other' })).toMatchObject({ number: 2, created: true });
    await git(work, 'push', '--quiet', 'origin', 'docs:main');
    expect(await pr(scratch.context())).toMatchObject({ number: null, url: null, created: false });
    await commitFiles(work, { 'docs/z.md': '# Z\n' }, 'later');
    await git(work, 'push', '--quiet', 'origin', 'docs');
    expect(await pr(scratch.context())).toMatchObject({ number: 3, created: true });
  });

  it('says which files do not merge, by a real merge of three', async () => {
    await git(work, 'checkout', '--quiet', 'docs');
    await commitFiles(work, { 'a.txt': 'one\nTWO\nthree\n', 'b.txt': 'changed here only' }, 'ours');
    await git(work, 'push', '--quiet', 'origin', 'docs');
    await git(work, 'checkout', '--quiet', 'main');
    await commitFiles(work, { 'a.txt': 'one\n2\nthree\n' }, 'theirs');
    await git(work, 'push', '--quiet', 'origin', 'main');
    const before = await refs();
    await expect(pr(scratch.context(), { on_conflict: 'fail' })).rejects.toMatchObject({
      ...{ name: 'MergeConflict', class: 'fatal', message: 'docs does not merge into main: a.txt' },
    });
    expect(await refs()).toBe(before);
    const opened = await pr(scratch.context());
    expect(opened).toMatchObject({ number: 1, mergeable: false, conflicts: ['a.txt'] });
    expect(await record(1)).toMatchObject({ conflicts: ['a.txt'] });
  });

  it('refuses branches that are not there or have nothing in common', async () => {
    const fails = (more: object) => expect(pr(scratch.context(), more)).rejects;
    await fails({ head: 'nowhere' }).toMatchObject({ name: 'BranchNotFound', class: 'fatal' });
    await fails({ base: 'nowhere' }).toMatchObject({ name: 'BranchNotFound' });
    await fails({ remote: '../elsewhere.git' }).toMatchObject({ name: 'PathNotAllowed' });
    await git(work, 'checkout', '--quiet', '--orphan', 'alone');
    await commitFiles(work, { c: 'c' }, 'alone');
    await git(work, 'push', '--quiet', 'origin', 'alone');
    await fails({ head: 'alone' }).toMatchObject({ name: 'UnrelatedHistories', class: 'fatal' });
  });

  it('only says what it would do in a dry run, also where the head was not pushed', async () => {
    const context = scratch.context({ dryRun: true });
    const before = await refs();
    expect(await pr(context)).toMatchObject({ number: null, created: false, mergeable: true });
    expect(await pr(context, { head: 'to-come' })).toMatchObject({ number: null, mergeable: null });
    expect(context.logged.join()).toContain('dry run: would open a pull request');
    expect(await refs()).toBe(before);
  });

  it('opens one when it is tried again after a crash, and says that it was this step', async () => {
    const context = scratch.context();
    const opened = await pr(context);
    const before = await refs();
    expect(await pr(again(context))).toEqual(opened);
    expect(await refs()).toBe(before);
  });

  it('takes the next number when somebody else takes its own at the last moment', async () => {
    // A git that lets another record in between before it pushes for the first time.
    const [bin, flag] = [join(scratch.root, 'bin'), join(scratch.root, 'taken')];
    const path = process.env.PATH ?? '';
    await writeFiles(bin, {
      git: `#!/bin/sh
export PATH='${path}'
case " $* " in *' push '*) [ -e '${flag}' ] || { touch '${flag}'
git -C '${bare}' update-ref refs/cronwright/pr/1 main; };; esac
exec git "$@"
`,
    });
    await chmod(join(bin, 'git'), 0o755);
    const context = scratch.context();
    const programEnv = { PATH: `${bin}:${path}`, HOME: scratch.dataDir, LANG: 'C.UTF-8' };
    context.overrides = { ...context.overrides, programEnv };
    const before = await refs();
    const opened = await pr(context);
    expect(existsSync(flag)).toBe(true);
    expect(opened).toMatchObject({ number: 2, created: true });
    await undo(context, opened);
    const theirs = `refs/cronwright/pr/1 ${await git(bare, 'rev-parse', 'main')}`;
    expect((await refs()).split('\n').sort()).toEqual([...before.split('\n'), theirs].sort());
  });

  it('is undone: what it opened is gone, what it changed is back, once and again', async () => {
    const before = await refs();
    const context = scratch.context();
    const output = await pr(context);
    await undo(context, output);
    await undo(context, output);
    expect(await refs()).toBe(before);
    expect(context.logged.join()).toContain('record of the remote deleted');

    await pr(scratch.context());
    const opened = await refs();
    const updating = scratch.context();
    await pr(updating, { title: 'Better' });
    await pr(again(updating), { title: 'Best' });
    expect(await record(1)).toMatchObject({ title: 'Best' });
    await undo(updating);
    expect(await refs()).toBe(opened);
  });

  it('leaves one that it only found, and one that somebody else has updated since', async () => {
    await pr(scratch.context());
    const opened = await refs();
    const finding = scratch.context();
    await undo(finding, await pr(finding));
    expect(await refs()).toBe(opened);
    const updating = scratch.context();
    await pr(updating, { title: 'Ours' });
    await pr(scratch.context(), { title: 'Theirs' });
    await undo(updating);
    expect(await record(1)).toMatchObject({ title: 'Theirs' });
    expect(updating.logged.join()).toContain('somebody else has moved the record');
  });
});

interface Pull {
  number: number;
  state: string;
  title: string;
  body: string | null;
  head: { ref: string };
  base: { ref: string };
  html_url: string;
  mergeable: boolean | null;
}

interface Forge {
  url: string;
  pulls: Pull[];
  asked: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
  /** Answers to come before it answers by itself, for requests of this method. */
  scripted: { method: string; status: number; body?: unknown; headers?: Record<string, string>; drop?: boolean }[];
}

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Answers as the forge does: GitHub filters by head, Gitea has pages; a second open one for the same branches is refused. */
async function startForge(kind: 'gitea' | 'github'): Promise<Forge> {
  const forge: Forge = { url: '', pulls: [], asked: [], scripted: [] };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const method = request.method ?? '';
    const url = new URL(request.url ?? '', 'http://forge');
    forge.asked.push({ method, url: url.href, headers: request.headers, body });
    const answer = (status: number, value: unknown, headers: Record<string, string> = {}) =>
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
    const next = forge.scripted.findIndex((one) => one.method === method);
    const scripted = next === -1 ? undefined : forge.scripted.splice(next, 1)[0];
    if (scripted && !scripted.drop) {
      return answer(scripted.status, scripted.body ?? { message: 'as scripted' }, scripted.headers);
    }
    const given = body === '' ? {} : (JSON.parse(body) as Record<string, string>);
    const number = Number(/\/pulls\/(\d+)$/.exec(url.pathname)?.[1]);
    const found = forge.pulls.find((pull) => pull.number === number);
    const { head = '', base = '', title = '', body: text = '' } = given;
    if (method === 'POST') {
      const same = forge.pulls.find((p) => p.state === 'open' && p.head.ref === head && p.base.ref === base);
      if (same && kind === 'gitea') return answer(409, { message: `pull request already exists [id: ${same.number}]` });
      if (same) {
        const errors = [{ message: `A pull request already exists for ada:${head}.` }];
        return answer(422, { message: 'Validation Failed', errors });
      }
      const made = pull({
        number: forge.pulls.length + 1,
        head: { ref: head },
        base: { ref: base },
        title,
        body: text,
      });
      forge.pulls.push(made);
      if (scripted?.drop) return request.socket.destroy();
      return answer(201, made);
    }
    if (Number.isNaN(number)) {
      const filtered = forge.pulls.filter(
        (one) => one.state === 'open' && (kind === 'gitea' || `ada:${one.head.ref}` === url.searchParams.get('head')),
      );
      const at = (Number(url.searchParams.get('page')) - 1) * 2;
      return answer(200, kind === 'gitea' ? filtered.slice(at, at + 2) : at === 0 ? filtered : []);
    }
    if (!found) return answer(404, { message: 'Not Found' });
    if (method === 'PATCH') Object.assign(found, given);
    return answer(200, found);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  forge.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1`;
  return forge;
}

function pull(more: Partial<Pull>): Pull {
  return {
    ...{ number: 1, state: 'open', title: 't', body: null, head: { ref: 'docs' }, base: { ref: 'main' } },
    ...{ html_url: `https://forge.example/ada/shop/pulls/${more.number ?? 1}`, mergeable: null, ...more },
  };
}

describe.each(['gitea', 'github'] as const)('git.pr at %s', (kind) => {
  let forge: Forge;
  beforeEach(async () => {
    forge = await startForge(kind);
  });
  const input = () => ({
    ...{ provider: kind, api_url: forge.url, repository: 'ada/shop', token: 'tok-123' },
    ...{ head: 'docs', base: 'main', title: 'Document the shop', body: 'One page.' },
  });
  function context(more: { dryRun?: boolean } = {}): TestContext {
    const made = scratch.context(more);
    made.overrides = { ...made.overrides, allowPrivateHosts: ['127.0.0.0/8'] };
    return made;
  }
  const pr = (ctx: TestContext, more: object = {}) => runStep<Output>('git.pr', ctx, { ...input(), ...more });
  const undo = (ctx: TestContext, more: object = {}) => undoStep('git.pr', ctx, { ...input(), ...more });
  const writes = () => forge.asked.filter(({ method }) => method !== 'GET').map(({ method }) => method);

  it('opens one with the token in a header, and finds it again', async () => {
    const one = context();
    expect(await pr(one)).toEqual({
      ...{ number: 1, url: 'https://forge.example/ada/shop/pulls/1', created: true, updated: false },
      ...{ mergeable: null, conflicts: [] },
    });
    expect(forge.pulls[0]).toMatchObject({ title: 'Document the shop', head: { ref: 'docs' }, base: { ref: 'main' } });
    expect(forge.pulls[0]?.body).toMatch(/^One page\.\n\n<!-- cronwright [0-9a-f]{32} -->$/);
    const scheme = kind === 'github' ? 'Bearer' : 'token';
    expect(forge.asked.map(({ headers }) => headers.authorization)).toEqual(forge.asked.map(() => `${scheme} tok-123`));
    expect(forge.asked.at(-1)?.url).toBe('http://forge/api/v1/repos/ada/shop/pulls');
    expect(one.logged.join()).not.toContain('tok-123');
    expect(await pr(context())).toMatchObject({ number: 1, created: false, updated: false });
    expect(writes()).toEqual(['POST']);
  });

  it('finds the open one among others, whatever page it is on, and updates what it says', async () => {
    forge.pulls.push(
      pull({ number: 1, state: 'closed' }),
      ...[2, 3].map((number) => pull({ number, head: { ref: 'feature' } })),
      pull({ number: 4, base: { ref: 'stable' } }),
      pull({ number: 5, title: 'Old', body: 'By hand.' }),
    );
    expect(await pr(context())).toMatchObject({ number: 5, created: false, updated: true });
    expect(forge.pulls[4]).toMatchObject({ title: 'Document the shop', body: 'One page.' });
    expect(writes()).toEqual(['PATCH']);
  });

  it('takes the one whose answer was lost for its own', async () => {
    const one = context();
    forge.scripted.push({ method: 'POST', status: 0, drop: true });
    await expect(pr(one)).rejects.toMatchObject({ class: 'transient' });
    expect(await pr(again(one))).toMatchObject({ number: 1, created: true });
    expect(forge.pulls).toHaveLength(1);
    await undo(one);
    expect(forge.pulls[0]?.state).toBe('closed');
  });

  it('tries again where somebody else opened one just now, and then updates that', async () => {
    const one = context();
    forge.scripted.push({ method: 'GET', status: 200, body: [] });
    forge.pulls.push(pull({ number: 1, title: 'Theirs', body: 'theirs' }));
    await expect(pr(one)).rejects.toMatchObject({ class: 'transient', name: 'Contended' });
    expect(await pr(again(one))).toMatchObject({ number: 1, created: false, updated: true });
    await undo(one);
    expect(forge.pulls[0]).toMatchObject({ title: 'Theirs', body: 'theirs', state: 'open' });
  });

  it.each([
    [401, {}, 'fatal', 'AuthenticationFailed'],
    [403, {}, 'fatal', 'AuthenticationFailed'],
    [403, { 'retry-after': '7' }, 'rate_limited', 'RateLimited'],
    [404, {}, 'fatal', 'RepositoryNotFound'],
    [422, {}, 'fatal', 'PullRequestRefused'],
    [429, { 'retry-after': '7' }, 'rate_limited', 'RateLimited'],
    [503, {}, 'transient', 'HttpStatusError'],
  ])('takes %i %j for a %s %s', async (status, headers: Record<string, string>, errorClass, name) => {
    forge.scripted.push({ method: 'POST', status, headers });
    await expect(pr(context())).rejects.toMatchObject({ kind: 'failed', class: errorClass, name });
    const limited = errorClass === 'rate_limited' ? { retryAfterMs: 7_000 } : {};
    forge.scripted.push({ method: 'GET', status, headers });
    await expect(pr(context())).rejects.toMatchObject({ class: errorClass, ...limited });
  });

  it('waits until the time that GitHub names in its headers', async () => {
    const date = 'Sun, 22 Nov 2026 12:00:00 GMT';
    const reset = String(Date.parse(date) / 1_000 + 90);
    const headers = { date, 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset };
    forge.scripted.push({ method: 'GET', status: 403, headers });
    await expect(pr(context())).rejects.toMatchObject({ class: 'rate_limited', retryAfterMs: 90_000 });
  });

  it('says so where what answers is no forge', async () => {
    forge.scripted.push({ method: 'GET', status: 200, body: { hello: 'world' } });
    await expect(pr(context())).rejects.toMatchObject({ name: 'UnknownAnswer', class: 'fatal' });
  });

  it('changes nothing in a dry run', async () => {
    const dry = context({ dryRun: true });
    expect(await pr(dry)).toMatchObject({ number: null, created: false });
    expect(writes()).toEqual([]);
    expect(dry.logged.join()).toContain('dry run: would open a pull request');
  });

  it('is undone: closes what it opened, puts back what it changed, and leaves the rest', async () => {
    const opening = context();
    await pr(opening);
    await undo(opening);
    await undo(opening);
    expect(forge.pulls[0]?.state).toBe('closed');

    forge.pulls.push(pull({ number: 2, title: 'Old', body: 'By hand.' }));
    const updating = context();
    await pr(updating);
    await undo(updating);
    await undo(updating);
    expect(forge.pulls[1]).toMatchObject({ state: 'open', title: 'Old', body: 'By hand.' });

    const overtaken = context();
    await pr(overtaken);
    Object.assign(forge.pulls[1] as Pull, { title: 'Theirs' });
    await undo(overtaken);
    expect(forge.pulls[1]).toMatchObject({ title: 'Theirs', body: 'One page.' });
    expect(overtaken.logged.join()).toContain('somebody else has changed the pull request');

    const found = context();
    Object.assign(forge.pulls[1] as Pull, { title: 'Document the shop' });
    await pr(found);
    await undo(found);
    expect(forge.pulls[1]?.state).toBe('open');
  });

  it('leaves one that was merged meanwhile, and one that is gone', async () => {
    const one = context();
    await pr(one);
    Object.assign(forge.pulls[0] as Pull, { state: 'closed', merged: true });
    await undo(one);
    expect(one.logged.join()).toContain('not open any more');
    expect(writes()).toEqual(['POST']);
    forge.pulls.length = 0;
    await undo(one);
  });

  it('reads the files that do not merge from the remote where it is given', async () => {
    await commitFiles(work, { 'a.txt': 'ours' }, 'ours');
    await git(work, 'push', '--quiet', 'origin', 'docs');
    await git(work, 'checkout', '--quiet', 'main');
    await commitFiles(work, { 'a.txt': 'theirs' }, 'theirs');
    await git(work, 'push', '--quiet', 'origin', 'main');
    expect(await pr(context(), { remote })).toMatchObject({ number: 1, mergeable: false, conflicts: ['a.txt'] });
  });
});

describe('git.pr', () => {
  it.each([
    [{ head: 'docs', title: 't' }, /local needs remote/],
    [{ head: 'main', title: 't', remote }, /same branch/],
    [{ provider: 'github', head: 'docs', title: 't' }, /needs repository and token/],
    [{ provider: 'gitea', head: 'docs', title: 't', repository: 'a/b', token: 'x' }, /gitea needs api_url/],
    [{ provider: 'github', head: 'docs', title: 't', repository: 'a', token: 'x' }, /owner\/name/],
    [{ remote, head: 'docs', title: 'a\nb' }, /one line/],
  ])('refuses %j', async (input, why) => {
    await expect(runStep('git.pr', scratch.context(), input)).rejects.toMatchObject({
      ...{ class: 'fatal', message: expect.stringMatching(why) },
    });
  });
});
