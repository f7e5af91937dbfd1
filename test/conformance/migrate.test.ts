// The migration runner on every driver, with migrations of its own.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Database, statement } from '../../src/db/database.ts';
import { migrate, pendingMigrations } from '../../src/db/migrate.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';

const first = `-- The first; with a comment that ends in a semicolon;
create schema if not exists cronwright;
create table if not exists cronwright.things (
  id int4 primary key, -- one;
  name text not null default 'a;'
);
create index if not exists things_by_name on cronwright.things (name);
`;
const second = `alter table cronwright.things add column if not exists size int8 not null default 0;
create table if not exists cronwright.others (id int4 primary key);
insert into cronwright.others values (1) on conflict (id) do nothing;
`;

describe.each(databaseVariants)('migrating on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  let directory: string;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, {
      ...(variant.isolation ? { isolation: variant.isolation } : {}),
      migrate: false,
    });
    db = test.db;
  });

  beforeEach(async () => {
    await query('drop schema if exists cronwright cascade');
    directory = await mkdtemp(join(tmpdir(), 'cronwright-migrations-'));
    await writeFile(join(directory, '0001_first.sql'), first);
    await writeFile(join(directory, '0002_second.sql'), second);
  });

  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  afterAll(async () => {
    await test?.close();
  });

  const query = async (text: string) => (await db.query(statement('look', text, { prepare: false }))).rows;

  it('applies what is missing in order, once, and says so', async () => {
    expect(await pendingMigrations(db, { directory })).toEqual(['0001_first.sql', '0002_second.sql']);
    const heard: string[] = [];
    const result = await migrate(db, { directory, onApplied: (name) => heard.push(name) });
    expect(result).toEqual({ applied: ['0001_first.sql', '0002_second.sql'], already: 0 });
    expect(heard).toEqual(result.applied);
    expect(await query('select number, name from cronwright.migrations order by number')).toEqual([
      { number: 1, name: '0001_first.sql' },
      { number: 2, name: '0002_second.sql' },
    ]);
    await query('insert into cronwright.things (id) values (1)');
    expect(await query('select * from cronwright.things')).toEqual([{ id: 1, name: 'a;', size: 0 }]);

    expect(await migrate(db, { directory })).toEqual({ applied: [], already: 2 });
    expect(await pendingMigrations(db, { directory })).toEqual([]);
    expect(await query('select * from cronwright.migration_lease')).toEqual([]);
  });

  it('applies only the file that came with a new version', async () => {
    await migrate(db, { directory });
    await writeFile(
      join(directory, '0003_third.sql'),
      'create table if not exists cronwright.third (id int4 primary key);\n',
    );
    expect(await migrate(db, { directory })).toEqual({ applied: ['0003_third.sql'], already: 2 });
  });

  it('lets an older version run on a newer schema', async () => {
    await migrate(db, { directory });
    await rm(join(directory, '0002_second.sql'));
    expect(await migrate(db, { directory })).toEqual({ applied: [], already: 1 });
  });

  it('refuses a landed file that was changed, by its name, and applies nothing', async () => {
    await migrate(db, { directory });
    await writeFile(join(directory, '0001_first.sql'), `${first}-- harmless, it seems\n`);
    await writeFile(join(directory, '0003_third.sql'), 'create table cronwright.third (id int4 primary key);\n');
    await expect(migrate(db, { directory })).rejects.toMatchObject({
      code: 'invalid_config',
      message: expect.stringContaining('0001_first.sql'),
    });
    await expect(pendingMigrations(db, { directory })).rejects.toThrow('0001_first.sql');
    expect(await query("select to_regclass('cronwright.third') as third")).toEqual([{ third: null }]);
  });

  it('does not take line ends for a change', async () => {
    await migrate(db, { directory });
    await writeFile(join(directory, '0001_first.sql'), first.replaceAll('\n', '\r\n'));
    expect(await migrate(db, { directory })).toEqual({ applied: [], already: 2 });
  });

  it('goes on where one was cut off halfway', async () => {
    await query('create schema cronwright');
    await query("create table cronwright.things (id int4 primary key, name text not null default 'a;')");
    expect((await migrate(db, { directory })).applied).toEqual(['0001_first.sql', '0002_second.sql']);
    expect(await query("select to_regclass('cronwright.things_by_name') is not null as made")).toEqual([
      { made: true },
    ]);
  });

  it('names file and statement that failed, lets the lease go, and resumes once it is mended', async () => {
    await writeFile(
      join(directory, '0002_second.sql'),
      'create table if not exists cronwright.fine ();\nselect 1 / 0;\n',
    );
    await expect(migrate(db, { directory })).rejects.toThrow(/0002_second\.sql.*division by zero.*select 1 \/ 0/s);
    expect(await query('select name from cronwright.migrations')).toEqual([{ name: '0001_first.sql' }]);
    expect(await query('select * from cronwright.migration_lease')).toEqual([]);
    await writeFile(join(directory, '0002_second.sql'), second);
    expect(await migrate(db, { directory })).toEqual({ applied: ['0002_second.sql'], already: 1 });
  });

  it('takes over the lease of a node that died', async () => {
    await migrate(db, { directory });
    await query("insert into cronwright.migration_lease values (1, 'dead', now() + interval '1 second')");
    await writeFile(join(directory, '0003_third.sql'), 'create table if not exists cronwright.third ();\n');
    const startedAt = performance.now();
    expect((await migrate(db, { directory })).applied).toEqual(['0003_third.sql']);
    expect(performance.now() - startedAt).toBeGreaterThan(500);
  });

  it.each([
    '0002_second.sql',
    '0001_First.sql',
    '1_first.sql',
    '0001.sql',
  ])('refuses the name %s out of its place', async (name) => {
    const wrong = await mkdtemp(join(tmpdir(), 'cronwright-migrations-'));
    await writeFile(join(wrong, name), first);
    await expect(migrate(db, { directory: wrong })).rejects.toThrow(name);
    await rm(wrong, { recursive: true });
  });

  it('lets many nodes start at once on an empty database: all succeed, each file is applied once', async () => {
    const { url } = test;
    const others = url === undefined ? [] : Array.from({ length: 5 }, () => createPostgres({ url, ...variant }));
    const results = await Promise.all([db, ...others, db].map((one) => migrate(one, { directory })));
    expect(results.flatMap((result) => result.applied).sort()).toEqual(['0001_first.sql', '0002_second.sql']);
    expect(await query('select id from cronwright.others')).toEqual([{ id: 1 }]);
    await Promise.all(others.map((one) => one.close()));
  });
});
