// git.changes on real repositories: which branches and tags have moved since the last look, each told once.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import gitPlugin from '../../plugins/git/index.ts';
import type { Json } from '../../src/steps/api.ts';
import { testSensor } from '../../src/steps/testing/test-step.ts';
import { commitFiles, createScratch, git, type Scratch } from './git-scratch.ts';

interface Change {
  remote: string;
  kind: string;
  name: string;
  ref: string;
  commit: string;
  previous: string | null;
}

let scratch: Scratch;
let source: string;
beforeEach(async () => {
  scratch = await createScratch();
  source = await scratch.repository('app', { 'a.txt': '1' });
});
afterEach(() => scratch.remove());

/** Looks with the cursor of the look before. */
function watcher(input: Record<string, Json>, options: { maxEvents?: number } = {}) {
  let cursor: Json | undefined;
  return async () => {
    const look = await testSensor<Change>(gitPlugin, { sensor: 'changes', input, cursor, ...options });
    expect(look.error).toBeUndefined();
    cursor = look.cursor;
    return look;
  };
}

describe('git.changes', () => {
  it('tells the branch of HEAD at first, then each time it has moved, and nothing in between', async () => {
    const look = watcher({ remote: source });
    const first = await git(source, 'rev-parse', 'HEAD');
    const found = (await look()).events;
    const data = {
      remote: source,
      kind: 'branch',
      name: 'main',
      ref: 'refs/heads/main',
      commit: first,
      previous: null,
    };
    expect(found).toEqual([{ key: `refs/heads/main@${first}/1`, data }]);
    expect((await look()).events).toEqual([]);
    await git(source, 'branch', 'other');
    expect((await look()).events).toEqual([]);
    await commitFiles(source, { 'a.txt': '2' }, 'second');
    const third = await commitFiles(source, { 'a.txt': '3' }, 'third');
    expect((await look()).events).toMatchObject([{ data: { commit: third, previous: first } }]);
    // Back where it was: that is a move, too, and no thing that was told before.
    await git(source, 'reset', '--quiet', '--hard', first);
    const back = (await look()).events;
    expect(back).toMatchObject([{ data: { commit: first, previous: third } }]);
    expect(back[0]?.key).not.toBe(found[0]?.key);
    expect((await look()).events).toEqual([]);
  });

  it('watches branches and tags by name, forgets those that are gone, and peels tags', async () => {
    const commit = await git(source, 'rev-parse', 'HEAD');
    await git(source, 'branch', 'release/1.0');
    await git(source, 'branch', 'releases');
    await git(source, 'tag', '--annotate', '-m', 'one', 'v1');
    await git(source, 'tag', 'w1');
    const look = watcher({ remote: source, branches: ['release/*'], tags: 'v*' });
    const seen = async () => (await look()).events.map(({ data }) => [data.kind, data.name, data.commit]);
    expect(await seen()).toEqual([
      ['branch', 'release/1.0', commit],
      ['tag', 'v1', commit],
    ]);
    await git(source, 'branch', '-D', 'release/1.0');
    expect(await seen()).toEqual([]);
    await git(source, 'branch', 'release/1.0');
    expect(await seen()).toEqual([['branch', 'release/1.0', commit]]);
  });

  it('tells no more than it may, and the rest at the next look', async () => {
    for (const name of ['a', 'b', 'c']) await git(source, 'branch', `feature-${name}`);
    const look = watcher({ remote: source, branches: 'feature-*' }, { maxEvents: 2 });
    const one = await look();
    expect([one.events.map(({ data }) => data.name), one.more]).toEqual([['feature-a', 'feature-b'], true]);
    const two = await look();
    expect([two.events.map(({ data }) => data.name), two.more]).toEqual([['feature-c'], false]);
  });

  it('finds nothing in a repository without a commit, and its first one later', async () => {
    const bare = `${scratch.root}/bare.git`;
    await git(scratch.root, 'init', '--quiet', '--bare', '--initial-branch=main', bare);
    const look = watcher({ remote: bare });
    expect((await look()).events).toEqual([]);
    await git(source, 'push', '--quiet', bare, 'main');
    expect((await look()).events).toMatchObject([{ data: { name: 'main', previous: null } }]);
  });

  it('says why a remote cannot be asked, without its password', async () => {
    const server = createServer((_request, response) => response.writeHead(401).end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const remote = `http://ada:hunter2@127.0.0.1:${port}/app.git`;
    const { error, end } = await testSensor(gitPlugin, { sensor: 'changes', input: { remote } });
    expect(end).toBe('failed');
    expect(error).toMatchObject({ name: 'AuthenticationFailed', class: 'fatal' });
    expect(JSON.stringify(error)).not.toContain('hunter2');
    const gone = await testSensor(gitPlugin, { sensor: 'changes', input: { remote: `${scratch.root}/nowhere` } });
    expect(gone.error?.name).toBe('NotARepository');
    const wrong = await testSensor(gitPlugin, { sensor: 'changes', input: { remote: source, branches: 'a b' } });
    expect(wrong.error?.message).toContain('branches: expected a name of branches or tags');
  });
});
