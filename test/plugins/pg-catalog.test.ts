// pg.catalog on a real PostgreSQL: what its catalogue says of tables, views and functions.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CatalogObject } from '../../plugins/pg/catalog-object.ts';
import type { Json, SqlConnection } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { errorOf, outputOf, runStep } from '../support/step-context.ts';

let test: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  test = await createTestDatabase('postgres');
  client = new pg.Client({ connectionString: test.url });
  await client.connect();
  await client.query(`
    create schema shop;
    create schema empty;
    create table shop.customers (id uuid primary key, email text not null unique check (email like '%@%'), note varchar(20) default 'none');
    comment on table shop.customers is 'Who buys.';
    comment on column shop.customers.email is 'Where the bill goes.';
    create table shop.orders (
      customer uuid not null references shop.customers (id), n int not null, total numeric(10, 2), placed_at timestamptz default now(),
      gone int, primary key (customer, n));
    alter table shop.orders drop column gone;
    create index orders_by_time on shop.orders (placed_at desc) where total > 0;
    insert into shop.customers select gen_random_uuid(), n || '@example.org' from generate_series(1, 40) n;
    analyze shop.customers;
    create view shop.totals as select customer, sum(total) as total from shop.orders group by customer;
    create materialized view shop.best as select * from shop.totals;
    create function shop.tax(amount numeric, rate numeric default 0.19) returns numeric language sql as 'select amount * rate';
    comment on function shop.tax is 'What the state gets.';
    create procedure shop.tidy() language sql as 'delete from shop.orders where n < 0';
  `);
});
afterAll(async () => {
  await client?.end();
  await test?.close();
});

/** As the host gives it: one read-only transaction a query. */
const sql = async (): Promise<SqlConnection> => ({
  async query(text, params = []) {
    await client.query('begin read only');
    try {
      const { rows, rowCount } = await client.query<Record<string, Json>>(text, [...params]);
      return { rows: JSON.parse(JSON.stringify(rows)), rowCount: rowCount ?? 0 };
    } finally {
      await client.query('rollback');
    }
  },
});

interface Catalog {
  database: string;
  server: string;
  objects: CatalogObject[];
  counts: Record<string, number>;
}

const run = (input: Record<string, unknown>) => runStep('pg.catalog', { connection: 'main', ...input }, { sql });
const read = async (input: Record<string, unknown>) => outputOf<Catalog>(await run(input));

describe('pg.catalog', () => {
  it('tells every kind of object of a schema, and how many there are', async () => {
    const { objects, counts, server } = await read({ schemas: ['shop'] });
    expect(objects.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'materialized_view best',
      'table customers',
      'table orders',
      'view totals',
      'function tax',
      'procedure tidy',
    ]);
    expect(counts).toEqual({ materialized_view: 1, table: 2, view: 1, function: 1, procedure: 1 });
    expect(server).toMatch(/^PostgreSQL \d+/);
  });

  it('tells columns, keys, constraints, indexes and comments of a table', async () => {
    const { objects } = await read({ schemas: ['shop'], kinds: ['table'] });
    const [customers, orders] = objects;
    expect(customers).toMatchObject({
      schema: 'shop',
      comment: 'Who buys.',
      estimated_rows: 40,
      columns: [
        { name: 'id', type: 'uuid', nullable: false, default: null, comment: null },
        { name: 'email', type: 'text', nullable: false, comment: 'Where the bill goes.' },
        { name: 'note', type: 'character varying(20)', nullable: true, default: "'none'::character varying" },
      ],
      primary_key: ['id'],
      indexes: [],
    });
    expect(customers?.constraints.map(({ definition }) => definition)).toEqual([
      expect.stringMatching(/^CHECK \(\(?\(?email/),
      'UNIQUE (email)',
    ]);
    expect(orders).toMatchObject({
      estimated_rows: null,
      primary_key: ['customer', 'n'],
      foreign_keys: [{ name: 'orders_customer_fkey', columns: ['customer'], references: 'shop.customers(id)' }],
      indexes: [{ name: 'orders_by_time', unique: false, definition: expect.stringContaining('placed_at DESC') }],
    });
    expect(orders?.columns.map(({ name }) => name)).toEqual(['customer', 'n', 'total', 'placed_at']);
  });

  it('tells the definitions of views and functions', async () => {
    const { objects } = await read({ schemas: ['shop'], kinds: ['view', 'materialized_view', 'function'] });
    expect(objects.map(({ definition }) => definition)).toEqual([
      expect.stringMatching(/SELECT .*FROM shop\.totals/s),
      expect.stringMatching(/sum\(.*total\)/s),
      expect.stringMatching(/^CREATE OR REPLACE FUNCTION shop\.tax/),
    ]);
    expect(objects[2]).toMatchObject({
      arguments: 'amount numeric, rate numeric DEFAULT 0.19',
      returns: 'numeric',
      language: 'sql',
      comment: 'What the state gets.',
    });
  });

  it('leaves the system’s own schemas out unless they are asked for', async () => {
    const schemas = new Set((await read({})).objects.map(({ schema }) => schema));
    expect([...schemas].filter((schema) => /^(pg_|information)/.test(schema))).toEqual([]);
    expect([...schemas]).toContain('cronwright');
    expect((await read({ schemas: ['information_schema'] })).objects.length).toBeGreaterThan(10);
  });

  it('fails where there is nothing to see, and where there is too much', async () => {
    expect(errorOf(await run({ schemas: ['shop', 'shopp', 'empty'] }))).toMatchObject({
      name: 'SchemaNotFound',
      message: expect.stringContaining('shopp, empty'),
    });
    const tooMany = errorOf(await run({ schemas: ['shop'], max_objects: 5 }));
    expect(tooMany).toMatchObject({
      name: 'CatalogTooLarge',
      message: expect.stringContaining('6 objects, allowed are 5'),
    });
  });
});
