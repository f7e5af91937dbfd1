// Every statement of the program and of its migrations keeps to the SQL that all three databases share (DESIGN §13).
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { Statement } from '../../../src/db/database.ts';
import { findBreaches, type NullableColumns, nullableColumnsOf } from '../../support/sql-discipline.ts';

const seen = vi.hoisted(() => new Map<string, string>());

vi.mock('../../../src/db/database.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../../src/db/database.ts')>();
  return {
    ...original,
    statement(name: string, text: string, options?: object): Statement {
      seen.set(name, text);
      return original.statement(name, text, options);
    },
  };
});

const root = join(import.meta.dirname, '../../..');

/** Statements that are sent to one kind of database only, and why. */
const exceptions: Readonly<Record<string, string>> = {
  send_hint: 'hints are sent where the server has notices, and nothing depends on them',
  upkeep_tables: 'only the embedded database is cleaned by us',
};

function filesUnder(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(root, folder, name))
    .sort();
}

const migrations = filesUnder('src/db/migrations', '.sql').map((file) => readFileSync(file, 'utf8'));

describe('the statements of the program', () => {
  let nullable: NullableColumns;

  beforeAll(async () => {
    nullable = nullableColumnsOf(migrations);
    for (const file of filesUnder('src', '.ts')) {
      if (/\bstatement\(/.test(readFileSync(file, 'utf8'))) await import(file);
    }
  }, 60_000);

  it('are all found', () => {
    const named = filesUnder('src', '.ts').flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/\b(?:statement|fencedStatement)\(\s*'([a-z0-9_]+)'/g)].map(
        ([, name]) => name,
      ),
    );
    // These two are names of whatever migrations and steps hold.
    const open = ['migrate', 'step_sql'];
    const lost = named.filter((name) => name && !open.includes(name) && !seen.has(name));
    expect(lost).toEqual([]);
    expect(seen.size).toBeGreaterThan(100);
  });

  it('keep to the subset', () => {
    const broken = [...seen].flatMap(([name, text]) =>
      name in exceptions ? [] : findBreaches(text, nullable).map((breach) => ({ statement: name, ...breach })),
    );
    expect(broken).toEqual([]);
  });

  it('need their exceptions', () => {
    for (const name of Object.keys(exceptions)) {
      expect(seen.has(name), name).toBe(true);
      expect(findBreaches(seen.get(name) ?? '', nullable), name).not.toEqual([]);
    }
  });

  it('of migrations keep to it too, and may each be sent again', () => {
    expect(migrations.flatMap((sql) => findBreaches(sql, nullable))).toEqual([]);
  });
});

describe('what is found in a statement', () => {
  const nullable: NullableColumns = new Map([['queue', new Set(['run_at'])]]);
  const rulesOf = (sql: string) => findBreaches(sql, nullable).map(({ rule, got }) => `${rule}: ${got}`);

  it.each([
    ['select pg_advisory_lock(1)', 'function beyond the subset: pg_advisory_lock'],
    ["select nextval('s')", 'function beyond the subset: nextval'],
    ['listen changes', 'not in the subset: listen'],
    ['notify changes', 'not in the subset: notify'],
    ['lock table cronwright.queue', 'not in the subset: lock table'],
    ["create type cronwright.s as enum ('a')", 'not in the subset: enum'],
    ['create sequence if not exists cronwright.s', 'not in the subset: sequence'],
    [
      'merge into cronwright.queue q using cronwright.runs r on r.id = q.run_id when matched then delete',
      'not in the subset: merge',
    ],
    ['do $$ begin end $$', 'not in the subset: PL/pgSQL'],
    ['create trigger t after insert on cronwright.queue execute function cronwright.f()', 'not in the subset: trigger'],
    ['create table if not exists cronwright.a (n int4 generated always as identity)', 'not in the subset: identity'],
    ['create table if not exists cronwright.a (n bigserial)', 'not in the subset: bigserial'],
    ['create table if not exists cronwright.a (n int)', 'integer without its size: int'],
    ['select $1::bigint', 'integer without its size: bigint'],
    ['create table if not exists cronwright.a (n uuid references cronwright.b)', 'not in the subset: foreign key'],
    ['create table if not exists cronwright.a (n uuid unique deferrable)', 'not in the subset: deferrable constraint'],
    ['create table if not exists cronwright.a (n int4) partition by range (n)', 'not in the subset: partitions'],
    ['create temporary table if not exists a (n int4)', 'not in the subset: temporary table'],
    ['create table cronwright.a (n int4)', 'not repeatable: CreateStmt without if not exists'],
    ['create index a on cronwright.queue (run_id)', 'not repeatable: IndexStmt without if not exists'],
    ['alter table cronwright.queue add column a text', 'not repeatable: AT_AddColumn'],
    ['alter table cronwright.queue add constraint a check (true)', 'not repeatable: AT_AddConstraint'],
    ['drop table cronwright.queue', 'not repeatable: drop without if exists'],
    ['select * from queue', 'table without its schema: queue'],
    ['select * from pg_catalog.pg_class', 'foreign schema: pg_catalog.pg_class'],
    ['select ctid from cronwright.queue', 'system column: ctid'],
    ['select * from unnest($1) as u(id)', 'array parameter without its type: unnest'],
    ['select * from cronwright.queue where state in ($1, $2)', 'list of parameters: in (2 parameters)'],
    ['select * from cronwright.queue q order by q.run_at desc', 'order of nulls not told: q.run_at'],
    [
      `with a as (update cronwright.queue set step = null returning run_id)
       delete from cronwright.queue where run_id in (select run_id from a)`,
      'table written twice: queue',
    ],
  ])('%s', (sql, breach) => {
    expect(rulesOf(sql)).toContain(breach);
  });

  it.each([
    'select * from cronwright.queue q order by q.run_at desc nulls last, q.run_id',
    'with a as (select run_id from cronwright.queue) select * from a',
    'select u.id from unnest($1::uuid[], $2::int8[]) as u(id, n) where u.id = any($3::uuid[])',
    "select n::int8, now() from cronwright.queue where state in ('pending', 'running')",
    'alter table cronwright.queue add column if not exists a int4',
  ])('nothing wrong in: %s', (sql) => {
    expect(rulesOf(sql)).toEqual([]);
  });
});
