// pg.dump, pg.verify and pg.rotate on a real PostgreSQL: by the real pg_dump, and by SQL alone.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SqlConnection } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { hasPgTools } from '../support/has-pg-tools.ts';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';
import { tempFolder } from '../support/temp-folder.ts';

interface Dump {
  to: string;
  path: string;
  artifact: string | null;
  method: string;
  format: string;
  gzip: boolean;
  size: number;
  sha256: string;
  tables: Record<string, number>;
  row_count: number;
  table_count: number;
  server_version: string;
  tool_version: string | null;
  omitted: string[];
}

const password = 'opensesame-4711';
const rows = {
  'shop.customers': 400,
  'shop.Odd "names"': 2,
  'shop.parts': 0,
  'shop.parts_low': 3,
  'shop.parts_high': 4,
};

let test: TestDatabase;
let client: pg.Client;
let url: string;
let role: string;

beforeAll(async () => {
  test = await createTestDatabase('postgres', { migrate: false });
  client = new pg.Client({ connectionString: test.url });
  await client.connect();
  role = `dumper_${new URL(test.url ?? '').pathname.slice(-12)}`;
  await client.query(`
    create role ${role} login superuser password '${password}';
    create schema shop;
    create type shop.mood as enum ('glad', 'sad');
    create domain shop.percent as int default 5 not null check (value between 0 and 100);
    create function shop.double(n int) returns int language sql immutable as 'select n * 2';
    create table shop.customers (
      id int generated always as identity primary key, email text not null unique, mood shop.mood default 'glad', share shop.percent,
      note text, bytes bytea, big numeric(20, 4), at timestamptz default now(), tags text[], data jsonb,
      twice int generated always as (2 * 21) stored, part float8);
    insert into shop.customers (email, note, bytes, big, tags, data, part)
      select n || '@example.org', case n % 3 when 0 then E'it''s \\\\ a\\tline\\nbreak' when 1 then '' end,
        decode(md5(n::text), 'hex'), n / 7.0, array['a', null, 'b,c"'], jsonb_build_object('n', n, 'q', '"'), n / 3.0::float8
      from generate_series(1, 400) n;
    create table shop."Odd ""names""" (k serial primary key, customer int references shop.customers (id));
    insert into shop."Odd ""names""" (customer) values (1), (null);
    create table shop.parts (id int, low boolean not null) partition by list (low);
    create table shop.parts_low partition of shop.parts for values in (true);
    create table shop.parts_high partition of shop.parts for values in (false);
    insert into shop.parts select n, n < 4 from generate_series(1, 7) n;
    create index customers_by_time on shop.customers (at desc) where note is not null;
    create view shop.glad as select id, email from shop.customers where mood = 'glad';
    create materialized view shop.counted as select count(*) as n from shop.glad;
    create function shop.touch() returns trigger language plpgsql as 'begin new.at = now(); return new; end';
    create trigger touch before update on shop.customers for each row execute function shop.touch();
    comment on table shop.customers is 'Who buys; and ''why''.';
    create type shop.pair as (a int, b int);
    create policy mine on shop.customers using (true);
    drop table if exists shop.parts_other;
    alter table shop.parts add column gone int; alter table shop.parts drop column gone;
  `);
  delete (rows as Record<string, number>)['shop.parts'];
  const own = new URL(test.url ?? '');
  own.username = role;
  own.password = password;
  url = own.href;
});
afterAll(async () => {
  await client?.end();
  const admin = new pg.Client({ connectionString: urlOf('postgres') });
  await admin.connect();
  await test?.close();
  await admin.query(`drop role if exists ${role}`);
  await admin.end();
});

function urlOf(database: string): string {
  const other = new URL(test.url ?? '');
  other.pathname = `/${database}`;
  return other.href;
}

const sql = async (): Promise<SqlConnection> => ({
  async query(text, params = []) {
    const found = await client.query(text, [...params]);
    return { rows: found.rows, rowCount: found.rowCount ?? 0 };
  },
  serverUrl: () => url,
});

const path = process.env.PATH ?? '/usr/bin:/bin';
const programEnv = { PATH: path, LANG: 'C.UTF-8' };
const hasTools = await hasPgTools();
const runId = '019a0000-0000-7000-8000-000000000001';

async function dump(input: object = {}, overrides: Overrides = {}) {
  return runStep('pg.dump', { connection: 'shop', ...input }, { sql, programEnv, runId, ...overrides });
}

async function databases(): Promise<string[]> {
  const { rows: found } = await client.query<{ datname: string }>(
    "select datname from pg_database where datname like 'cronwright_verify_%'",
  );
  return found.map(({ datname }) => datname);
}

describe.each([
  ['an archive of pg_dump', { method: 'pg_dump' }, 'custom', '.dump'],
  ['SQL of pg_dump', { method: 'pg_dump', format: 'plain' }, 'plain', '.sql.gz'],
  ['SQL without pg_dump', { method: 'sql' }, 'plain', '.sql.gz'],
])('%s', (_name, input, format, ending) => {
  const itCan = it.runIf(hasTools || input.method === 'sql');

  itCan('has every table with its rows, and its own hash', async () => {
    const ran = await dump(input);
    const output = outputOf<Dump>(ran);
    expect(output).toMatchObject({
      method: input.method,
      format,
      to: 'workspace',
      path: `dumps/shop-${runId}${ending}`,
    });
    expect(output.tables).toEqual(rows);
    expect(output).toMatchObject({ row_count: 409, table_count: 4 });
    const content = readFileSync(join(ran.workspaceDir, output.path));
    expect(output.size).toBe(content.length);
    expect(output.sha256).toBe(createHash('sha256').update(content).digest('hex'));
    expect(readdirSync(join(ran.workspaceDir, 'dumps'))).toHaveLength(1);
    expect(ran.recorded.progress.map(({ message }) => message)).toContain('shop.customers');
  });

  itCan('can be restored: rows are counted in a database that is gone afterwards', async () => {
    const ran = await dump(input);
    const verified = await runStep(
      'pg.verify',
      { dump: outputOf(ran), restore_into: 'shop' },
      { sql, programEnv, workspaceDir: ran.workspaceDir },
    );
    expect(outputOf(verified)).toMatchObject({ method: 'restore', tables: 4, rows: 409 });
    expect(await databases()).toEqual([]);
  });

  itCan('is known as broken once a byte of it is another', async () => {
    const ran = await dump(input);
    const output = outputOf<Dump>(ran);
    const file = join(ran.workspaceDir, output.path);
    const content = readFileSync(file);
    content[content.length - 9] = (content[content.length - 9] ?? 0) ^ 1;
    writeFileSync(file, content);
    const verified = await runStep('pg.verify', { dump: output }, { sql, programEnv, workspaceDir: ran.workspaceDir });
    expect(errorOf(verified)).toMatchObject({ name: 'DumpInvalid', class: 'fatal' });
  });

  itCan('is known as wrong where the rows are others', async () => {
    const ran = await dump(input);
    const given = outputOf<Dump>(ran);
    const wrong = { ...given, tables: { ...given.tables, 'shop.customers': 399 } };
    const at = { sql, programEnv, workspaceDir: ran.workspaceDir };
    const verified = await runStep('pg.verify', { dump: wrong, restore_into: 'shop' }, at);
    expect(errorOf(verified).message).toContain('shop.customers has 400, expected 399');
    expect(await databases()).toEqual([]);
  });

  itCan('is taken away by the compensation, and nothing else is', async () => {
    const ran = await dump(input);
    writeFileSync(join(ran.workspaceDir, 'dumps', 'other.sql'), '');
    const at = { workspaceDir: ran.workspaceDir, compensation: { reason: 'failed' } } as const;
    await dump(input, at as Overrides);
    expect(readdirSync(join(ran.workspaceDir, 'dumps'))).toEqual(['other.sql']);
  });
});

describe('a restored dump of SQL alone', () => {
  it('is the database it was made of, in all that the dump covers', async () => {
    const ran = await dump({ method: 'sql', gzip: false });
    const output = outputOf<Dump>(ran);
    expect(output.omitted).toEqual(['composite type shop.pair', 'row security policy mine on shop.customers']);
    const name = `${new URL(test.url ?? '').pathname.slice(1)}_again`;
    await client.query(`create database "${name}" template template0`);
    const again = new pg.Client({ connectionString: urlOf(name) });
    try {
      await again.connect();
      await again.query(readFileSync(join(ran.workspaceDir, output.path), 'utf8'));
      const facts = [
        'select * from shop.customers order by id',
        'select * from shop."Odd ""names""" order by k',
        'select tableoid::regclass::text, * from shop.parts order by id',
        'select * from shop.counted',
        "select indexdef from pg_indexes where schemaname = 'shop' order by indexname",
        `select conname, pg_get_constraintdef(oid) as def from pg_constraint where connamespace = 'shop'::regnamespace order by conname`,
        'select nextval(\'shop."Odd ""names""_k_seq"\') as n',
        "insert into shop.customers (email) values ('new') returning id, mood::text, share, twice",
        "select obj_description('shop.customers'::regclass) as c",
        'select tgname from pg_trigger where not tgisinternal',
      ];
      for (const fact of facts) {
        await client.query('begin');
        await client.query('set local search_path = public');
        await again.query('set search_path = public');
        const [then, now] = [await client.query(fact), await again.query(fact)];
        await client.query('rollback');
        expect(now.rows, fact).toEqual(then.rows);
      }
    } finally {
      await again.end();
      await client.query(`drop database "${name}" with (force)`);
    }
  });

  it('shows one moment, whatever is written meanwhile', async () => {
    await client.query('create table shop.moving (n int); insert into shop.moving select generate_series(1, 1000)');
    try {
      const ran = await dump(
        { method: 'sql', schemas: ['shop'] },
        {
          onSeen: (seen) =>
            JSON.stringify(seen).includes('shop.customers') ? client.query('delete from shop.moving') : undefined,
        },
      );
      expect(outputOf<Dump>(ran).tables['shop.moving']).toBe(1_000);
      expect((await client.query('select count(*)::int as n from shop.moving')).rows[0]?.n).toBe(0);
    } finally {
      await client.query('drop table shop.moving');
    }
  });
});

describe('pg.dump', () => {
  it('goes by SQL where the PATH has no pg_dump, and says so', async () => {
    const ran = await dump({}, { programEnv: { PATH: tempFolder('empty') } });
    expect(outputOf<Dump>(ran)).toMatchObject({ method: 'sql', tool_version: null, tables: rows });
    expect(JSON.stringify(ran.recorded.log)).toContain('there is no pg_dump in the PATH');
  });

  it('does not use a pg_dump that is older than the server', async () => {
    const old = await fakeTool('echo "pg_dump (PostgreSQL) 9.6.24"');
    expect(outputOf<Dump>(await dump({}, { programEnv: { PATH: old } })).method).toBe('sql');
    const refused = await dump({ method: 'pg_dump' }, { programEnv: { PATH: old } });
    expect(errorOf(refused)).toMatchObject({ name: 'VersionMismatch', class: 'fatal' });
    const missing = await dump({ method: 'pg_dump' }, { programEnv: { PATH: tempFolder('empty') } });
    expect(errorOf(missing)).toMatchObject({ name: 'ProgramNotFound', class: 'fatal' });
  });

  it.runIf(hasTools)(
    'gives the password by the environment alone: neither arguments nor logs nor output have it',
    async () => {
      const spy = tempFolder('spy');
      const spied = await fakeTool(
        `tr '\\0' ' ' < /proc/$$/cmdline >> ${spy}/args; tr '\\0' ' ' < /proc/$PPID/cmdline >> ${spy}/args
       [ "$PGPASSWORD" = "${password}" ] && echo yes >> ${spy}/env; exec env PATH="${path}" pg_dump "$@"`,
      );
      const ran = await dump({}, { programEnv: { PATH: `${spied}:${path}` } });
      expect(outputOf<Dump>(ran).tables).toEqual(rows);
      expect(readFileSync(join(spy, 'env'), 'utf8')).toBe('yes\n');
      expect(readFileSync(join(spy, 'args'), 'utf8')).toContain('--format=custom');
      expect(readFileSync(join(spy, 'args'), 'utf8')).not.toContain(password);
      expect(JSON.stringify([ran.result, ran.recorded])).not.toContain(password);
    },
  );

  it('masks the password where the program prints it', async () => {
    const fake = await fakeTool(
      `case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1";; *) echo "pg_dump: error: bad $PGPASSWORD" >&2; exit 1;; esac`,
    );
    const ran = await dump({}, { programEnv: { PATH: `${fake}:${path}` } });
    expect(errorOf(ran)).toMatchObject({ name: 'ProgramFailed', class: 'fatal' });
    expect(JSON.stringify(ran)).not.toContain(password);
    expect(errorOf(ran).message).toContain('***');
  });

  it('takes a server that went away for transient, and leaves no half of a file', async () => {
    const fake = await fakeTool(
      `case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1";;
        *) echo half; echo "pg_dump: error: server closed the connection unexpectedly" >&2; exit 1;; esac`,
    );
    const ran = await dump({}, { programEnv: { PATH: `${fake}:${path}` } });
    expect(errorOf(ran)).toMatchObject({ name: 'TransientError', class: 'transient' });
    expect(readdirSync(join(ran.workspaceDir, 'dumps'))).toEqual([]);
  });

  it.runIf(hasTools)('ends at the limit of what the program may print', async () => {
    const ran = await dump({ format: 'plain' }, { limits: { outputBytes: 1_000 } });
    expect(errorOf(ran)).toMatchObject({ name: 'OutputLimit', class: 'fatal' });
    expect(readdirSync(join(ran.workspaceDir, 'dumps'))).toEqual([]);
  });

  it('ends its program when the run is cancelled', async () => {
    const spy = tempFolder('spy');
    const fake = await fakeTool(
      `case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1";; *) echo $$ > ${spy}/pid; sleep 60;; esac`,
    );
    const controller = new AbortController();
    const ran = dump({}, { programEnv: { PATH: `${fake}:${path}` }, signal: controller.signal });
    const pid = await appeared(join(spy, 'pid'));
    controller.abort(Object.assign(new Error('cancelled'), { name: 'cancelled' }));
    expect((await ran).result.kind).toBe('cancelled');
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  it.runIf(hasTools)('writes nothing in a dry run', async () => {
    const ran = await dump({}, { dryRun: true });
    expect(outputOf<Dump>(ran)).toMatchObject({ method: 'pg_dump', size: 0 });
    expect(existsSync(join(ran.workspaceDir, 'dumps'))).toBe(false);
  });

  it.runIf(hasTools)('keeps a dump as an artifact, which pg.verify reads', async () => {
    const ran = await dump({ to: 'artifact', format: 'plain', gzip: true });
    const output = outputOf<Dump>(ran);
    const [kept] = ran.recorded.artifacts;
    expect(kept?.artifact.id).toBe(output.artifact);
    expect(gunzipSync(kept?.content ?? new Uint8Array()).toString()).toContain('COPY shop.customers');
    const { artifacts } = ran.recorded;
    const verified = await runStep('pg.verify', { dump: output }, { sql, programEnv, artifacts });
    expect(outputOf(verified)).toMatchObject({ method: 'contents', rows: 409, entries: null });
  });

  it('does not know what server `self` is', async () => {
    const ran = await dump({ connection: 'self' }, { sql: async () => ({ query: (await sql()).query }) });
    expect(errorOf(ran)).toMatchObject({ name: 'NoServer', class: 'fatal' });
  });
});

describe('pg.rotate', () => {
  const day = 86_400_000;
  const now = 1_800_000_000_000;
  const idAt = (ms: number) => {
    const hex = ms.toString(16).padStart(12, '0');
    return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
  };
  const fill = () => {
    const dataDir = tempFolder('data');
    const at = join(dataDir, 'dumps', 'default', 'dumps');
    mkdirSync(at, { recursive: true });
    for (const age of [0, 1, 2, 3]) writeFileSync(join(at, `acme-${idAt(now - age * day)}.dump`), 'x');
    for (const other of ['acme-notes.txt', `acme2-${idAt(0)}.dump`, `acme-${idAt(0)}.dump.part`])
      writeFileSync(join(at, other), 'x');
    return { dataDir, at };
  };

  it('keeps the newest and what is no dump of the name', async () => {
    const { dataDir, at } = fill();
    const ran = await runStep('pg.rotate', { name: 'acme', keep_last: 2 }, { dataDir, runId: idAt(now) });
    const removed = [3, 2].map((age) => `acme-${idAt(now - age * day)}.dump`);
    expect(outputOf(ran)).toEqual({ kept: 2, removed, freed: 2 });
    expect(readdirSync(at)).toHaveLength(5);
  });

  it('removes by age, but never the very newest', async () => {
    const { dataDir } = fill();
    const later = { dataDir, runId: idAt(now + 100 * day) };
    expect(outputOf(await runStep('pg.rotate', { name: 'acme', max_age_days: 7 }, later))).toMatchObject({ kept: 1 });
    expect(errorOf(await runStep('pg.rotate', { name: 'acme' }, later)).message).toContain('keep_last');
  });

  it('takes no time out of the id of an imported run, which has none', async () => {
    const { dataDir, at } = fill();
    const imported = 'f0000000-0000-8000-8000-000000000001';
    const own = `acme-00000000-0000-8000-8000-000000000002.dump`;
    writeFileSync(join(at, own), 'x');
    utimesSync(join(at, own), (now + day) / 1_000, (now + day) / 1_000);
    const aged = await runStep('pg.rotate', { name: 'acme', max_age_days: 36_500 }, { dataDir, runId: imported });
    expect(outputOf(aged)).toEqual({ kept: 5, removed: [], freed: 0 });
    await runStep('pg.rotate', { name: 'acme', keep_last: 1 }, { dataDir, runId: imported });
    expect(readdirSync(at)).toContain(own);
  });
});

async function fakeTool(script: string): Promise<string> {
  const folder = tempFolder('bin');
  const file = join(folder, 'pg_dump');
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return folder;
}

async function appeared(file: string): Promise<string> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const text = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    if (text !== '') return text;
    if (performance.now() > deadline) throw new Error(`${file} did not appear`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
