// A real daemon for a test: the built program on a free port, spoken to over HTTP, watched by its log.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { packageRoot } from '../../src/base/package-root.ts';
import { builtProgram } from './built-program.ts';
import { createTestDatabase } from './database.ts';

export interface DaemonOptions {
  dataDir: string;
  /** Absent: the directory that the checkout ships. */
  configDir?: string;
  /** Where it runs; default: the data directory's parent, which is no git repository. */
  cwd?: string;
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

export interface LogLine {
  level: string;
  msg: string;
  [field: string]: unknown;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  text: string;
  /** Parsed, where it is JSON. */
  body: unknown;
  ms: number;
}

export interface Asked {
  method?: string;
  headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is. */
  text?: string;
}

export interface DaemonProcess {
  readonly pid: number;
  readonly dataDir: string;
  /** What it logged so far; lines that are no JSON are not among them. */
  readonly log: readonly LogLine[];
  readonly ended: Promise<Exit>;
  /** Both streams, as they came. */
  output(): string;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM, and its end within `withinMs`. */
  stop(withinMs?: number): Promise<Exit>;
  /** SIGKILL, and its end. Safe when it has ended. */
  kill(): Promise<void>;
  /** The first line, past or to come, that fits. */
  logged(fits: string | ((line: LogLine) => boolean), withinMs?: number): Promise<LogLine>;
}

export interface Daemon extends DaemonProcess {
  readonly url: string;
  /** Every answer it gave here, bodies and headers. */
  readonly answers: readonly Answer[];
  /** `path` begins with `/`; headers of all requests are those of `token` and the given ones. */
  ask(path: string, asked?: Asked): Promise<Answer>;
  /** GET below /api/v1: its body; throws unless it is 200. */
  get<Body>(path: string): Promise<Body>;
  /** POST of JSON below /api/v1: its body; throws unless it is 2xx. */
  post<Body>(path: string, json?: unknown): Promise<Body>;
}

/** Spawns it and does not wait: for starts that are to fail. */
export function spawnDaemon(options: DaemonOptions): DaemonProcess {
  const { dataDir, configDir = join(packageRoot, 'config'), args = [], env = {} } = options;
  const flags = ['--config', configDir, '--data-dir', dataDir, '--port', '0', ...args];
  const child = spawn(process.execPath, [builtProgram, 'start', ...flags], {
    cwd: options.cwd ?? join(dataDir, '..'),
    env: { ...inherited(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return watch(child, dataDir);
}

/** Returns when it listens. `token` is sent with every request. */
export async function startDaemon(options: DaemonOptions & { token?: string }): Promise<Daemon> {
  const child = spawnDaemon(options);
  const { url } = await child.logged('listening', 90_000);
  const answers: Answer[] = [];
  const bearer = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };

  async function ask(path: string, asked: Asked = {}): Promise<Answer> {
    const answer = await send(new URL(path, String(url)), { ...asked, headers: { ...bearer, ...asked.headers } });
    answers.push(answer);
    return answer;
  }
  async function api<Body>(path: string, asked: Asked): Promise<Body> {
    const answer = await ask(`/api/v1${path}`, asked);
    if (answer.status >= 300) throw new Error(`${asked.method ?? 'GET'} ${path} → ${answer.status} ${answer.text}`);
    return answer.body as Body;
  }
  return Object.assign(child, {
    url: String(url),
    answers,
    ask,
    get: <Body>(path: string) => api<Body>(path, {}),
    post: <Body>(path: string, json: unknown = {}) => api<Body>(path, { method: 'POST', json }),
  });
}

/** What `look` finds, asked for again and again; an error with what was seen last where it takes longer. */
export async function eventually<Found>(
  what: string,
  look: () => Promise<Found | undefined> | Found | undefined,
  withinMs = 30_000,
  last: () => unknown = () => undefined,
): Promise<Found> {
  for (const until = performance.now() + withinMs; ; await sleep(50)) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > until)
      throw new Error(`not within ${withinMs} ms: ${what}; last: ${JSON.stringify(last())}`);
  }
}

export interface DaemonFolder {
  /** A temporary directory; everything of the test is below it. */
  path: string;
  /** `<path>/<name>/data` with an embedded database in it that needs no initdb, unless `empty`. */
  dataDir(name: string, options?: { empty?: boolean }): Promise<string>;
  remove(): Promise<void>;
}

export async function createDaemonFolder(): Promise<DaemonFolder> {
  const path = await mkdtemp(join(tmpdir(), 'cronwright-e2e-'));
  let template: Promise<string> | undefined;
  return {
    path,
    async dataDir(name, { empty = false } = {}) {
      const dataDir = join(path, name, 'data');
      await mkdir(dataDir, { recursive: true });
      if (empty) return dataDir;
      template ??= makeTemplate(join(path, 'template'));
      await cp(await template, join(dataDir, 'db'), { recursive: true });
      return dataDir;
    },
    remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }),
  };
}

async function makeTemplate(path: string): Promise<string> {
  const made = await createTestDatabase('pglite');
  if (made.dataDir === undefined) throw new Error('PGlite without a directory');
  await made.db.close();
  await cp(made.dataDir, path, { recursive: true });
  await made.close();
  return path;
}

/** Only what programs need: nothing that this test run was started with may configure the daemon. */
function inherited(): Record<string, string> {
  const names = ['PATH', 'HOME', 'LANG', 'TMPDIR'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

interface Waiting {
  fits: (line: LogLine) => boolean;
  found: (line: LogLine) => void;
}

function watch(child: ChildProcess, dataDir: string): DaemonProcess {
  if (child.pid === undefined || !child.stdout || !child.stderr) throw new Error('the daemon could not be spawned');
  const log: LogLine[] = [];
  const said: string[] = [];
  const waiting = new Set<Waiting>();
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
  createInterface(child.stdout).on('line', (text) => {
    said.push(`${text}\n`);
    const line = parse(text) as LogLine | undefined;
    if (line === undefined) return;
    log.push(line);
    for (const one of waiting) if (one.fits(line)) one.found(line);
  });
  let exit: Exit | undefined;
  const ended = once(child, 'close').then(([code, signal]) => {
    exit = { code, signal };
    return exit;
  });
  const output = () => said.join('');

  return {
    pid: child.pid,
    dataDir,
    log,
    ended,
    output,
    signal: (name) => void child.kill(name),
    async stop(withinMs = 20_000) {
      child.kill('SIGTERM');
      return within(ended, withinMs, () => `the daemon did not end after SIGTERM:\n${tail(output())}`);
    },
    async kill() {
      if (exit === undefined) child.kill('SIGKILL');
      await ended;
    },
    async logged(fits, withinMs = 30_000) {
      const matches = typeof fits === 'string' ? (line: LogLine) => line.msg === fits : fits;
      const known = log.find(matches);
      if (known) return known;
      let one: Waiting | undefined;
      const line = new Promise<LogLine>((found) => {
        one = { fits: matches, found };
        waiting.add(one);
      });
      const over = ended.then(({ code }) => {
        throw new Error(`the daemon ended with ${code} before it logged ${fits}:\n${tail(output())}`);
      });
      try {
        return await within(Promise.race([line, over]), withinMs, () => `not logged: ${fits}:\n${tail(output())}`);
      } finally {
        if (one) waiting.delete(one);
      }
    },
  };
}

async function within<Value>(work: Promise<Value>, ms: number, complaint: () => string): Promise<Value> {
  const stop = new AbortController();
  const late = sleep(ms, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`${ms} ms: ${complaint()}`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    stop.abort();
    late.catch(() => {});
  }
}

/** Not `fetch`: that sends no Host and no Origin but its own. */
function send(url: URL, { method = 'GET', headers = {}, json, text }: Asked): Promise<Answer> {
  const content = json === undefined ? text : JSON.stringify(json);
  const type = json === undefined ? {} : { 'content-type': 'application/json' };
  const from = performance.now();
  return new Promise((done, fail) => {
    const asking = request(url, { method, headers: { ...type, ...headers }, agent: false, timeout: 60_000 });
    asking.on('timeout', () => asking.destroy(new Error(`no answer to ${method} ${url.pathname} within 60 s`)));
    asking.on('error', fail);
    asking.on('response', async (response) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of response) chunks.push(chunk as Buffer);
        const answered = Buffer.concat(chunks).toString();
        const ms = performance.now() - from;
        const { statusCode: status = 0, headers: given } = response;
        done({ status, headers: given, text: answered, body: parse(answered), ms });
      } catch (error) {
        fail(error);
      }
    });
    asking.end(content);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function tail(text: string): string {
  return text.slice(-3_000);
}
