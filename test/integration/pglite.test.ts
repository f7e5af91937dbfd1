// PGlite on a real directory: its lock, kills, upkeep and a worker that dies.
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, utimes } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Database, statement } from '../../src/db/database.ts';
import type { DatabaseEvent } from '../../src/db/database-event.ts';
import { openDatabase } from '../../src/db/open-database.ts';
import { createPglite } from '../../src/db/pglite.ts';
import { lockDirectory, processStartedAt } from '../../src/db/pglite-lock.ts';
import { AmbiguousCommitError } from '../../src/db/retries.ts';
import { startProcess } from '../../src/db/typescript-entry.ts';
import { createTestDatabase } from '../support/database.ts';

const one = statement('one', 'select 1 as value');

let directory: string;
let dataDir: string;
const opened: Database[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cronwright-pglite-'));
  dataDir = join(directory, 'db');
});

afterEach(async () => {
  for (const db of opened.splice(0)) await db.close();
  for (const child of children.splice(0)) await killed(child);
  await rm(directory, { recursive: true, force: true });
});

async function open(options: Partial<Parameters<typeof createPglite>[0]> = {}): Promise<Database> {
  const db = await createPglite({ dataDir, ...options });
  opened.push(db);
  return db;
}

/** A directory as a closed database leaves it, without the seconds that initdb takes. */
async function putDatabase(): Promise<void> {
  const test = await createTestDatabase('pglite', { migrate: false });
  await test.db.close();
  await cp(test.dataDir ?? '', dataDir, { recursive: true });
  await test.close();
}

/** Another process that has the directory open and writes; `acknowledged` is the last row it was told is written. */
async function startWriter(): Promise<{ child: ChildProcess; acknowledged: () => number }> {
  const child = startProcess(new URL('./pglite-process.ts', import.meta.url), [dataDir]);
  children.push(child);
  let last = 0;
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  await new Promise<void>((resolve, reject) => {
    child.on('message', (message: { ready?: boolean; id?: number }) => {
      if (message.ready) resolve();
      if (message.id !== undefined) last = message.id;
    });
    child.once('exit', (code) => reject(new Error(`the writer ended with ${code}: ${stderr}`)));
  });
  return { child, acknowledged: () => last };
}

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + 30_000; !condition(); ) {
    if (performance.now() > deadline) throw new Error(`waited 30 s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('a first start', () => {
  it('makes the database, says so, and the next start finds it', async () => {
    const events: DatabaseEvent[] = [];
    const db = await openDatabase({ dataDir: directory, onEvent: (event) => events.push(event) });
    await db.query(statement('make', 'create table kept (id int4)'));
    await db.query(statement('fill', 'insert into kept values (7)'));
    await db.close();
    expect(events.filter((event) => event.type === 'initialised')).toHaveLength(1);
    expect(existsSync(`${dataDir}.lock`)).toBe(false);

    const again = await open({ onEvent: (event) => events.push(event) });
    expect((await again.query(statement('look', 'select id from kept'))).rows).toEqual([{ id: 7 }]);
    expect(events.filter((event) => event.type === 'initialised')).toHaveLength(1);
  });

  it('that was cut off leaves nothing that counts as a database', async () => {
    await mkdir(`${dataDir}.new`);
    writeFileSync(join(`${dataDir}.new`, 'PG_VERSION'), '18\n');
    await mkdir(dataDir);
    const db = await open();
    expect((await db.query(one)).rows).toEqual([{ value: 1 }]);
    expect(existsSync(`${dataDir}.new`)).toBe(false);
  });

  it('in memory needs no directory and no lock', async () => {
    const [first, second] = [await open({ dataDir: 'memory://' }), await open({ dataDir: 'memory://' })];
    await first.query(statement('make', 'create table only_here ()'));
    await expect(second.query(statement('look', 'select from only_here'))).rejects.toThrow('only_here');
  });
});

describe('a directory in use', () => {
  it('is refused to a second process, with the pid of the first, and stays whole', async () => {
    await putDatabase();
    const { child, acknowledged } = await startWriter();
    await expect(createPglite({ dataDir })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`process ${child.pid}`),
      details: { pid: child.pid },
    });
    const before = acknowledged();
    await until(() => acknowledged() > before, 'the first process to write on');
  });

  it('is refused to the same process too', async () => {
    await putDatabase();
    await open();
    await expect(createPglite({ dataDir })).rejects.toThrow(/this very process/);
  });

  it('is free again once a failed start has ended', async () => {
    await mkdir(dataDir);
    writeFileSync(join(dataDir, 'PG_VERSION'), 'not a database\n');
    await expect(createPglite({ dataDir })).rejects.toMatchObject({ code: 'unavailable' });
    expect(existsSync(`${dataDir}.lock`)).toBe(false);
  });
});

describe('a process that was killed', () => {
  it('leaves every acknowledged row, and its lock is taken over', async () => {
    await putDatabase();
    const { child, acknowledged } = await startWriter();
    await until(() => acknowledged() >= 50, '50 rows');
    await killed(child);
    const last = acknowledged();

    const events: DatabaseEvent[] = [];
    const db = await open({ onEvent: (event) => events.push(event) });
    expect(events).toContainEqual({ type: 'lock_taken_over', path: `${dataDir}.lock`, formerPid: child.pid });
    const { rows } = await db.query<{ count: number; max: number }>(
      statement('look', 'select count(*) as count, max(id) as max from acknowledged'),
    );
    expect(rows[0]?.max).toBeGreaterThanOrEqual(last);
    expect(rows[0]?.count).toBe(rows[0]?.max);
  });
});

describe('the lock file', () => {
  const path = () => join(directory, 'some.lock');
  const holder = { pid: process.pid, startedAt: processStartedAt(process.pid), host: hostname(), id: 'x' };
  const put = (changes: Partial<typeof holder>) => writeFileSync(path(), JSON.stringify({ ...holder, ...changes }));

  it('is refused while its process lives', async () => {
    put({});
    await expect(lockDirectory(path())).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('is taken over when another process has got the pid', async () => {
    put({ startedAt: 'an earlier time' });
    const formerPids: number[] = [];
    const lock = await lockDirectory(path(), (pid) => formerPids.push(pid));
    expect(formerPids).toEqual([process.pid]);
    lock.release();
    expect(existsSync(path())).toBe(false);
  });

  it('is taken over when its writer died before it wrote', async () => {
    writeFileSync(path(), '');
    const lock = await lockDirectory(path());
    expect(JSON.parse(readFileSync(path(), 'utf8'))).toMatchObject({ pid: process.pid });
    lock.release();
  });

  it('of another host is refused while it is touched', async () => {
    put({ host: 'elsewhere', pid: 1 });
    const touching = setInterval(() => utimes(path(), new Date(), new Date()), 200);
    await expect(lockDirectory(path())).rejects.toThrow(/process 1 on elsewhere/);
    clearInterval(touching);
  });

  it('of another host is taken over once it has been silent', async () => {
    put({ host: 'elsewhere', pid: 1 });
    const lock = await lockDirectory(path());
    lock.release();
  }, 30_000);

  it('goes to one of many that find it stale at once', async () => {
    put({ startedAt: 'an earlier time' });
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(path())));
    const winners = results.filter((result) => result.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    for (const winner of winners) winner.value.release();
  });

  it('of a later holder is not removed by an earlier one', async () => {
    const lock = await lockDirectory(path());
    put({ id: 'a later one' });
    lock.release();
    lock.release();
    expect(existsSync(path())).toBe(true);
  });
});

describe('upkeep', () => {
  it('vacuums hot tables and writes a checkpoint after enough writes', async () => {
    await putDatabase();
    const events: DatabaseEvent[] = [];
    const db = await open({
      vacuumTables: ['hot', 'not_there_yet'],
      vacuumEveryWrites: 1_000,
      onEvent: (event) => events.push(event),
    });
    await db.query(statement('make', 'create table hot (id int4 primary key, value int4)'));
    await db.query(statement('fill', 'insert into hot select n, 0 from generate_series(1, 400) as n'));
    const redo = statement('redo', 'select redo_lsn::text as lsn from pg_control_checkpoint()');
    const before = (await db.query<{ lsn: string }>(redo)).rows[0]?.lsn;
    for (let round = 0; round < 3; round++) await db.query(statement('churn', 'update hot set value = value + 1'));
    await until(() => events.some((event) => event.type === 'upkeep'), 'upkeep');
    expect(events).toContainEqual(expect.objectContaining({ type: 'upkeep', writes: expect.any(Number) }));
    const { rows } = await db.query(
      statement('dead', `select last_vacuum is not null as vacuumed from pg_stat_all_tables where relname = 'hot'`),
    );
    expect(rows).toEqual([{ vacuumed: true }]);
    expect((await db.query<{ lsn: string }>(redo)).rows[0]?.lsn).not.toBe(before);
    expect(events.filter((event) => event.type === 'upkeep_failed')).toEqual([]);
  });
});

describe('a worker that dies', () => {
  it('fails what it had in hand, is replaced, and what was acknowledged is there', async () => {
    await putDatabase();
    const workers: Worker[] = [];
    const remember = (worker: Worker) => workers.push(worker);
    process.on('worker', remember);
    const db = await open();
    process.off('worker', remember);
    await db.query(statement('make', 'create table kept (id int4)'));
    const insert = statement('fill', 'insert into kept values (7)');
    await db.query(insert);

    const slow = db.query(statement('slow', 'insert into kept select 8 from pg_sleep(20)'));
    const meanwhile = expect(slow).rejects.toBeInstanceOf(AmbiguousCommitError);
    // Its turn comes after the slow one, so it waits for the next worker.
    const next = db.query(statement('look', 'select id from kept'));
    await new Promise((resolve) => setImmediate(resolve));
    await workers[0]?.terminate();
    await meanwhile;
    expect((await next).rows).toEqual([{ id: 7 }]);
  });

  it('in memory takes its data with it, and says so', async () => {
    const workers: Worker[] = [];
    const remember = (worker: Worker) => workers.push(worker);
    process.on('worker', remember);
    const db = await open({ dataDir: 'memory://' });
    process.off('worker', remember);
    await workers[0]?.terminate();
    await expect(db.query(one)).rejects.toThrow(/the data in memory/);
  });
});

describe('a directory with other files in it', () => {
  it('is left alone', async () => {
    await mkdir(dataDir);
    writeFileSync(join(dataDir, 'thesis.tex'), 'years of work');
    await expect(createPglite({ dataDir })).rejects.toThrow(/not empty/);
    expect(readFileSync(join(dataDir, 'thesis.tex'), 'utf8')).toBe('years of work');
    expect(existsSync(`${dataDir}.lock`)).toBe(false);
  });
});
