// Signals: SIGTERM drains and gives back, a second one ends at once, SIGHUP and changed files put a new version in force.
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';

interface Run {
  id: string;
  state: string;
  claims: number;
  attempt: number;
  pipeline_version: string;
  finished_at: string;
}
interface Pipeline {
  version: string;
  description: string | null;
}

let folder: DaemonFolder;
let configDir: string;
let dataDir: string;
let daemon: Daemon;

const pipeline = (id: string, duration: string, description = id) =>
  `id: ${id}\ndescription: ${description}\nsteps:\n  - { id: rest, uses: wait.sleep, with: { duration: ${duration} } }\n`;

async function write(file: string, text: string): Promise<void> {
  await writeFile(join(configDir, file), text);
}

async function start(settings: string): Promise<Daemon> {
  await write('cronwright.yaml', settings);
  daemon = await startDaemon({ dataDir, configDir });
  return daemon;
}

async function startRun(id: string): Promise<string> {
  return (await daemon.post<{ id: string }>(`/pipelines/${id}/runs`)).id;
}

async function inState(id: string, state: string): Promise<Run> {
  const look = async () => {
    const run = await daemon.get<Run>(`/runs/${id}`);
    return run.state === state ? run : undefined;
  };
  return eventually(`run ${id} ${state}`, look, 30_000, () => daemon.output().slice(-2_000));
}

async function describedAs(id: string, description: string): Promise<Pipeline> {
  const look = async () => {
    const one = await daemon.get<Pipeline>(`/pipelines/${id}`);
    return one.description === description ? one : undefined;
  };
  return eventually(`pipeline ${id} is "${description}"`, look, 15_000, () => daemon.output().slice(-2_000));
}

beforeAll(async () => {
  folder = await createDaemonFolder();
  configDir = join(folder.path, 'config');
  await mkdir(join(configDir, 'pipelines'), { recursive: true });
  dataDir = await folder.dataDir('signals');
  await write('pipelines/short.yaml', pipeline('short', '2s'));
  await write('pipelines/long.yaml', pipeline('long', '6s'));
  await write('pipelines/endless.yaml', pipeline('endless', '1h'));
  await start('timing: { drain: 3s }\n');
});

afterAll(async () => {
  await daemon?.kill();
  await folder?.remove();
});

describe('SIGTERM', () => {
  it('lets a short run finish, and gives a long one back, which completes after a restart', async () => {
    const [short, long] = [await startRun('short'), await startRun('long')];
    await inState(short, 'running');
    await inState(long, 'running');
    const from = performance.now();
    const termed = Date.now();
    expect(await daemon.stop(15_000)).toEqual({ code: 0, signal: null });
    expect(performance.now() - from).toBeLessThan(10_000);
    const finished = daemon.log.filter(({ msg }) => msg === 'run.finished').map((line) => line.run_id);
    expect(finished).toEqual([short]);
    expect(daemon.log.find(({ msg }) => msg === 'run.released')).toMatchObject({
      run_id: long,
      state: 'pending',
      reason: expect.stringMatching(/./),
    });

    await start('timing: { drain: 60s }\n');
    expect((await daemon.get<Run>(`/runs/${short}`)).state).toBe('completed');
    expect(Date.parse((await daemon.get<Run>(`/runs/${short}`)).finished_at)).toBeGreaterThan(termed);
    // Being stopped is no failure: the first claim does not count towards those in a row.
    expect(await inState(long, 'running')).toMatchObject({ claims: 1, attempt: 1 });
    await inState(long, 'completed');
    const { items } = await daemon.get<{ items: { event: string }[] }>(`/runs/${long}/events`);
    expect(items.filter(({ event }) => event === 'run.claimed')).toHaveLength(2);
    expect(items.filter(({ event }) => event === 'step.completed')).toHaveLength(1);
  });
});

describe('a change of the configuration', () => {
  it('is in force soon after a file has changed, for runs that start from then on', async () => {
    const before = await daemon.get<Pipeline>('/pipelines/short');
    await write('pipelines/short.yaml', pipeline('short', '1ms', 'changed'));
    const after = await describedAs('short', 'changed');
    expect(after.version).not.toBe(before.version);
    expect((await inState(await startRun('short'), 'completed')).pipeline_version).toBe(after.version);
  });

  it('is in force after SIGHUP, while a file that keeps changing holds the watcher back', async () => {
    let isOver = false;
    const restless = (async () => {
      for (; !isOver; await sleep(50)) await utimes(join(configDir, 'cronwright.yaml'), new Date(), new Date());
    })();
    try {
      await write('pipelines/short.yaml', pipeline('short', '1ms', 'by signal'));
      daemon.signal('SIGHUP');
      await describedAs('short', 'by signal');
      expect(daemon.log.some(({ msg }) => msg === 'config.reloading')).toBe(true);
    } finally {
      isOver = true;
      await restless;
    }
  });

  it('changes nothing while a file is broken, which is reported with its place, and recovers when it is right', async () => {
    const before = await daemon.get<Pipeline>('/pipelines/short');
    await write('pipelines/added.yaml', pipeline('added', '1ms'));
    await write('pipelines/short.yaml', 'id: short\nsteps:\n  - { id: rest, uses: wait.slep }\n');
    const rejected = await daemon.logged('config.rejected');
    expect(rejected).toMatchObject({ level: 'error' });
    expect(rejected.text).toMatch(/pipelines\/short\.yaml:3:\d+: .*wait\.slep/);
    expect(await daemon.get<Pipeline>('/pipelines/short')).toMatchObject({ version: before.version });
    expect((await daemon.ask('/api/v1/pipelines/added')).status).toBe(404);
    await inState(await startRun('short'), 'completed');
    expect((await daemon.ask('/readyz')).status).toBe(200);

    await write('pipelines/short.yaml', pipeline('short', '1ms', 'mended'));
    await describedAs('short', 'mended');
    await inState(await startRun('added'), 'completed');
  });
});

describe('a second SIGTERM', () => {
  it('ends at once what still runs, and keeps it for the next start', async () => {
    const id = await startRun('endless');
    await inState(id, 'running');
    daemon.signal('SIGTERM');
    await daemon.logged('daemon.draining');
    const from = performance.now();
    daemon.signal('SIGTERM');
    expect((await daemon.ended).code).toBe(0);
    expect(performance.now() - from).toBeLessThan(10_000);
    expect(daemon.log.find(({ msg }) => msg === 'run.released')).toMatchObject({ run_id: id, state: 'pending' });
  });
});
