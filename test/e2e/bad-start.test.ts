// Starts that cannot go well: each ends (or waits) with a message that says what is in its way, and tells no secret.
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  type DaemonProcess,
  spawnDaemon,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase } from '../support/database.ts';

let folder: DaemonFolder;
const spawned: DaemonProcess[] = [];

beforeAll(async () => {
  folder = await createDaemonFolder();
});

afterAll(async () => {
  await Promise.all(spawned.map((daemon) => daemon.kill()));
  await folder?.remove();
});

const quiet = 'id: quiet\nsteps:\n  - { id: rest, uses: wait.sleep, with: { duration: 1ms } }\n';

async function configOf(name: string, files: Record<string, string> = {}): Promise<string> {
  const path = join(folder.path, name, 'config');
  await mkdir(join(path, 'pipelines'), { recursive: true });
  for (const [file, text] of Object.entries({ 'pipelines/quiet.yaml': quiet, ...files })) {
    await writeFile(join(path, file), text);
  }
  return path;
}

interface Started {
  args?: string[];
  env?: Record<string, string>;
  files?: Record<string, string>;
  dataDir?: string;
}

async function spawnIt(name: string, { files, dataDir, ...options }: Started): Promise<DaemonProcess> {
  const configDir = await configOf(name, files);
  const daemon = spawnDaemon({ dataDir: dataDir ?? (await folder.dataDir(name)), configDir, ...options });
  spawned.push(daemon);
  return daemon;
}

async function refused(name: string, started: Started): Promise<{ code: number | null; output: string }> {
  const daemon = await spawnIt(name, started);
  const { code } = await daemon.ended;
  return { code, output: daemon.output() };
}

describe('a daemon that cannot start', () => {
  it('names the plugin that throws at import, and why, and ends with 2', async () => {
    const { code, output } = await refused('plugin', {
      files: {
        'cronwright.yaml': 'plugins: [./broken.ts]\n',
        'broken.ts': "throw new Error('no licence key found');\n",
      },
    });
    expect(output).toMatch(/broken\.ts.*no licence key found/);
    expect(output).not.toMatch(/^\s+at /m);
    expect(code).toBe(2);
  });

  it('names host and port where another one listens, ends with 1, and has not touched the runs that wait', async () => {
    const database = await createTestDatabase('postgres');
    try {
      const env = { DATABASE_URL: database.url ?? '' };
      const configDir = await configOf('port');
      const dataDir = await folder.dataDir('port', { empty: true });
      const options = { dataDir, configDir, env, args: ['--workers', '0', '--in-flight', '0'] };
      const first = await startDaemon(options);
      spawned.push(first);
      const { id } = await first.post<{ id: string }>('/pipelines/quiet/runs');
      const { port } = new URL(first.url);

      const { code, output } = await refused('port-second', { args: ['--port', port], env });
      expect(output).toContain(`cannot listen on 127.0.0.1:${port}: another process listens there`);
      expect(output).not.toMatch(/^\s+at /m);
      expect(code).toBe(1);
      const events = await first.get<{ items: { event: string }[] }>(`/runs/${id}/events`);
      expect(events.items.map(({ event }) => event)).toEqual(['run.enqueued']);
      expect((await first.stop()).code).toBe(0);
    } finally {
      await Promise.all(spawned.map((daemon) => daemon.kill()));
      await database.close();
    }
  });

  it('tells every mistake of the configuration with file, line and column, and ends with 2', async () => {
    const { code, output } = await refused('config', {
      files: {
        'pipelines/wrong.yaml':
          'id: wrong\nschedules:\n  - { id: never, cron: "61 * * * *", timezone: Mars/Olympus }\nsteps:\n  - { id: a, uses: no.such }\n',
      },
    });
    expect(output).toMatch(/pipelines\/wrong\.yaml:3:\d+: .*cron/);
    expect(output).toMatch(/pipelines\/wrong\.yaml:3:\d+: .*Mars\/Olympus/);
    expect(output).toMatch(/pipelines\/wrong\.yaml:5:\d+: .*no\.such/);
    expect(code).toBe(2);
  });

  it('refuses an address that others reach, unless there is a token', async () => {
    const untouched = await folder.dataDir('open', { empty: true });
    const { code, output } = await refused('open', { args: ['--host', '0.0.0.0'], dataDir: untouched });
    expect(output).toMatch(/refusing to listen on 0\.0\.0\.0 without a token.*CRONWRIGHT_TOKEN/);
    expect(code).toBe(2);
    // Said before anything was begun.
    expect(await readdir(untouched)).toEqual([]);

    const token = 'a-token-nobody-guesses';
    const configDir = await configOf('guarded');
    const dataDir = await folder.dataDir('guarded');
    const options = { dataDir, configDir, args: ['--host', '0.0.0.0'], env: { CRONWRIGHT_TOKEN: token } };
    const daemon = await startDaemon(options);
    spawned.push(daemon);
    const local = `http://127.0.0.1:${new URL(daemon.url).port}`;
    expect((await daemon.ask(`${local}/api/v1/runs`)).status).toBe(401);
    const wrong = { authorization: 'Bearer another' };
    expect((await daemon.ask(`${local}/api/v1/runs`, { headers: wrong })).status).toBe(401);
    const right = { authorization: `Bearer ${token}` };
    expect((await daemon.ask(`${local}/api/v1/runs`, { headers: right })).status).toBe(200);
    expect((await daemon.ask(`${local}/healthz`)).status).toBe(200);
    expect(daemon.output()).not.toContain(token);
    expect((await daemon.stop()).code).toBe(0);
  });
});

describe('a daemon whose database does not answer', () => {
  it('says so with growing pauses, tells no password, and ends promptly at SIGTERM', async () => {
    const url = 'postgres://ada:Tr0ub4dor@127.0.0.1:1/cronwright';
    const daemon = await spawnIt('unreachable', { env: { DATABASE_URL: url } });
    const third = await daemon.logged((line) => line.msg === 'database unavailable' && line.attempt === 3, 60_000);
    expect(third.reason).toMatch(/127\.0\.0\.1:1|ECONNREFUSED/);
    const tries = daemon.log.filter(({ msg }) => msg === 'database unavailable');
    expect(tries.map((line) => line.next_try_ms)).toEqual([500, 1_000, 2_000]);
    const from = performance.now();
    daemon.signal('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(daemon.output()).not.toContain('Tr0ub4dor');
    expect(daemon.output()).not.toMatch(/^\s+at /m);
  });
});

describe('a second daemon on the embedded database of a first', () => {
  it('is refused with the pid of the first, which goes on; after kill -9 of that one it takes over', async () => {
    const dataDir = await folder.dataDir('shared');
    const configDir = await configOf('shared');
    const first: Daemon = await startDaemon({ dataDir, configDir });
    spawned.push(first);
    const { code, output } = await refused('shared-second', { dataDir });
    expect(output).toContain(`the database is in use by process ${first.pid}`);
    expect(output).toContain('DATABASE_URL');
    expect(code).toBe(1);
    expect((await first.ask('/readyz')).body).toMatchObject({ ready: true });
    await first.kill();
    const third = await startDaemon({ dataDir, configDir });
    spawned.push(third);
    expect(third.log.find(({ msg }) => msg === 'db.lock_taken_over')).toMatchObject({ former_pid: first.pid });
    expect((await third.ask('/healthz')).status).toBe(200);
    expect((await third.stop()).code).toBe(0);
  });
});
