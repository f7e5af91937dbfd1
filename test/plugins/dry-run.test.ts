// A dry run changes nothing outside: every built-in step type with effects says what it would do, and others are not run at all.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { definePlugin, defineStep, type StepContext } from '../../src/steps/api.ts';
import { builtInPlugins } from '../../src/steps/built-in-plugins.ts';
import { loadPlugins } from '../../src/steps/load-plugins.ts';
import { createRegistry } from '../../src/steps/registry.ts';
import { type Overrides, outputOf, runStep, stepOf } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

const { plugins } = await loadPlugins({ builtIn: builtInPlugins, listed: [], baseDir: import.meta.dirname });
const withEffects = createRegistry(plugins)
  .list()
  .filter(({ effects }) => effects === 'outside');

let server: Server;
let port = 0;
let connections = 0;
beforeAll(async () => {
  server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as { port: number }).port;
});
afterAll(() => server.close());

interface Case {
  input: unknown;
  overrides?: Overrides;
  /** What it would have changed is as it was. */
  isUntouched: () => boolean;
}

const nobodyCalled = () => connections === 0;

function fileCase(): Case {
  const dataDir = tempFolder('data');
  const isUntouched = () => !existsSync(join(dataDir, 'files'));
  return { input: { path: 'a.txt', content: 'x', target: 'files' }, overrides: { dataDir }, isUntouched };
}

function shellCase(): Case {
  const marker = join(tempFolder('marker'), 'made');
  return { input: { argv: ['touch', marker] }, isUntouched: () => !existsSync(marker) };
}

function sqlCase(): Case {
  let opened = 0;
  const sql: Overrides['sql'] = async () => {
    opened += 1;
    throw new Error('opened');
  };
  const input = { connection: 'db', text: 'delete from everything', mode: 'write' };
  return { input, overrides: { sql }, isUntouched: () => opened === 0 };
}

function storeCase(input: object): Case {
  const { input: _input, ...rest } = sqlCase();
  return { ...rest, input: { store: { connection: 'db' }, ...input } };
}

const describedTable = {
  ...{ id: 's.t', name: 't', problem: null },
  object: {
    ...{
      id: 's.t',
      schema: 's',
      name: 't',
      kind: 'table',
      comment: null,
      columns: [],
      primary_key: [],
      foreign_keys: [],
    },
    ...{ definition: null, language: null, returns: null, parameters: [], related: [] },
  },
};

function pushCase(): Case {
  const [workspaceDir, dataDir] = [tempFolder('workspace'), tempFolder('data')];
  const clone = join(workspaceDir, 'repo');
  mkdirSync(clone);
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd: clone });
  git('init', '--quiet', '--initial-branch=docs');
  writeFileSync(join(clone, 'a'), 'a');
  git('add', '.');
  git('commit', '--quiet', '-m', 'a');
  return {
    input: { path: 'repo', remote: 'repositories/docs.git', branch: 'docs', create_bare: true },
    overrides: { workspaceDir, dataDir },
    isUntouched: () => readdirSync(dataDir).length === 0,
  };
}

/** A remote whose branch `docs` has a commit more than `main`. */
function prCase(): Case {
  const { input, overrides } = pushCase();
  const { workspaceDir, dataDir } = overrides as { workspaceDir: string; dataDir: string };
  const bare = join(dataDir, 'repositories/docs.git');
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
      cwd: join(workspaceDir, 'repo'),
      encoding: 'utf8',
    });
  git('init', '--quiet', '--bare', bare);
  git('push', '--quiet', bare, 'docs:main');
  writeFileSync(join(workspaceDir, 'repo', 'b'), 'b');
  git('add', '.');
  git('commit', '--quiet', '-m', 'b');
  git('push', '--quiet', bare, 'docs');
  return {
    input: { remote: (input as { remote: string }).remote, head: 'docs', base: 'main', title: 't' },
    overrides: { workspaceDir, dataDir },
    isUntouched: () => !git('ls-remote', bare).includes('refs/cronwright/pr/'),
  };
}

/** Databases are asked what they are, and nothing is written: neither a file nor a database. */
function dumpCase(input: object): Case {
  const dataDir = tempFolder('data');
  const asked: string[] = [];
  const sql: Overrides['sql'] = async () => ({
    async query(text) {
      asked.push(text);
      return { rows: [{ database: 'd', version: '15.1', major: 15 }], rowCount: 1 };
    },
    serverUrl: () => `postgres://nobody@127.0.0.1:${port}/d`,
  });
  const isUntouched = () =>
    nobodyCalled() &&
    !existsSync(join(dataDir, 'dumps', 'default', 'dumps')) &&
    asked.every((text) => /^\s*select/.test(text));
  return { input, overrides: { sql, dataDir }, isUntouched };
}

/** Whole, so that it would be restored. */
function verifyCase(): Case {
  const { overrides } = dumpCase({});
  const at = join((overrides as { dataDir: string }).dataDir, 'dumps', 'default');
  const text = '-- end of dump\n';
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, 'x.sql'), text);
  const sha256 = createHash('sha256').update(text).digest('hex');
  const dump = {
    ...{ to: 'data', path: 'x.sql', artifact: null, method: 'sql', format: 'plain', gzip: false },
    ...{ size: text.length, sha256, tables: {} },
  };
  return { input: { dump, restore_into: 'db' }, overrides: overrides as Overrides, isUntouched: nobodyCalled };
}

function rotateCase(): Case {
  const dataDir = tempFolder('data');
  const at = join(dataDir, 'dumps', 'default', 'dumps');
  mkdirSync(at, { recursive: true });
  const ids = ['019a0000-0000-7000-8000-000000000001', '019a0000-0000-7000-8000-000000000002'];
  for (const id of ids) writeFileSync(join(at, `db-${id}.dump`), 'x');
  const input = { name: 'db', keep_last: 1 };
  return { input, overrides: { dataDir }, isUntouched: () => readdirSync(at).length === 2 };
}

function modelCase(input: object): Case {
  let asked = 0;
  const llm: Overrides['llm'] = () => {
    asked += 1;
    throw new Error('asked');
  };
  return { input: { prompt: 'p', ...input }, overrides: { llm }, isUntouched: () => asked === 0 };
}

const cases: Readonly<Record<string, () => Case>> = {
  'pg.dump': () => dumpCase({ connection: 'db', to: 'data' }),
  'pg.rotate': rotateCase,
  'pg.verify': verifyCase,
  'docs.describe_object': () => storeCase({ object: describedTable }),
  'docs.store': () => storeCase({ object_id: 's.t', title: 't', body: 'x' }),
  'file.write': fileCase,
  'git.pr': prCase,
  'git.push': pushCase,
  'http.request': () => ({ input: { url: `http://127.0.0.1:${port}/`, method: 'POST' }, isUntouched: nobodyCalled }),
  'llm.chat': () => modelCase({}),
  'llm.json': () => modelCase({ schema: { type: 'string' } }),
  'notify.email': () => ({
    input: {
      smtp: { host: '127.0.0.1', port, tls: 'none' },
      ...{ from: 'a@example.org', to: 'b@example.org', subject: 's', text: 't', delivery: 'now' },
    },
    isUntouched: nobodyCalled,
  }),
  'notify.webhook': () => ({
    input: {
      ...{ url: `http://127.0.0.1:${port}/`, secret: `whsec_${Buffer.alloc(32).toString('base64')}` },
      ...{ type: 'run.failed', data: {}, delivery: 'now' },
    },
    isUntouched: nobodyCalled,
  }),
  'shell.run': shellCase,
  'sql.query': sqlCase,
};

describe('a dry run of a built-in step type with effects', () => {
  it('is tried for every such type here', () => {
    expect(withEffects.map(({ id }) => id)).toEqual(Object.keys(cases).sort());
  });

  it.each(withEffects.map(({ id }) => id))('%s says what it would do and changes nothing', async (id) => {
    const { input, overrides, isUntouched } = (cases[id] as () => Case)();
    const more = { allowPrivateHosts: ['127.0.0.0/8'], ...overrides };
    const ran = await runStep(id, input, { ...more, dryRun: true });
    expect(outputOf(ran)).not.toBeNull();
    expect(ran.recorded.log.map(({ message }) => message).join('\n')).toContain('dry run: would');
    expect(isUntouched()).toBe(true);
    // The same without `dryRun` does touch it: the check can see the difference.
    await runStep(id, input, more);
    expect(isUntouched()).toBe(false);
    connections = 0;
  });
});

describe('a dry run of a step type of somebody else', () => {
  const calls: string[] = [];
  const make = (more: object) =>
    defineStep({
      input: z.object({ n: z.int() }),
      output: z.object({ done: z.boolean() }),
      isolation: 'inline',
      ...more,
      run(ctx: StepContext) {
        calls.push(ctx.step);
        return { done: !ctx.dryRun };
      },
    });
  const plugin = definePlugin({
    name: 'foreign',
    version: '1.0.0',
    apiVersion: 1,
    steps: {
      silent: make({ effects: 'outside' }),
      handles: make({ effects: 'outside', dryRun: 'handled' }),
      harmless: make({}),
    },
  });

  it.each([
    ['silent', null, false],
    ['handles', { done: false }, true],
    ['harmless', { done: false }, true],
  ])('%s comes to %j', async (name, output, isRun) => {
    calls.length = 0;
    const ran = await runStep(stepOf(plugin, name), { n: 1 }, { dryRun: true });
    expect(outputOf(ran)).toEqual(output);
    expect(calls.length === 1).toBe(isRun);
    if (!isRun) expect(ran.recorded.log[0]?.message).toMatch(/foreign\.silent .*was not run, its output is null/);
    outputOf(await runStep(stepOf(plugin, name), { n: 1 }));
    expect(calls.length).toBe(isRun ? 2 : 1);
  });

  it('still checks its input', async () => {
    const { result } = await runStep(stepOf(plugin, 'silent'), { n: 'x' }, { dryRun: true });
    expect(result).toMatchObject({ kind: 'failed' });
  });
});
