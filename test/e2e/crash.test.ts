// kill -9 in the middle of repo-docs: the next daemon on the same database goes on where the first one stood.
import { readdirSync, readFileSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  type LogLine,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createSourceRepository, git } from './source-repository.ts';

interface Event {
  seq: number;
  event: string;
  step: string | null;
  item: number | null;
  node: string;
}
interface Run {
  id: string;
  state: string;
  nominal_at: string;
  failed_items: number;
}

const modules = 24;
let folder: DaemonFolder;
let source: string;
let configDir: string;
let database: TestDatabase;
const daemons: Daemon[] = [];

beforeAll(async () => {
  folder = await createDaemonFolder();
  source = await createSourceRepository(join(folder.path, 'source'), modules);
  configDir = await quickConfig(join(folder.path, 'config'));
  database = await createTestDatabase('postgres');
});

afterAll(async () => {
  await Promise.all(daemons.map((daemon) => daemon.kill()));
  await database?.close();
  await folder?.remove();
});

/** The shipped pipelines, more often; short leases; a log that tells each step. */
async function quickConfig(path: string): Promise<string> {
  await cp(join(packageRoot, 'config'), path, { recursive: true });
  const pipeline = join(path, 'pipelines/repo-docs.yaml');
  const shipped = await readFile(pipeline, 'utf8');
  await writeFile(pipeline, shipped.replace('"* * * * *"', '"*/5 * * * * *"'));
  await writeFile(
    join(path, 'cronwright.yaml'),
    'log: { level: debug }\ntiming: { lease: 2s, heartbeat: 500ms, rescue: 500ms }\n',
  );
  return path;
}

const isStep =
  (msg: string, step: string, least = -1) =>
  (line: LogLine) =>
    line.msg === msg && line.step === step && Number(line.item ?? -1) >= least;

const variants = [
  { name: 'PGlite', env: () => ({}), moment: 'while it analyses', at: isStep('step.started', 'analyze') },
  {
    name: 'PostgreSQL',
    env: () => ({ DATABASE_URL: database.url ?? '' }),
    moment: 'while it writes',
    at: isStep('step.finished', 'write', 8),
  },
];

describe.each(variants)('kill -9 of a daemon on $name $moment', ({ name, env, moment, at }) => {
  it('lets the run go on and complete, without a completed step again and no occurrence twice', async () => {
    const dataDir = await folder.dataDir(`${name} ${moment}`, { empty: name !== 'PGlite' });
    const options = { dataDir, configDir, env: { REPO: source, ...env() } };
    const first = await startDaemon(options);
    daemons.push(first);
    const { run_id: id } = await first.logged(at, 60_000);
    const children = childrenOf(first.pid);
    await first.kill();

    const second = await startDaemon(options);
    daemons.push(second);
    const before = await allEvents(second, String(id));
    const look = async () => {
      const run = await second.get<Run>(`/runs/${id}`);
      return run.state === 'completed' ? run : undefined;
    };
    const run = await eventually('the run completes', look, 60_000, () => second.output().slice(-2_000));
    expect(run.failed_items).toBe(0);
    await eventually('no step process is left', () => (children.some(isAlive) ? undefined : true), 10_000);

    const events = await allEvents(second, String(id));
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
    const done = events.filter(({ event }) => event === 'step.completed' || event === 'item.completed').map(partOf);
    expect(new Set(done).size).toBe(done.length);
    expect(done.filter((part) => part.startsWith('write#'))).toHaveLength(modules + 1);

    const node = before.find(({ event }) => event === 'run.claimed')?.node;
    const durable = events.filter((one) => one.node === node && one.event.endsWith('.completed')).map(partOf);
    expect(durable).toContain('fetch');
    const again = second.log.filter((line) => line.msg === 'step.started' && line.run_id === id);
    expect(again.length).toBeGreaterThan(0);
    expect(again.map((line) => partOf(line as unknown as Event)).filter((part) => durable.includes(part))).toEqual([]);

    const pages = await git(join(dataDir, 'repositories/docs.git'), 'ls-tree', '-r', '--name-only', 'docs');
    expect(pages.split('\n').filter((page) => page.startsWith('modules/src/'))).toHaveLength(modules + 1);
    expect(await git(join(dataDir, 'repositories/docs.git'), 'rev-list', '--count', 'docs')).toBe('1');

    const { items } = await second.get<{ items: Run[] }>('/runs?schedule=repo-docs.every-minute&limit=500');
    const times = items.map(({ nominal_at }) => nominal_at);
    expect(new Set(times).size).toBe(times.length);
    expect((await second.stop()).code).toBe(0);
  });
});

function partOf({ step, item }: Pick<Event, 'step' | 'item'>): string {
  return item === null || item === undefined ? String(step) : `${step}#${item}`;
}

async function allEvents(daemon: Daemon, id: string): Promise<Event[]> {
  return (await daemon.get<{ items: Event[] }>(`/runs/${id}/events?limit=1000`)).items;
}

/** Where the system tells (Linux): the processes that one has begun, and those that they have. */
function childrenOf(pid: number): number[] {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    const own = tasks.flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' '));
    return own.filter((text) => text.trim() !== '').flatMap((text) => [Number(text), ...childrenOf(Number(text))]);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    // A zombie that nobody reaps is no process any more.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
