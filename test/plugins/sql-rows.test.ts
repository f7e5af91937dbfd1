// sql.rows against a real database in memory: each row is told once, whatever shares its value, however many there are.
import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import sqlPlugin from '../../plugins/sql/index.ts';
import type { Json, SqlConnection } from '../../src/steps/api.ts';
import { testSensor } from '../../src/steps/testing/test-step.ts';

let database: PGlite;
beforeAll(async () => {
  database = await PGlite.create();
  await database.exec('create table orders (id int, batch int, customer text)');
});
beforeEach(async () => {
  await database.exec(
    `delete from orders; insert into orders select n, (n + 1) / 2, 'c' || n from generate_series(1, 5) n`,
  );
});
afterAll(() => database.close());

const main: SqlConnection = {
  query: (text, params = []) =>
    database.transaction(async (tx) => {
      const { rows } = await tx.query<Record<string, Json>>(text, [...params]);
      return { rows, rowCount: rows.length };
    }),
};

const byId = {
  connection: 'main',
  text: 'select id, customer from orders where id > $1 order by id limit $2',
  column: 'id',
  start: 0,
};

async function look(input: Record<string, Json>, cursor?: Json, maxEvents = 100) {
  return testSensor<{ row: Record<string, Json> }>(sqlPlugin, {
    sensor: 'rows',
    input,
    cursor,
    maxEvents,
    sql: { main },
  });
}

describe('sql.rows', () => {
  it('tells the rows above what was seen, and where nothing is new nothing', async () => {
    const first = await look(byId);
    expect(first.events.map(({ key }) => key)).toEqual(['1', '2', '3', '4', '5']);
    expect(first.events[0]?.data).toEqual({ row: { id: 1, customer: 'c1' } });
    expect(first).toMatchObject({ cursor: 5, more: false });
    expect(await look(byId, 5)).toMatchObject({ events: [], cursor: 5, more: false });
    await database.exec(`insert into orders values (6, 3, 'new')`);
    expect((await look(byId, 5)).events).toEqual([{ key: '6', data: { row: { id: 6, customer: 'new' } } }]);
  });

  it('tells no more than it may, and rows of one value together', async () => {
    expect(await look(byId, undefined, 2)).toMatchObject({
      cursor: 2,
      more: true,
      events: [{ key: '1' }, { key: '2' }],
    });
    const byBatch = {
      ...byId,
      text: 'select id, batch from orders where batch > $1 order by batch, id limit $2',
      column: 'batch',
      key: 'id',
    };
    const seen: string[] = [];
    let cursor: Json | undefined;
    for (let more = true; more; ) {
      const found = await look(byBatch, cursor, 3);
      expect(found.error).toBeUndefined();
      seen.push(...found.events.map(({ key }) => key));
      ({ cursor, more } = found);
    }
    expect(seen).toEqual(['1', '2', '3', '4', '5']);
    expect((await look(byBatch, undefined, 1)).error).toMatchObject({ name: 'ColumnNotUnique', class: 'fatal' });
  });

  it('says which column it misses', async () => {
    const { error } = await look({ ...byId, column: 'number' });
    expect(error).toMatchObject({
      name: 'MissingColumn',
      message: 'column number has no value: columns are id, customer',
    });
    await database.exec(`insert into orders values (7, 1, null)`);
    expect((await look({ ...byId, key: 'customer' })).error?.message).toBe(
      'column customer has no value: a row has null in it',
    );
  });
});
