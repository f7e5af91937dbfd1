// Checks git.checkout against real repositories: what is cloned, what is refused, what is never said.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, chown, cp, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { maskUserinfo, parseRemote } from '../../plugins/git/remote.ts';
import { createAbortError } from '../../src/steps/abort-reason.ts';
import { commitFiles, createScratch, git, readTree, runStep, type Scratch } from './git-scratch.ts';

const checkout = 'git.checkout';
let scratch: Scratch;
beforeEach(async () => {
  scratch = await createScratch();
});
afterEach(() => scratch.remove());

interface Checkout {
  commit: string;
  branch: string | null;
  remote_name: string;
  files: number;
}

describe('git.checkout', () => {
  it('clones a repository whose files have spaces and letters of other scripts', async () => {
    const source = await scratch.repository('my project', {
      'a b.ts': '1',
      'ünï/日本 語.ts': '2',
      'it\'s "q".md': '3',
    });
    const ctx = scratch.context();
    const result = await runStep<Checkout>(checkout, ctx, { remote: source });
    expect(result).toEqual({
      commit: await git(source, 'rev-parse', 'HEAD'),
      branch: 'main',
      remote_name: 'my project',
      files: 3,
    });
    expect(readFileSync(join(ctx.workspace, 'repo', 'ünï/日本 語.ts'), 'utf8')).toBe('2');
  });

  it('takes the repository REPO names where the remote is a dot', async () => {
    const source = await scratch.repository('named', { a: '1' });
    const ctx = scratch.context({ env: { REPO: source } });
    expect(await runStep<Checkout>(checkout, ctx, {})).toMatchObject({ remote_name: 'named', files: 1 });
  });

  it('calls a local repository by its origin, never by the secrets in it', async () => {
    const source = await scratch.repository('work', { a: '1' });
    for (const origin of [
      'https://bob:s3cret@git.example.org/team/shop.git',
      'git@git.example.org:team/shop',
      '/srv/shop/',
    ]) {
      await git(source, 'config', 'remote.origin.url', origin);
      expect(await runStep(checkout, scratch.context(), { remote: source }), origin).toMatchObject({
        remote_name: 'shop',
      });
    }
    await git(source, 'config', 'remote.origin.url', 'https://s3cret@git.example.org');
    const result = await runStep<Checkout>(checkout, scratch.context(), { remote: source });
    expect(result.remote_name).toBe('git.example.org');
  });

  it('takes the repository around the working directory where nothing is named', async () => {
    const source = await scratch.repository('around', { 'deep/er/a': '1' });
    const before = process.cwd();
    onTestFinished(() => process.chdir(before));
    process.chdir(join(source, 'deep', 'er'));
    const ctx = scratch.context();
    expect(await runStep<Checkout>(checkout, ctx, { remote: '.' })).toMatchObject({ remote_name: 'around' });
  });

  it('replaces what an earlier attempt left, and leaves nothing of a failed one', async () => {
    const source = await scratch.repository('source', { a: '1' });
    const ctx = scratch.context();
    await mkdir(join(ctx.workspace, 'repo.partial', 'x'), { recursive: true });
    await runStep(checkout, ctx, { remote: source });
    await writeFile(join(ctx.workspace, 'repo', 'stray'), '');
    const second = await commitFiles(source, { b: '2' }, 'second');
    expect(await runStep(checkout, ctx, { remote: source })).toMatchObject({ commit: second, files: 2 });
    expect(readdirSync(join(ctx.workspace, 'repo')).sort()).toEqual(['.git', 'a', 'b']);
    await expect(runStep(checkout, ctx, { remote: source, ref: 'nowhere' })).rejects.toThrow('neither a branch');
    expect((await readdir(ctx.workspace)).sort()).toEqual(['.cronwright', 'repo']);
  });

  it('checks out a branch, a tag, an old commit and a short hash', async () => {
    const source = await scratch.repository('source', { a: '1' });
    const first = await git(source, 'rev-parse', 'HEAD');
    await git(source, 'tag', '-a', 'v1', '-m', 'one');
    await git(source, 'checkout', '-q', '-b', 'feature/x');
    const second = await commitFiles(source, { b: '2' }, 'second');
    await git(source, 'checkout', '-q', 'main');
    await commitFiles(source, { c: '3' }, 'third');
    const at = (ref: string): Promise<Checkout> => runStep(checkout, scratch.context(), { remote: source, ref });
    expect(await at('feature/x')).toMatchObject({ commit: second, branch: 'feature/x', files: 2 });
    expect(await at('v1')).toMatchObject({ commit: first, branch: null, files: 1 });
    expect(await at(first)).toMatchObject({ commit: first, branch: null });
    expect(await at(second.slice(0, 9))).toMatchObject({ commit: second, branch: null });
  });

  it('fetches only the depth asked for', async () => {
    const source = await scratch.repository('source', { a: '1' });
    await commitFiles(source, { a: '2' }, 'second');
    const ctx = scratch.context();
    await runStep(checkout, ctx, { remote: source, depth: 1 });
    expect(await git(join(ctx.workspace, 'repo'), 'rev-list', '--count', 'HEAD')).toBe('1');
  });

  it('clones from a shallow clone, a detached HEAD, a linked worktree and a bare repository', async () => {
    const source = await scratch.repository('source', { a: '1' });
    const head = await commitFiles(source, { a: '2' }, 'second');
    await git(scratch.root, 'clone', '--quiet', '--depth=1', `file://${source}`, 'shallow');
    await git(scratch.root, 'clone', '--quiet', '--bare', source, 'bare.git');
    await git(source, 'worktree', 'add', '--quiet', join(scratch.root, 'linked'));
    await git(source, 'checkout', '--quiet', '--detach');
    const from = (name: string): Promise<Checkout> =>
      runStep(checkout, scratch.context(), { remote: join(scratch.root, name) });
    expect(await from('shallow')).toMatchObject({ commit: head, branch: 'main' });
    expect(await from('source')).toMatchObject({ commit: head, branch: null });
    expect(await from('linked')).toMatchObject({ commit: head, branch: 'linked' });
    expect(await from('bare.git')).toMatchObject({ commit: head, branch: 'main', remote_name: 'source' });
    expect(await runStep(checkout, scratch.context(), { remote: `file://${source}` })).toMatchObject({
      commit: head,
    });
  });

  it('says once what was looked at and what to do where there is no repository', async () => {
    const plain = join(scratch.root, 'plain');
    await mkdir(plain);
    for (const remote of [plain, join(scratch.root, 'missing')]) {
      const ctx = scratch.context();
      const failure = runStep(checkout, ctx, { remote });
      await expect(failure).rejects.toMatchObject({ name: 'NotARepository', class: 'fatal' });
      await expect(failure).rejects.toThrow(/REPO.*input `remote`/);
      await expect(failure).rejects.toThrow(remote);
    }
  });

  it('does not take the repository around a folder that somebody named', async () => {
    const source = await scratch.repository('source', { 'inner/a': '1' });
    const failure = runStep(checkout, scratch.context(), { remote: join(source, 'inner') });
    await expect(failure).rejects.toMatchObject({ name: 'NotARepository' });
  });

  it('tells an empty repository from a missing one', async () => {
    await git(scratch.root, 'init', '--quiet', 'empty');
    const failure = runStep(checkout, scratch.context(), { remote: join(scratch.root, 'empty') });
    await expect(failure).rejects.toMatchObject({ name: 'EmptyRepository', class: 'fatal' });
  });

  it('refuses addresses that would run a command or be read as an option', async () => {
    for (const remote of [
      'ext::sh -c touch% x',
      '--upload-pack=touch x',
      'fd::3',
      'ssh://-oProxyCommand=x/y',
      'ftp://h/x',
    ]) {
      const failure = runStep(checkout, scratch.context(), { remote });
      await expect(failure, remote).rejects.toMatchObject({ name: 'RemoteNotAllowed', class: 'fatal' });
    }
  });

  it('refuses a path that leaves the workspace or is the workspace', async () => {
    const source = await scratch.repository('source', { a: '1' });
    for (const path of ['../out', '/etc/x', '.', 'repo/../..']) {
      const failure = runStep(checkout, scratch.context(), { remote: source, path });
      await expect(failure, path).rejects.toMatchObject({ name: 'PathNotAllowed' });
    }
  });

  it('runs no hook and obeys no configuration of the machine or the environment', async () => {
    const source = await scratch.repository('source', { a: '1' });
    const mark = join(scratch.root, 'mark');
    const hooks = join(scratch.root, 'templates', 'hooks');
    await mkdir(hooks, { recursive: true });
    await writeFile(join(hooks, 'post-checkout'), `#!/bin/sh\ntouch ${mark}\n`);
    await chmod(join(hooks, 'post-checkout'), 0o755);
    await mkdir(join(scratch.root, 'xdg', 'git'), { recursive: true });
    await writeFile(join(scratch.root, 'xdg', 'git', 'config'), `[core]\n\thooksPath = ${hooks}\n`);
    const changes = {
      XDG_CONFIG_HOME: join(scratch.root, 'xdg'),
      GIT_TEMPLATE_DIR: join(scratch.root, 'templates'),
      GIT_DIR: join(scratch.root, 'nowhere'),
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'core.hooksPath',
      GIT_CONFIG_VALUE_0: hooks,
    };
    setEnvironment(changes);
    expect(await runStep(checkout, scratch.context(), { remote: source })).toMatchObject({ files: 1 });
    expect(existsSync(mark)).toBe(false);
  });

  it('shares no file with its source', async () => {
    const source = await scratch.repository('source', { a: '1'.repeat(1000) });
    const ctx = scratch.context();
    await runStep(checkout, ctx, { remote: source });
    const clone = join(ctx.workspace, 'repo');
    expect(existsSync(join(clone, '.git/objects/info/alternates'))).toBe(false);
    for (const entry of await readdir(join(clone, '.git'), { recursive: true })) {
      const file = await stat(join(clone, '.git', entry));
      if (file.isFile()) expect(file.nlink, entry).toBe(1);
    }
    expect(readFileSync(join(clone, '.git/config'), 'utf8')).not.toContain(source);
  });

  it.runIf(process.getuid?.() === 0)('clones a repository that belongs to another user', async () => {
    const source = await scratch.repository('source', { a: '1' });
    const other = join(scratch.root, 'other');
    await cp(source, other, { recursive: true });
    for (const entry of await readdir(other, { recursive: true })) await chown(join(other, entry), 65534, 65534);
    await chown(other, 65534, 65534);
    // The test means something only where git itself would refuse.
    expect(() => execFileSync('git', ['-C', other, 'log'], { env: { PATH: process.env.PATH }, stdio: 'pipe' })).toThrow(
      /dubious ownership/,
    );
    expect(await runStep(checkout, scratch.context(), { remote: other })).toMatchObject({ files: 1 });
    await git(scratch.root, 'clone', '--quiet', '--bare', source, 'foreign.git');
    await chown(join(scratch.root, 'foreign.git'), 65534, 65534);
    expect(await runStep(checkout, scratch.context(), { remote: join(scratch.root, 'foreign.git') })).toMatchObject({
      files: 1,
    });
  });

  it('leaves links of a repository as links', async () => {
    const source = await scratch.repository('source', { a: '1' });
    await symlink('/etc', join(source, 'etc'));
    await commitFiles(source, {}, 'link');
    const ctx = scratch.context();
    await runStep(checkout, ctx, { remote: source });
    expect(readdirSync(join(ctx.workspace, 'repo'))).toContain('etc');
  });
});

describe('git.checkout over a network', () => {
  it('sends the credentials of a URL and never shows them', async () => {
    const source = await scratch.repository('source', { a: '1' });
    const seen: (string | undefined)[] = [];
    await git(scratch.root, 'clone', '--quiet', '--bare', source, 'served.git');
    await git(join(scratch.root, 'served.git'), 'update-server-info');
    const port = await serve(async (request, response) => {
      seen.push(request.headers.authorization);
      const file = join(scratch.root, (request.url ?? '').split('?')[0] ?? '');
      if (!existsSync(file)) return void response.writeHead(404).end();
      response.end(readFileSync(file));
    });
    const remote = `http://bob:s3cr%40t@127.0.0.1:${port}/served.git`;
    const ctx = scratch.context();
    const result = await runStep<Checkout>(checkout, ctx, { remote });
    expect(result).toMatchObject({ remote_name: 'served', files: 1 });
    expect(seen.length).toBeGreaterThan(0);
    expect(new Set(seen)).toEqual(new Set([`Basic ${Buffer.from('bob:s3cr@t').toString('base64')}`]));
    expect(ctx.logged.join('\n')).not.toMatch(/s3cr/);
    for (const [name, content] of Object.entries(await readTree(ctx.workspace))) {
      expect(content, name).not.toMatch(/s3cr|Ym9iO/);
    }
  });

  const answers = [
    { status: 401, name: 'AuthenticationFailed', class: 'fatal' },
    { status: 403, name: 'AuthenticationFailed', class: 'fatal' },
    { status: 404, name: 'RepositoryNotFound', class: 'fatal' },
    { status: 429, name: 'NetworkError', class: 'transient' },
    { status: 503, name: 'NetworkError', class: 'transient' },
  ];
  it.each(answers)('takes an answer $status for $class $name', async ({ status, name, class: errorClass }) => {
    const port = await serve((_request, response) => void response.writeHead(status).end());
    const ctx = scratch.context();
    const failure = runStep(checkout, ctx, { remote: `http://bob:s3cret@127.0.0.1:${port}/x.git` });
    await expect(failure).rejects.toMatchObject({ name, class: errorClass });
    await expect(failure).rejects.not.toThrow(/s3cret/);
    expect(
      JSON.stringify([await failure.catch((error: { details: unknown }) => error.details), ctx.logged]),
    ).not.toContain('s3cret');
  });

  it('takes a refused connection and an unknown host for transient', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    for (const remote of [`http://127.0.0.1:${port}/x.git`, 'https://nowhere.invalid/x.git']) {
      const failure = runStep(checkout, scratch.context(), { remote });
      await expect(failure).rejects.toMatchObject({ name: 'NetworkError', class: 'transient' });
    }
  });

  it('kills git and its helpers when the step is aborted, and throws the reason', async () => {
    const requests: string[] = [];
    const port = await serve((request) => requests.push(request.url ?? ''));
    const abort = new AbortController();
    const ctx = scratch.context({ signal: abort.signal });
    const failure = runStep(checkout, ctx, { remote: `http://127.0.0.1:${port}/x.git` });
    failure.catch(() => undefined);
    await expect.poll(() => requests, { timeout: 10_000 }).not.toEqual([]);
    expect(processesNaming(`127.0.0.1:${port}`)).not.toEqual([]);
    const aborted = performance.now();
    abort.abort(createAbortError('cancelled', 'cancelled by a person'));
    await expect(failure).rejects.toMatchObject({ kind: 'cancelled' });
    // By TERM, so that git can tidy up: KILL comes after two seconds only.
    expect(performance.now() - aborted).toBeLessThan(1_900);
    await expect.poll(() => processesNaming(`127.0.0.1:${port}`), { timeout: 5_000 }).toEqual([]);
    expect(existsSync(join(ctx.workspace, 'repo.partial'))).toBe(false);
  });
});

describe('a remote', () => {
  const cases: [string, string, { user: string; password: string } | undefined][] = [
    ['https://bob:p%40ss@x.example/a.git', 'https://x.example/a.git', { user: 'bob', password: 'p@ss' }],
    ['https://token@x.example:8443/a.git', 'https://x.example:8443/a.git', { user: 'token', password: '' }],
    ['https://x.example/a.git', 'https://x.example/a.git', undefined],
    ['ssh://git:secret@x.example/a.git', 'ssh://git@x.example/a.git', undefined],
    ['git@x.example:team/a.git', 'git@x.example:team/a.git', undefined],
    ['../a b', '/base/a b', undefined],
    ['./a:b', '/base/dir/a:b', undefined],
  ];
  it.each(cases)('%s is given to git without its secrets', (text, url, credentials) => {
    expect(parseRemote(text, '/base/dir')).toMatchObject({ url, credentials });
  });

  it('is shown without user and password, however they are written', () => {
    expect(maskUserinfo("fatal: 'https://a:b@x.example/c' and ssh://d@y and http://e:f@g@z/h@i, j@k")).toBe(
      "fatal: 'https://***@x.example/c' and ssh://***@y and http://***@z/h@i, j@k",
    );
  });
});

async function serve(handler: (request: IncomingMessage, response: ServerResponse) => unknown): Promise<number> {
  const server: Server = createServer((request, response) => void handler(request, response));
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

function setEnvironment(values: Record<string, string>): void {
  const before = Object.fromEntries(Object.keys(values).map((name) => [name, process.env[name]]));
  Object.assign(process.env, values);
  onTestFinished(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
}

/** Command lines of living processes that contain a text (Linux). */
function processesNaming(text: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes(text));
}
