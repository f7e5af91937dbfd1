// sql.query against a real database in memory, behind the connection that the host would give.
import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Json, SqlConnection } from '../../src/steps/api.ts';
import { errorOf, type Overrides, outputOf, runStep } from '../support/step-context.ts';

let database: PGlite;
beforeAll(async () => {
  database = await PGlite.create();
  await database.exec(
    `create table people (name text, age int); insert into people select 'p' || n, n from generate_series(1, 50) n`,
  );
});
afterAll(() => database.close());

async function connect(name: string, { readOnly }: { readOnly: boolean }): Promise<SqlConnection> {
  if (name !== 'main') throw new Error(`there is no connection ${name}`);
  return {
    query: (text, params = []) =>
      database.transaction(async (tx) => {
        if (readOnly) await tx.query('set transaction read only');
        const { rows, affectedRows } = await tx.query<Record<string, Json>>(text, [...params]);
        return { rows, rowCount: affectedRows === undefined || affectedRows === 0 ? rows.length : affectedRows };
      }),
  };
}

const query = (input: Record<string, unknown>, overrides: Overrides = {}) =>
  runStep('sql.query', { connection: 'main', ...input }, { sql: connect, ...overrides });

describe('sql.query', () => {
  it('binds its parameters', async () => {
    const injection = "x' or '1'='1";
    expect(
      outputOf(
        await query({
          text: 'select name, age from people where age < $1 or name = $2 order by age',
          params: [3, injection],
        }),
      ),
    ).toEqual({
      rows: [
        { name: 'p1', age: 1 },
        { name: 'p2', age: 2 },
      ],
      row_count: 2,
      truncated: false,
    });
  });

  it('reads only, unless it is told to write', async () => {
    const text = 'update people set age = age where age <= 2';
    expect(errorOf(await query({ text })).message).toContain('read-only transaction');
    expect(outputOf(await query({ text, mode: 'write' }))).toEqual({ rows: [], row_count: 2, truncated: false });
  });

  it('keeps at most max_rows, counts all, and says so', async () => {
    const ran = await query({ text: 'select age from people order by age', max_rows: 2 });
    expect(outputOf(ran)).toEqual({ rows: [{ age: 1 }, { age: 2 }], row_count: 50, truncated: true });
    expect(ran.recorded.log[0]).toMatchObject({ level: 'warn', message: expect.stringContaining('50 rows') });
  });

  it('does not write in a dry run', async () => {
    outputOf(await query({ text: 'delete from people', mode: 'write' }, { dryRun: true }));
    expect(outputOf(await query({ text: 'select count(*)::int as n from people' }))).toMatchObject({
      rows: [{ n: 50 }],
    });
  });

  it('fails with what the database or the host says', async () => {
    expect(errorOf(await query({ text: 'select * from nowhere' }))).toMatchObject({
      class: 'fatal',
      message: expect.stringContaining('nowhere'),
    });
    expect(errorOf(await query({ text: 'select 1', connection: 'other' })).message).toBe(
      'there is no connection other',
    );
  });

  it('marks its text as no place for expressions', async () => {
    const { default: plugin } = await import('../../plugins/sql/index.ts');
    const { stepOf } = await import('../support/step-context.ts');
    expect(stepOf(plugin, 'query').inputSchema).toMatchObject({
      properties: { text: { 'x-cronwright-no-expressions': true } },
    });
  });
});
