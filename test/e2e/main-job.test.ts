// The main job on both databases: the shipped configuration documents a git repository by its schedule.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createSourceRepository, git } from './source-repository.ts';

interface Run {
  id: string;
  state: string;
  duration_ms: number;
  message: string | null;
  error: { name: string; message: string } | null;
  steps: Record<string, number>;
}

let folder: DaemonFolder;
let database: TestDatabase;
let repository: string;
const daemons = new Map<string, { daemon: Daemon; from: number }>();
const started = (name: string) => {
  const one = daemons.get(name);
  if (!one) throw new Error(`no daemon ${name}`);
  return one;
};

beforeAll(async () => {
  folder = await createDaemonFolder();
  repository = await createSourceRepository(join(folder.path, 'source'));
  database = await createTestDatabase('postgres', { migrate: false });
  const start = async (name: string, from: number, env: Record<string, string>) => {
    // The very first start, with its initdb, is part of the main job.
    const dataDir = await folder.dataDir(name, { empty: name !== 'nowhere' });
    daemons.set(name, { daemon: await startDaemon({ dataDir, env }), from });
  };
  const from = performance.now();
  await Promise.all([
    start('PGlite', from, { REPO: repository }),
    start('PostgreSQL', from, { REPO: repository, DATABASE_URL: database.url ?? '' }),
    start('nowhere', from, {}),
  ]);
});

afterAll(async () => {
  await Promise.all([...daemons.values()].map(({ daemon }) => daemon.kill()));
  await database?.close();
  await folder?.remove();
});

async function ended(daemon: Daemon, query: string, withinMs: number): Promise<Run> {
  const look = async () => (await daemon.get<{ items: Run[] }>(`/runs?${query}`)).items[0];
  const { id } = await eventually(`a run of ${query}`, look, withinMs, () => daemon.output().slice(-2_000));
  return daemon.get<Run>(`/runs/${id}`);
}

describe.each(['PGlite', 'PostgreSQL'])('the shipped configuration on %s', (name) => {
  it('has a completed repo-docs run by schedule within 90 seconds, and its pages on the branch docs', async () => {
    const { daemon, from } = started(name);
    const query = 'state=completed&origin=schedule&pipeline=repo-docs';
    const run = await ended(daemon, query, Math.max(0, from + 90_000 - performance.now()));
    const bare = join(daemon.dataDir, 'repositories/docs.git');
    expect(await git(bare, 'ls-tree', '-r', '--name-only', 'docs')).toContain('modules/src/circle.ts.md');
    expect(await git(bare, 'show', 'docs:modules/src/circle.ts.md')).toContain(
      'The area of a circle with this radius.',
    );
    expect(await git(bare, 'show', 'docs:README.md')).toContain('circle.ts');
    const all = await daemon.ask('/api/v1/runs?state=completed&origin=schedule');
    expect((all.body as { items: Run[] }).items.map(({ id }) => id)).toContain(run.id);
  });

  it('tells the milestones 10, 30, 60, 90 and 100 in order', async () => {
    const { daemon } = started(name);
    const { id } = await ended(daemon, 'state=completed&origin=schedule&pipeline=repo-docs', 90_000);
    const first = (await daemon.get<{ items: Run[] }>('/runs?pipeline=repo-docs')).items.at(-1)?.id ?? id;
    const events = await daemon.get<{ items: { data: { progress?: number } | null }[] }>(`/runs/${first}/events`);
    const told = events.items.flatMap(({ data }) => data?.progress ?? []);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(told).toEqual(expect.arrayContaining([10, 30, 60, 90, 100]));
  });

  it('ends the next run in seconds and says that nothing changed', async () => {
    const { daemon } = started(name);
    const before = await git(join(daemon.dataDir, 'repositories/docs.git'), 'rev-parse', 'docs');
    const { id } = await daemon.post<{ id: string }>('/pipelines/repo-docs/runs');
    const look = async () => {
      const run = await daemon.get<Run>(`/runs/${id}`);
      return run.state === 'completed' ? run : undefined;
    };
    const run = await eventually('the second run', look, 30_000);
    expect(run.duration_ms).toBeLessThan(10_000);
    expect(run.steps).toMatchObject({ completed: 2, skipped: 6 });
    // Not the label of a step that it skipped, such as "Publishing the pages".
    expect(run.message).toMatch(/^Looking for a new commit/);
    const logs = await daemon.get<{ items: { text: string }[] }>(`/runs/${id}/logs`);
    expect(logs.items.map(({ text }) => text).join('\n')).toMatch(/nothing changed since [0-9a-f]{7}/);
    expect(await git(join(daemon.dataDir, 'repositories/docs.git'), 'rev-parse', 'docs')).toBe(before);
  });

  it('asks itself whether it is ready, and completes', async () => {
    const { daemon } = started(name);
    await ended(daemon, 'state=completed&origin=schedule&pipeline=self-check', 60_000);
    expect((await daemon.get<{ items: Run[] }>('/runs?state=failed,dead_letter')).items).toEqual([]);
    expect((await daemon.ask('/readyz')).body).toMatchObject({ ready: true });
  });
});

describe('the shipped configuration where there is no git repository', () => {
  it('says so once and clearly, without a retry, and the other pipeline goes on', async () => {
    const { daemon } = started('nowhere');
    const run = await ended(daemon, 'state=failed&origin=schedule&pipeline=repo-docs', 90_000);
    expect(run.error?.name).toBe('NotARepository');
    expect(run.error?.message).toMatch(/the working directory of the daemon is not inside a git repository/);
    const steps = await daemon.get<{ items: { step: string; attempts: number }[] }>(`/runs/${run.id}/steps`);
    expect(steps.items.find(({ step }) => step === 'fetch')?.attempts).toBe(1);
    const warnings = daemon.log.filter((line) => line.run_id === run.id && ['warn', 'error'].includes(line.level));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]?.error).toContain('is not inside a git repository');
    await ended(daemon, 'state=completed&origin=schedule&pipeline=self-check', 60_000);
    expect((await daemon.ask('/readyz')).status).toBe(200);
  });
});
