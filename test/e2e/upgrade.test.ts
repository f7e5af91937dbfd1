// An upgrade with runs under way: a database that the first version left behind, killed, goes on with this one and loses nothing.
import { appendFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../src/base/package-root.ts';
import { type Database, statement } from '../../src/db/database.ts';
import { migrate } from '../../src/db/migrate.ts';
import {
  createDaemonFolder,
  type Daemon,
  type DaemonFolder,
  eventually,
  startDaemon,
} from '../support/daemon-process.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const fixture = join(packageRoot, 'test/fixtures/first-version');
const minute = 60_000;
/** By the clock of its data. */
const killedAt = Date.parse('2026-11-22T09:30:03Z');

interface Run {
  id: string;
  pipeline: string;
  schedule: string | null;
  state: string;
  attempt: number;
}
interface Page<Item> {
  items: Item[];
}

/** The schema as the first version made it, with what it left there. */
async function asFirstVersion(db: Database): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'cronwright-first-'));
  await cp(join(packageRoot, 'src/db/migrations/0001_core.sql'), join(directory, '0001_core.sql'));
  await migrate(db, { directory });
  await rm(directory, { recursive: true });
  const byMs = Math.floor((Date.now() - 5 * minute - killedAt) / minute) * minute;
  for (const line of (await readFile(join(fixture, 'data.sql'), 'utf8')).split('\n')) {
    if (line.startsWith('INSERT')) await db.query(statement('load_fixture', moved(line, byMs), { prepare: false }));
  }
}

/** Whole minutes, as the schedules count: the daemon was killed five minutes ago, and no run is beyond its timeout. */
function moved(line: string, byMs: number): string {
  return line.replace(/'(\d{4}-\d\d-\d\d) ([\d:.]+)\+00'/g, (_, day: string, time: string) => {
    return `'${new Date(Date.parse(`${day}T${time}Z`) + byMs).toISOString()}'`;
  });
}

interface Left {
  /** Runs that had not ended. */
  live: string[];
  /** Where the clock of the schedule stood. */
  cursorAt: Date;
}

async function readLeft(db: Database): Promise<Left> {
  const queue = await db.query<{ run_id: string }>(statement('left_runs', 'select run_id from cronwright.queue'));
  const cursor = await db.query<{ cursor_at: Date }>(
    statement('left_cursor', "select cursor_at from cronwright.schedules where id = 'clock.minutely'"),
  );
  return { live: queue.rows.map((row) => row.run_id), cursorAt: cursor.rows[0]?.cursor_at ?? new Date(0) };
}

describe.each(['pglite', 'postgres'] as const)('a database of the first version on %s', (kind) => {
  let folder: DaemonFolder;
  let database: TestDatabase;
  let daemon: Daemon | undefined;
  let left: Left;
  let effects: string;

  beforeAll(async () => {
    folder = await createDaemonFolder();
    const dataDir = await folder.dataDir('node', { empty: true });
    database = await createTestDatabase(kind, { migrate: false });
    await asFirstVersion(database.db);
    left = await readLeft(database.db);
    expect(left.live).toHaveLength(9);
    // The node had files of each run that it had begun.
    for (const id of left.live) await mkdir(join(dataDir, 'workspaces', id), { recursive: true });
    if (kind === 'pglite') {
      await database.db.close();
      await cp(database.dataDir ?? '', join(dataDir, 'db'), { recursive: true });
    }
    effects = join(folder.path, 'effects.log');
    await writeFile(join(folder.path, 'go'), '');
    await appendFile(effects, '');
    daemon = await startDaemon({
      dataDir,
      configDir: join(fixture, 'config'),
      env: { TMPDIR: folder.path, ...(kind === 'postgres' ? { DATABASE_URL: database.url ?? '' } : {}) },
    });
  }, 120_000);

  afterAll(async () => {
    await daemon?.stop();
    await database?.close();
    await folder?.remove();
  });

  const ask = <Body>(path: string) => (daemon as Daemon).get<Body>(path);

  it('ends every run that was under way', async () => {
    let seen: Run[] = [];
    const ended = await eventually(
      'all runs have ended',
      async () => {
        seen = await Promise.all(left.live.map((id) => ask<Run>(`/runs/${id}`)));
        return seen.every((run) => run.state === 'completed') ? seen : undefined;
      },
      60_000,
      () => seen.map((run) => [run.pipeline, run.state]),
    );
    expect(ended.map((run) => run.pipeline).sort()).toEqual(
      [
        ...Array(3).fill('one-at-a-time'),
        'over-a-list',
        'retried-as-a-whole',
        ...Array(3).fill('three-steps'),
        'waits-for-a-retry',
      ].sort(),
    );
    // It was in its second attempt already: the wait between the two is what the upgrade came into.
    expect(ended.find((run) => run.pipeline === 'retried-as-a-whole')?.attempt).toBe(2);
  }, 90_000);

  it('runs no step again that had completed, and uses what it gave', async () => {
    const lines = (await readFile(effects, 'utf8')).trim().split('\n');
    const of = (id: string) => lines.filter((line) => line.startsWith(id)).map((line) => line.slice(id.length + 1));
    const runs = await Promise.all(left.live.map((id) => ask<Run>(`/runs/${id}`)));
    for (const { id, pipeline } of runs) {
      const steps = await ask<Page<{ id: string; attempts: number; state: string }>>(`/runs/${id}/steps`);
      expect(
        steps.items.every((step) => step.state === 'completed'),
        pipeline,
      ).toBe(true);
      const wasBegun = steps.items.length > 1 && !of(id).includes('one') && !of(id).includes('before');
      if (pipeline === 'three-steps')
        expect(of(id)).toEqual(wasBegun ? ['two', 'three first'] : ['one', 'two', 'three first']);
      if (pipeline === 'one-at-a-time') expect(of(id)).toEqual(['only']);
      if (pipeline === 'waits-for-a-retry' || pipeline === 'retried-as-a-whole') expect(of(id)).toEqual(['flaky']);
      if (pipeline === 'over-a-list') expect(of(id)).toEqual(['d', 'e', 'f']);
    }
    // Two of three had begun before the upgrade, the third was to start later.
    const threes = runs.filter((run) => run.pipeline === 'three-steps').map(({ id }) => of(id).length);
    expect(threes.sort()).toEqual([2, 2, 3]);
  });

  it('accounts for each time of the schedules', async () => {
    interface Row {
      outcome: string;
      count: number;
      first_at: string;
      last_at: string;
    }
    const past = await eventually('the times that were missed are decided', async () => {
      const to = new Date().toISOString();
      const { items } = await ask<Page<Row>>(
        `/schedules/clock.minutely/occurrences?from=${left.cursorAt.toISOString()}&to=${to}`,
      );
      const after = items.filter((row) => Date.parse(row.first_at) > left.cursorAt.getTime());
      return after.some((row) => row.outcome === 'enqueued') ? after : undefined;
    });
    const last = Math.max(...past.map((row) => Date.parse(row.last_at)));
    const count = (rows: readonly Row[]) => rows.reduce((total, row) => total + row.count, 0);
    expect(count(past)).toBe((last - left.cursorAt.getTime()) / minute);
    // One run for all that was missed, and one a minute since.
    expect(count(past.filter((row) => row.outcome === 'missed'))).toBeGreaterThanOrEqual(3);
    const paused = await ask<{ state: string; paused: { reason: string } }>('/schedules/clock.paused');
    expect(paused).toMatchObject({ state: 'paused', paused: { reason: 'not now' } });
  });

  it('remembers what it had answered, and how runs had ended', async () => {
    const answer = await (daemon as Daemon).ask('/api/v1/pipelines/three-steps/runs', {
      method: 'POST',
      json: {},
      headers: { 'idempotency-key': 'the-same-key' },
    });
    expect(left.live).toContain((answer.body as Run).id);
    const { items } = await ask<Page<Run>>('/runs?pipeline=fails');
    expect(items.map((run) => run.state)).toEqual(['failed']);
    const events = await ask<Page<{ event: string }>>(`/runs/${items[0]?.id}/events`);
    expect(events.items.map((one) => one.event)).toContain('run.failed');
  });
});
