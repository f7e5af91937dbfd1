// The commands that talk to a daemon, against a real one: spawned from its source, on a free port, with a token.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtProgram } from '../support/built-program.ts';
import { cronwright as cronwrightWith } from '../unit/cli/memory-context.ts';

const token = 'a-token-for-this-test';
const pipelines = `
id: hello
inputs:
  pages: { type: integer, default: 3 }
schedules:
  - { id: yearly, cron: "0 2 1 1 *", timezone: Europe/Berlin }
steps:
  - { id: greet, uses: shell.run, with: { script: "echo hello; echo oops >&2" } }
  - { id: rest, uses: wait.sleep, with: { duration: 50ms } }
---
id: sad
steps:
  - { id: fine, uses: wait.sleep, with: { duration: 10ms } }
  - { id: boom, uses: shell.run, with: { script: "echo about to fail; exit 3" }, retry: { max_retries: 0 } }
---
id: long
schedules:
  - { id: yearly, cron: "0 2 1 1 *" }
steps:
  - { id: sleepy, uses: wait.sleep, with: { duration: 1h } }
`;

interface Daemon {
  process: ChildProcess;
  url: string;
  /** Everything it said, as it said it. */
  lines: string[];
}

let folder: string;
let daemon: Daemon;

function spawnDaemon(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  return spawn(process.execPath, [builtProgram, 'start', ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function startDaemon(args: readonly string[], env: Record<string, string>): Promise<Daemon> {
  const child = spawnDaemon(args, env);
  const lines: string[] = [];
  child.stderr?.on('data', (data) => lines.push(String(data)));
  if (!child.stdout) throw new Error('no stdout');
  return new Promise((done, fail) => {
    child.once('exit', (code) => fail(new Error(`the daemon ended with ${code}:\n${lines.join('\n')}`)));
    createInterface(child.stdout as NodeJS.ReadableStream).on('line', (line) => {
      lines.push(line);
      const entry = JSON.parse(line);
      if (entry.msg === 'listening') done({ process: child, url: entry.url, lines });
    });
  });
}

/** What a process said until it ended, and how. */
async function outcomeOf(child: ChildProcess): Promise<{ code: number | null; out: string; err: string }> {
  const parts = { out: '', err: '' };
  child.stdout?.on('data', (data) => {
    parts.out += data;
  });
  child.stderr?.on('data', (data) => {
    parts.err += data;
  });
  const [code] = await once(child, 'close');
  return { code, ...parts };
}

function cronwright(...args: string[]) {
  const env = { CRONWRIGHT_URL: daemon.url, CRONWRIGHT_TOKEN: token, USER: 'ada' };
  return cronwrightWith(args, { env, now: new Date().toISOString() });
}

async function json(...args: string[]) {
  const { code, out, err } = await cronwright(...args, '--json');
  expect(err).toBe('');
  expect(code).toBe(0);
  return JSON.parse(out);
}

/** Runs a pipeline to its end; the id of its run. */
async function finished(id: string, ...args: string[]): Promise<string> {
  const { out } = await cronwright('trigger', id, '--follow', '--json', ...args);
  return JSON.parse(out.trim().split('\n').at(-1) ?? '').run_id;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cronwright-cli-'));
  mkdirSync(join(folder, 'config/pipelines'), { recursive: true });
  writeFileSync(join(folder, 'config/pipelines/all.yaml'), pipelines);
  daemon = await startDaemon(['--port', '0'], { CRONWRIGHT_TOKEN: token });
});

afterAll(async () => {
  if (daemon?.process.exitCode === null) {
    const ended = once(daemon.process, 'exit');
    daemon.process.kill('SIGKILL');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

describe('commands that ask a daemon', () => {
  it('trigger --follow starts a run, prints its log, and exits as the run did', async () => {
    const good = await cronwright('trigger', 'hello', '-i', 'pages=5', '--follow');
    expect(good.err).toBe('');
    expect(good.out).toMatch(/^\d\d:\d\d:\d\d\.\d{3} greet {2}hello$/m);
    expect(good.out.trim().endsWith('completed')).toBe(true);
    expect(good.code).toBe(0);
    const bad = await cronwright('trigger', 'sad', '--follow');
    expect(bad.out).toContain('boom  about to fail');
    expect(bad.out.trim().split('\n').at(-1)).toMatch(/^failed {2}\w+: ./);
    expect(bad.code).toBe(1);
  });

  it('trigger reads inputs by their declared types and refuses wrong ones with 2', async () => {
    const run = await json('show', await finished('hello', '-i', 'pages=7'));
    expect(run.inputs).toEqual({ pages: 7 });
    expect(run).toMatchObject({ origin: 'cli', actor: 'ada', state: 'completed' });
    const typed = await cronwright('trigger', 'hello', '-i', 'pages=many');
    expect(typed).toMatchObject({ code: 2, out: '' });
    const unknown = await cronwright('trigger', 'hello', '-i', 'size=7');
    expect(unknown.err).toContain('unknown input');
    expect(unknown.code).toBe(2);
  });

  it('show tells steps, error and timeline', async () => {
    const { code, out } = await cronwright('show', await finished('sad'));
    expect(code).toBe(0);
    expect(out).toMatch(/^sad {2}failed/);
    expect(out).toMatch(/^error .*sh exited with code 3/m);
    expect(out).toMatch(/^fine +wait\.sleep +completed/m);
    expect(out).toMatch(/^boom +shell\.run +failed/m);
    expect(out).toMatch(/run\.enqueued .*by ada/);
  });

  it('finds a run by `last` and by the end of its id', async () => {
    const id = await finished('hello');
    expect((await json('show', 'last')).id).toBe(id);
    expect((await json('show', id.slice(-8))).id).toBe(id);
    const several = await cronwright('show', id.slice(0, 4));
    expect(several.code).toBe(2);
    expect(several.err).toMatch(/fits \d+ runs/);
    expect(await cronwright('show', 'what?')).toMatchObject({ code: 2 });
    expect(await cronwright('show', '00000000-0000-7000-8000-000000000000')).toMatchObject({ code: 1 });
  });

  it('runs lists the newest first, filtered, and gives pages', async () => {
    const id = await finished('hello');
    const people = await cronwright('runs', '-n', '1');
    expect(people.out).toContain(id);
    expect(people.err).toContain('--cursor');
    const failed = await json('runs', '--state', 'failed', '--from', '1h');
    expect(failed.items.length).toBeGreaterThan(0);
    expect(failed.items.every((run: { pipeline: string }) => run.pipeline === 'sad')).toBe(true);
    const first = await json('runs', '-n', '1');
    const second = await json('runs', '-n', '1', '--cursor', first.next_cursor);
    expect(second.items[0].id < first.items[0].id).toBe(true);
    expect(await cronwright('runs', '--state', 'lost')).toMatchObject({ code: 2 });
    expect(await cronwright('runs', '--from', 'yesterday')).toMatchObject({ code: 2 });
  });

  it('logs prints the lines of a run or of one step, for people and as JSON', async () => {
    const id = await finished('hello');
    expect((await cronwright('logs', id)).out).toMatch(/greet {2}hello\n.*greet {2}warn: oops/);
    expect((await json('logs', id)).items.map((line: { text: string }) => line.text)).toEqual(['hello', 'oops']);
    expect((await json('logs', id, '--step', 'rest')).items).toEqual([]);
    const { out } = await cronwright('logs', id, '--follow', '--json');
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).text),
    ).toEqual(['hello', 'oops']);
  });

  it('cancel ends a run, and a second one is refused with both states', async () => {
    const { id } = await json('trigger', 'long');
    const { code } = await cronwright('cancel', id, '--reason', 'a test');
    expect(code).toBe(0);
    await cronwright('logs', id, '--follow');
    expect((await json('show', id)).state).toBe('cancelled');
    const again = await cronwright('cancel', id);
    expect(again.err).toMatch(/is cancelled and cannot become cancelled/);
    expect(again.code).toBe(1);
  });

  it('retry makes a new run that keeps what was completed', async () => {
    const id = await finished('sad');
    const retried = await cronwright('retry', id);
    expect(retried.out).toContain(`retries ${id}, keeping fine`);
    expect(await cronwright('retry', await finished('hello'))).toMatchObject({ code: 1 });
  });

  it('fork makes a new run with another output, and show --diff puts the two side by side', async () => {
    const id = await finished('sad');
    const file = join(folder, 'slept.json');
    writeFileSync(file, '{"slept_ms": 77}');
    const forked = await cronwright('fork', id, '--output', `fine=@${file}`, '--from', 'boom');
    expect(forked.out).toContain(`forked from ${id}, keeping fine; edited: output of fine`);
    const made = forked.out.slice(0, 36);
    const diff = await cronwright('show', made, '--diff');
    expect(diff.out).toMatch(/slept_ms: \d+ → 77/);
    expect((await json('show', made, '--diff', id)).before.id).toBe(id);
    const refused = await cronwright('fork', id, '--output', 'fine={"slept_ms": "long"}');
    expect(refused.err).toContain('outputs.fine.slept_ms');
    expect(refused.code).toBe(2);
  });

  it('trigger of a schedule obeys its overlap policy unless forced', async () => {
    const first = await json('trigger', 'long.yearly');
    const second = await cronwright('trigger', 'long.yearly');
    expect(second.err).toContain('overlap "skip"');
    expect(second.code).toBe(1);
    const forced = await json('trigger', 'long.yearly', '--force');
    for (const { id } of [first, forced]) await cronwright('cancel', id);
  });

  it('trigger --at keeps a run for later', async () => {
    const { id } = await json('trigger', 'hello', '--at', '2h');
    expect((await json('show', id)).state).toBe('scheduled');
    expect((await cronwright('runs', '-n', '1')).out).toMatch(/scheduled.*in (2 h|1 h 59 min)/);
    await cronwright('cancel', id);
  });

  it('pause and resume a schedule, and tell what became of its times', async () => {
    const paused = await cronwright('pause', 'hello.yearly', '--reason', 'holidays', '--until', '2h');
    expect(paused.out).toMatch(/^hello\.yearly: paused until .* \(in 2 h\)\.$/m);
    const resumed = await cronwright('resume', 'hello.yearly');
    expect(resumed.out).toMatch(/^hello\.yearly: resumed; fires next at \d{4}-01-01 01:00:00Z/);
    expect(await cronwright('resume', 'hello.yearly')).toMatchObject({ code: 1 });
    const { code, out } = await cronwright('occurrences', 'hello.yearly', '--from', '1h');
    expect(out).toContain('0 fire times; decided until');
    expect(code).toBe(0);
    expect(await cronwright('occurrences', 'hello.no')).toMatchObject({ code: 1 });
  });

  it('queue and nodes tell what waits and who works', async () => {
    expect((await cronwright('queue')).out).toMatch(/^live runs +\d+\n/);
    expect(await json('queue')).toHaveProperty('by_state');
    expect((await cronwright('nodes')).out).toMatch(/ live .* 0\/4/);
    expect((await json('nodes')).items).toHaveLength(1);
  });

  it('config tells the settings in force and where each comes from', async () => {
    const all = (await cronwright('config')).out;
    expect(all).toMatch(/timing\.lease .* 30s .* default/);
    expect(all).toMatch(/port .* 0 .* flag/);
    expect(all).toMatch(/pipelines in force [0-9a-f]{16}/);
    const set = (await cronwright('config', '--set')).out;
    expect(set).toMatch(/port .* flag/);
    expect(set).not.toMatch(/default/);
    expect((await json('config')).settings).toContainEqual({ key: 'workers', value: 4, source: 'default' });
  });
});

describe('commands that cannot ask a daemon', () => {
  let stranger: Server;
  let strangerUrl: string;
  let deadUrl: string;

  beforeAll(async () => {
    stranger = createServer((request, response) => {
      if (request.url?.includes('/queue')) response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>502</h1>');
      else if (request.url?.includes('/nodes')) response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end();
      else response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>hello</h1>');
    });
    stranger.listen(0, '127.0.0.1');
    await once(stranger, 'listening');
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    deadUrl = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
    await new Promise((done) => closed.close(done));
    strangerUrl = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`;
  });

  afterAll(() => {
    stranger.closeAllConnections();
    stranger.close();
  });

  it('say that nobody answers there', async () => {
    const { code, out, err } = await cronwrightWith(['runs', '--url', `${deadUrl}/`]);
    expect(err).toBe(`error: no daemon answers at ${deadUrl} (start one with \`cronwright start\`, or say --url)\n`);
    expect(out).toBe('');
    expect(code).toBe(1);
  });

  it('say so as JSON on stderr with --json', async () => {
    const { code, out, err } = await cronwrightWith(['runs', '--url', deadUrl, '--json']);
    expect(JSON.parse(err).error).toMatchObject({ code: 'unavailable', url: deadUrl });
    expect(out).toBe('');
    expect(code).toBe(1);
  });

  it('ask for a token where one is missing or wrong, and never show it', async () => {
    for (const args of [[], ['--token', 'secret words']]) {
      const { code, err } = await cronwrightWith(['runs', '--url', daemon.url, ...args]);
      expect(err).toContain('--token or CRONWRIGHT_TOKEN');
      expect(err).not.toContain('secret words');
      expect(code).toBe(1);
    }
  });

  it('tell another program from a daemon', async () => {
    const html = await cronwrightWith(['runs', '--url', strangerUrl]);
    expect(html.err).toContain('not as a Cronwright daemon does');
    expect((await cronwrightWith(['queue', '--url', strangerUrl])).err).toContain('HTTP 502');
    expect(await cronwrightWith(['nodes', '--url', strangerUrl])).toMatchObject({ code: 1 });
  });

  it.each([['ftp://x'], ['nonsense'], ['http://user:hunter2@127.0.0.1:1']])('refuse the address %s', async (url) => {
    const { code, err } = await cronwrightWith(['runs', '--url', url]);
    expect(code).toBe(2);
    expect(err).toContain('--url');
    expect(err).not.toContain('hunter2');
  });
});

describe('a daemon that cannot start', () => {
  it('says that its port is taken, without a stack, and exits with 1', async () => {
    const port = new URL(daemon.url).port;
    const { code, err } = await outcomeOf(spawnDaemon(['--port', port, '--data-dir', 'other']));
    expect(err).toMatch(new RegExp(`^error: .*${port}`));
    expect(err).not.toMatch(/^ +at /m);
    expect(code).toBe(1);
  });

  it('says who holds its data directory', async () => {
    const { code, err } = await outcomeOf(spawnDaemon(['--port', '0']));
    expect(err).toContain(`process ${daemon.process.pid}`);
    expect(err).not.toMatch(/^ +at /m);
    expect(code).toBe(1);
  });

  it('tells what is wrong with its configuration, and exits with 2', async () => {
    mkdirSync(join(folder, 'broken/pipelines'), { recursive: true });
    writeFileSync(join(folder, 'broken/pipelines/odd.yaml'), 'id: odd\nsteps:\n  - { id: s, uses: no.such }\n');
    const { code, err } = await outcomeOf(spawnDaemon(['--config', 'broken', '--port', '0']));
    expect(err).toMatch(/odd\.yaml:3:\d+: steps\[0\]\.uses: unknown step type/);
    expect(code).toBe(2);
    expect(await outcomeOf(spawnDaemon(['--port', 'many']))).toMatchObject({ code: 2 });
  });

  it('keeps trying a database that does not answer, and ends at a signal', async () => {
    const child = spawnDaemon(['--port', '0', '--database-url', 'postgres://ada:hunter2@127.0.0.1:1/x']);
    const outcome = outcomeOf(child);
    if (!child.stdout) throw new Error('no stdout');
    for await (const line of createInterface(child.stdout)) if (line.includes('database unavailable')) break;
    child.kill('SIGTERM');
    const { code, out, err } = await outcome;
    expect(code).toBe(0);
    expect(out + err).toContain('127.0.0.1:1');
    expect(out + err).not.toContain('hunter2');
  });
});

describe('a daemon under signals', () => {
  it('reads its configuration again at SIGHUP', async () => {
    writeFileSync(
      join(folder, 'config/pipelines/more.yaml'),
      'id: more\nsteps:\n  - { id: s, uses: wait.sleep, with: { duration: 1ms } }\n',
    );
    daemon.process.kill('SIGHUP');
    await expect.poll(async () => (await cronwright('trigger', 'more')).code, { timeout: 30_000 }).toBe(0);
    expect(daemon.lines.some((line) => line.includes('config.reloading'))).toBe(true);
  });

  it('drains at SIGTERM: what runs may end, and it exits with 0', async () => {
    const { id } = await json('trigger', 'long');
    await expect.poll(async () => (await json('show', id)).state, { timeout: 30_000 }).toBe('running');
    const ended = once(daemon.process, 'exit');
    daemon.process.kill('SIGTERM');
    await expect.poll(() => daemon.lines.some((line) => line.includes('daemon.draining'))).toBe(true);
    // The run sleeps for an hour: only the second signal ends it within the time of the drain.
    daemon.process.kill('SIGTERM');
    const [code] = await ended;
    expect(code).toBe(0);
    expect(daemon.lines.some((line) => line.includes('daemon.cancelling'))).toBe(true);
  });
});
