// Which failures are tried again, told by real ones: sockets, files, programs, HTTP answers, git remotes and PostgreSQL itself.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, connect as openSocket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { definePlugin, defineStep, type StepContext } from '../../src/steps/api.ts';
import { classify } from '../../src/steps/classify-error.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { errorOf, type Overrides, runStep, stepOf } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

/** What an HTTP server does with a call, by its path. */
const habits: Readonly<Record<string, (request: IncomingMessage, response: ServerResponse) => void>> = {
  '/reset': ({ socket }) => socket.resetAndDestroy(),
  '/hang-up': ({ socket }) => socket.destroy(),
  '/half': (_request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('half');
    setTimeout(() => response.destroy(), 20);
  },
  '/silent': () => {},
};

let server: Server;
let base = '';
let closedPort = 0;
let test: TestDatabase;
beforeAll(async () => {
  server = createHttpServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://x').pathname;
    const habit = habits[path];
    if (habit) return habit(request, response);
    const status = Number(/\d{3}/.exec(path)?.[0] ?? 200);
    response.writeHead(status, status === 429 ? { 'retry-after': '7' } : {}).end('no');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const other = createServer();
  await once(other.listen(0, '127.0.0.1'), 'listening');
  closedPort = (other.address() as AddressInfo).port;
  other.close();
  test = await createTestDatabase('postgres');
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await test.close();
});

/** What something threw. */
async function thrownBy(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

type Failure = readonly [what: string, cause: () => unknown, expected: 'transient' | 'fatal'];

const fetched = (path: string, init?: RequestInit) => async () => (await fetch(`${base}${path}`, init)).text();

const network: readonly Failure[] = [
  ['a port where nobody listens', () => fetch(`http://127.0.0.1:${closedPort}`), 'transient'],
  ['a connection that is reset', fetched('/reset'), 'transient'],
  ['a connection that is closed before the answer', fetched('/hang-up'), 'transient'],
  ['an answer that breaks off', fetched('/half'), 'transient'],
  ['an answer that takes too long', fetched('/silent', { signal: AbortSignal.timeout(50) }), 'transient'],
  ['a host that is not found', () => fetch('http://nobody.invalid/'), 'transient'],
  ['a plain socket to a closed port', () => once(openSocket(closedPort, '127.0.0.1'), 'connect'), 'transient'],
  ['TLS where there is none', () => fetch(base.replace('http:', 'https:')), 'fatal'],
  ['a URL that is none', () => fetch('http://'), 'fatal'],
];

const files: readonly Failure[] = [
  ['a file that is missing', () => readFileSync('/nowhere/at/all'), 'fatal'],
  ['a folder read as a file', () => readFileSync('/'), 'fatal'],
  ['a file used as a folder', () => readFileSync('/etc/passwd/x'), 'fatal'],
  ['a folder that is there already', () => mkdirSync('/tmp'), 'fatal'],
  ['a device that is full', () => writeFileSync('/dev/full', 'x'), 'transient'],
  [
    'a pipe that nobody reads any more',
    async () => {
      const child = spawn('head', ['-c', '1'], { stdio: ['pipe', 'ignore', 'ignore'] });
      const failed = once(child.stdin, 'error').catch((error: unknown) => [error]);
      child.stdin.write('x'.repeat(10_000_000));
      throw (await failed)[0];
    },
    'transient',
  ],
  ['a program that is missing', () => execFileSync('no-such-program-anywhere'), 'fatal'],
  ['JSON that is none', () => JSON.parse('{'), 'fatal'],
  ['a mistake of the program', () => (undefined as unknown as string).length, 'fatal'],
];

async function inPostgres(sql: string, url: string | undefined = test.url): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  // The end of the connection is also told here.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end().catch(() => {});
  }
}

const raise = (code: string) => () => inPostgres(`do $$ begin raise exception 'x' using errcode = '${code}'; end $$`);
const database: readonly Failure[] = [
  ['a serialization failure', raise('40001'), 'transient'],
  ['a deadlock', raise('40P01'), 'transient'],
  ['a server without connections', raise('53300'), 'transient'],
  [
    'a connection that an operator ended',
    () => inPostgres('select pg_terminate_backend(pg_backend_pid())'),
    'transient',
  ],
  [
    'a statement that took too long',
    () => inPostgres("set statement_timeout = '20ms'; select pg_sleep(5)"),
    'transient',
  ],
  ['a lock that is not free', raise('55P03'), 'transient'],
  ['a server that is not there', () => inPostgres('select 1', `postgres://a@127.0.0.1:${closedPort}/a`), 'transient'],
  ['a table that is missing', () => inPostgres('select * from nowhere'), 'fatal'],
  ['SQL that is none', () => inPostgres('selec 1'), 'fatal'],
  [
    'a key that is there already',
    () => inPostgres('create temp table t (n int4 primary key); insert into t values (1), (1)'),
    'fatal',
  ],
  ['a right that is missing', raise('42501'), 'fatal'],
  [
    'a database that is missing',
    () => {
      const url = new URL(test.url ?? '');
      url.pathname = '/no_such_database';
      return inPostgres('select 1', url.href);
    },
    'fatal',
  ],
];

describe.each([
  ['of the network', network],
  ['of files and programs', files],
  ['of PostgreSQL', database],
])('a failure %s', (_, failures) => {
  it.each(failures)('%s', async (_what, cause, expected) => {
    const error = await thrownBy(cause);
    expect([classify(error), String(error)]).toEqual([expected, String(error)]);
  });
});

describe('a call of http.request', () => {
  const call = async (path: string, more: object = {}) => {
    const ran = await runStep(
      'http.request',
      { url: `${base}${path}`, ...more },
      { allowPrivateHosts: ['127.0.0.0/8'] },
    );
    return errorOf(ran);
  };

  it.each([
    [400, 'fatal'],
    [401, 'fatal'],
    [403, 'fatal'],
    [404, 'fatal'],
    [408, 'transient'],
    [409, 'fatal'],
    [422, 'fatal'],
    [500, 'transient'],
    [502, 'transient'],
    [503, 'transient'],
    [504, 'transient'],
  ])('that is answered %i is %s', async (status, expected) => {
    expect(await call(`/${status}`)).toMatchObject({
      class: expected,
      message: expect.stringContaining(String(status)),
    });
  });

  it('that is answered 429 waits as long as it is told', async () => {
    expect(await call('/429')).toMatchObject({ class: 'rate_limited', retryAfterMs: 7_000 });
  });

  it.each(['/reset', '/hang-up', '/half'])('to %s is transient', async (path) => {
    expect(await call(path)).toMatchObject({ class: 'transient' });
  });

  it('that takes too long is a transient TimeoutError', async () => {
    expect(await call('/silent', { timeout: 50 })).toMatchObject({ class: 'transient', name: 'TimeoutError' });
  });
});

describe('a checkout by git', () => {
  it.each([
    ['from a repository that is not there', () => '/nowhere/at/all.git', 'fatal'],
    ['from a host that does not answer', () => `http://127.0.0.1:${closedPort}/a.git`, 'transient'],
    ['from a server with a fault', () => `${base}/500/a.git`, 'transient'],
    ['from a server that is busy', () => `${base}/503/a.git`, 'transient'],
    ['from a server that has no such repository', () => `${base}/404/a.git`, 'fatal'],
    ['from a server that lets nobody in', () => `${base}/403/a.git`, 'fatal'],
  ])('%s', async (_what, remote, expected) => {
    const error = errorOf(await runStep('git.checkout', { remote: remote() }, { allowPrivateHosts: ['127.0.0.0/8'] }));
    expect([error.class, error.message]).toEqual([expected, error.message]);
  });

  it('of a branch that is not there', async () => {
    const source = tempFolder('source');
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd: source });
    git('init', '--quiet');
    writeFileSync(join(source, 'a'), 'a');
    git('add', '.');
    git('commit', '--quiet', '-m', 'a');
    const error = errorOf(await runStep('git.checkout', { remote: source, ref: 'nowhere' }));
    expect([error.class, error.name]).toEqual(['fatal', 'RefNotFound']);
  });
});

describe('a step', () => {
  const plugin = definePlugin({
    name: 'own',
    version: '1.0.0',
    apiVersion: 1,
    steps: {
      any: defineStep({
        input: z.object({ n: z.int() }),
        output: z.object({ n: z.int() }),
        isolation: 'inline',
        run: async (ctx: StepContext, { n }: { n: number }) => {
          if (n === 1) await ctx.secrets.get('absent');
          if (n === 2)
            await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)));
          return { n: n === 3 ? 'x' : n } as { n: number };
        },
      }),
    },
  });
  const failed = async (input: unknown, more: Overrides = {}) =>
    errorOf(await runStep(stepOf(plugin, 'any'), input, more));

  it.each([
    ['whose secret is missing', { n: 1 }, {}, { class: 'fatal', name: 'MissingSecret' }],
    ['whose time is up', { n: 2 }, { timeoutMs: 30 }, { class: 'transient', name: 'TimeoutError' }],
    ['whose input does not fit', { n: 'x' }, {}, { class: 'fatal' }],
    ['whose output does not fit', { n: 3 }, {}, { class: 'fatal' }],
  ])('%s', async (_what, input, more, expected) => {
    expect(await failed(input, more)).toMatchObject(expected);
  });
});
