// One suite for the database interface on every driver and isolation level.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, type SqlValue, type Statement, statement } from '../../src/db/database.ts';
import type { DatabaseEvent } from '../../src/db/database-event.ts';
import { sqlState } from '../../src/db/retries.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';

/** A statement that need not be prepared under a name of its own. */
function sql(text: string): Statement {
  return statement('test', text, { prepare: false });
}

describe.each(databaseVariants)('the database on $name', (variant) => {
  const events: DatabaseEvent[] = [];
  const queries: { operation: string; seconds: number; ok: boolean }[] = [];
  let test: TestDatabase;
  let db: Database;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, {
      ...(variant.isolation ? { isolation: variant.isolation } : {}),
      migrate: false,
      onEvent: (event) => events.push(event),
      onQuery: (operation, seconds, ok) => queries.push({ operation, seconds, ok }),
    });
    db = test.db;
    await db.query(sql('create table counters (id int4 primary key, value int8 not null)'));
    await db.query(sql('create table notes (id uuid primary key, body text)'));
  });

  afterAll(async () => {
    await test?.close();
  });

  it('says what it is', () => {
    expect(db.kind).toBe(variant.kind);
  });

  const values: { type: string; given: SqlValue; got?: unknown }[] = [
    { type: 'int2', given: -32_768 },
    { type: 'int4', given: 2_147_483_647 },
    { type: 'int8', given: Number.MAX_SAFE_INTEGER },
    { type: 'int8', given: -Number.MAX_SAFE_INTEGER },
    { type: 'float8', given: 0.1 },
    { type: 'float8', given: Number.NaN },
    { type: 'float8', given: Number.POSITIVE_INFINITY },
    { type: 'numeric', given: '12345678901234567890.123456789', got: '12345678901234567890.123456789' },
    { type: 'bool', given: true },
    { type: 'bool', given: false },
    { type: 'text', given: 'Grüße, "quoted" \\ and \'single\'\n\ttab 🕰' },
    { type: 'text', given: '' },
    { type: 'uuid', given: '018f4e6c-5d0a-7cc2-b2fd-0123456789ab' },
    { type: 'timestamptz', given: new Date('2026-03-29T01:30:00.123Z') },
    { type: 'timestamptz', given: new Date('1883-11-18T12:03:57.999Z') },
    { type: 'timestamptz', given: '2026-03-29T03:30:00.123999+02:00', got: new Date('2026-03-29T01:30:00.123Z') },
    { type: 'date', given: '2026-02-28' },
    { type: 'jsonb', given: JSON.stringify({ a: [1, null, 'x'] }), got: { a: [1, null, 'x'] } },
    { type: 'jsonb', given: 'null', got: null },
    { type: 'bytea', given: Uint8Array.from([0, 1, 92, 127, 128, 255]) },
    { type: 'bytea', given: new Uint8Array(0) },
    { type: 'int4[]', given: [1, null, -3] },
    { type: 'int8[]', given: [Number.MAX_SAFE_INTEGER, null, 0] },
    { type: 'float8[]', given: [1.5, null] },
    { type: 'bool[]', given: [true, null, false] },
    { type: 'text[]', given: ['a', null, 'NULL', '', 'with "quote"', 'back\\slash', '{brace},', ' space '] },
    { type: 'text[]', given: [] },
    { type: 'uuid[]', given: ['018f4e6c-5d0a-7cc2-b2fd-0123456789ab', null] },
    { type: 'numeric[]', given: ['1.10', null], got: ['1.10', null] },
    { type: 'timestamptz[]', given: [new Date('2026-03-29T01:30:00.123Z'), null] },
    { type: 'date[]', given: ['2026-02-28', null] },
    { type: 'bytea[]', given: [Uint8Array.from([1, 255]), null] },
    { type: 'int4[][]', given: [[1, 2], [3, 4]] }, // biome-ignore format: a matrix
  ];

  it.each(values)('gives back $type as it was given: $given', async ({ type, given, got = given }) => {
    const { rows } = await db.query<{ value: unknown }>(sql(`select $1::${type} as value`), [given]);
    expect(rows[0]?.value).toStrictEqual(got);
  });

  it.each(values)('gives back null for a $type that is null', async ({ type }) => {
    const { rows } = await db.query<{ value: unknown }>(sql(`select $1::${type} as value`), [null]);
    expect(rows[0]?.value).toBeNull();
  });

  it('takes lists of jsonb as text', async () => {
    const { rows } = await db.query<{ value: unknown }>(
      sql('select value from unnest($1::text[]) as t, lateral (select t::jsonb as value) as v'),
      [['{"a":1}', null, '[2]']],
    );
    expect(rows.map((row) => row.value)).toEqual([{ a: 1 }, null, [2]]);
  });

  it('refuses an int8 that a number cannot hold, and goes on', async () => {
    await expect(db.query(sql('select 9007199254740993::int8 as value'))).rejects.toThrow(/9007199254740993/);
    await expect(db.query(sql('select array[9007199254740993::int8] as value'))).rejects.toThrow(/9007199254740993/);
    expect((await db.query(sql('select 1 as value'))).rows).toEqual([{ value: 1 }]);
  });

  it('counts rows returned, and rows written where none are returned', async () => {
    expect((await db.query(sql('select * from generate_series(1, 7)'))).count).toBe(7);
    expect(
      (await db.query(sql('insert into notes (id) select gen_random_uuid() from generate_series(1, 3)'))).count,
    ).toBe(3);
    expect((await db.query(sql('delete from notes'))).count).toBe(3);
    expect((await db.query(sql('select 1 where false'))).count).toBe(0);
  });

  it('refuses two texts under one name', async () => {
    await db.query(statement('same_name', 'select 1 as value'));
    await expect(db.query(statement('same_name', 'select 2 as value'))).rejects.toThrow(
      /same_name.*select 1.*select 2/s,
    );
  });

  it('refuses a name that PostgreSQL would cut', async () => {
    await expect(db.query(statement('x'.repeat(64), 'select 1'))).rejects.toThrow(/64 bytes/);
  });

  it('runs sessions in UTC, planning for the values at hand', async () => {
    const { rows } = await db.query<{ zone: string; plans: string; cost: string }>(
      sql(
        `select current_setting('timezone') as zone, current_setting('plan_cache_mode') as plans,
                current_setting('random_page_cost') as cost`,
      ),
    );
    expect(rows).toEqual([{ zone: 'UTC', plans: 'force_custom_plan', cost: '1.1' }]);
  });

  it('runs transactions at the isolation asked for', async () => {
    const level = await db.transaction(async (tx) => {
      const { rows } = await tx.query<{ level: string }>(
        sql(`select current_setting('transaction_isolation') as level`),
      );
      return rows[0]?.level;
    });
    expect(level).toBe(variant.isolation ?? 'read committed');
  });

  it('gives SQLSTATE and constraint of a refused write', async () => {
    const id = randomUUID();
    await db.query(sql('insert into notes (id) values ($1::uuid)'), [id]);
    const error = await db
      .query(sql('insert into notes (id) values ($1::uuid)'), [id])
      .catch((reason: unknown) => reason);
    expect(sqlState(error)).toBe('23505');
    expect(error).toMatchObject({ constraint: 'notes_pkey' });
  });

  it('answers concurrent queries each with its own rows', async () => {
    const echo = statement('echo', 'select $1::int4 as value');
    const answers = await Promise.all(
      Array.from(
        { length: 200 },
        async (_, index) => (await db.query<{ value: number }>(echo, [index])).rows[0]?.value,
      ),
    );
    expect(answers).toEqual(Array.from({ length: 200 }, (_, index) => index));
  });

  it('carries large values both ways', async () => {
    const text = 'x'.repeat(5_000_000);
    const { rows } = await db.query<{ value: string }>(statement('large', 'select $1::text as value'), [text]);
    expect(rows[0]?.value === text).toBe(true);
  });

  it('tells the host of every statement, how long it took and whether it worked', async () => {
    queries.length = 0;
    await db.query(statement('measured', 'select 1'));
    await db.query(statement('measured_failure', 'select 1 / 0')).catch(() => {});
    expect(queries.map(({ operation, ok }) => ({ operation, ok }))).toEqual([
      { operation: 'measured', ok: true },
      { operation: 'measured_failure', ok: false },
    ]);
    for (const { seconds } of queries) expect(seconds).toBeGreaterThan(0);
    for (const { seconds } of queries) expect(seconds).toBeLessThan(10);
  });

  describe('in a transaction', () => {
    const insert = statement('insert_note', 'insert into notes (id, body) values ($1::uuid, $2::text)');
    const count = statement('count_note', 'select count(*) as count from notes where id = $1::uuid');
    const exists = async (id: string) => (await db.query<{ count: number }>(count, [id])).rows[0]?.count === 1;

    it('commits what the work wrote and returns what it returned', async () => {
      const id = randomUUID();
      const value = await db.transaction(async (tx) => {
        await tx.query(insert, [id, 'kept']);
        return 42;
      });
      expect(value).toBe(42);
      expect(await exists(id)).toBe(true);
    });

    it('rolls back what the work wrote before it threw', async () => {
      const id = randomUUID();
      const work = db.transaction(async (tx) => {
        await tx.query(insert, [id, 'lost']);
        throw new Error('changed my mind');
      });
      await expect(work).rejects.toThrow('changed my mind');
      expect(await exists(id)).toBe(false);
    });

    it('does not commit after an SQL error that the work caught', async () => {
      const id = randomUUID();
      const work = db.transaction(async (tx) => {
        await tx.query(insert, [id, 'lost']);
        await tx.query(sql('select 1 / 0')).catch(() => {});
        return 'as if nothing had happened';
      });
      await expect(work).rejects.toThrow('division by zero');
      expect(await exists(id)).toBe(false);
    });

    it('answers queries sent together', async () => {
      const answers = await db.transaction((tx) =>
        Promise.all([1, 2, 3].map(async (n) => (await tx.query(sql('select $1::int4 as value'), [n])).rows[0])),
      );
      expect(answers).toEqual([{ value: 1 }, { value: 2 }, { value: 3 }]);
    });

    it('refuses a query once it is over', async () => {
      const escaped = await db.transaction(async (tx) => tx);
      await expect(escaped.query(sql('select 1'))).rejects.toThrow(/over/);
    });

    it('refuses a query beside it, which would wait for it for ever', async () => {
      const beside = db.transaction(async () => db.query(statement('beside', 'select 1')));
      await expect(beside).rejects.toThrow(/beside.*inside an open transaction/);
      const nested = db.transaction(async () => db.transaction(async () => 1));
      await expect(nested).rejects.toThrow(/inside an open transaction/);
    });

    it('lets what the work left behind query once it is over', async () => {
      let release = () => {};
      const over = new Promise<void>((resolve) => {
        release = resolve;
      });
      const later = await db.transaction(async () => ({ query: over.then(() => db.query(sql('select 7 as value'))) }));
      release();
      expect((await later.query).rows).toEqual([{ value: 7 }]);
    });

    it('keeps queries from outside out of it', async () => {
      const id = randomUUID();
      let outside: Promise<boolean> | undefined;
      let letOutsideGo = () => {};
      const begun = new Promise<void>((resolve) => {
        letOutsideGo = resolve;
      });
      const seen = begun.then(() => exists(id));
      await db.transaction(async (tx) => {
        await tx.query(insert, [id, 'not yet']);
        letOutsideGo();
        outside = seen;
        // The one connection of PGlite makes it wait; PostgreSQL answers at once, from before the commit.
        if (db.kind !== 'pglite') expect(await outside).toBe(false);
      });
      expect(await outside).toBe(db.kind === 'pglite');
    });

    it('loses no increment of transactions that read, then write', async () => {
      await db.query(sql('insert into counters values (1, 0) on conflict (id) do update set value = 0'));
      events.length = 0;
      const lock = variant.isolation === 'serializable' ? '' : ' for update';
      const read = statement('read_counter', `select value from counters where id = 1${lock}`);
      const write = statement('write_counter', 'update counters set value = $1::int8 where id = 1');
      await Promise.all(
        Array.from({ length: 8 }, () =>
          db.transaction(async (tx) => {
            const { rows } = await tx.query<{ value: number }>(read);
            await tx.query(write, [(rows[0]?.value ?? 0) + 1]);
          }),
        ),
      );
      expect((await db.query(sql('select value from counters where id = 1'))).rows).toEqual([{ value: 8 }]);
      // Without a conflict this test shows nothing at serializable.
      const conflicts = events.filter((event) => event.type === 'retry' && event.sqlState === '40001').length;
      if (variant.isolation === 'serializable') expect(conflicts).toBeGreaterThan(0);
      else expect(conflicts).toBe(0);
    });

    it('tries again after a conflict that the work turned into an error of its own', async () => {
      let attempts = 0;
      const value = await db.transaction(async (tx) => {
        attempts++;
        if (attempts > 1) return 'done';
        try {
          await tx.query(sql(raise('40001')));
        } catch (error) {
          throw new Error('the work has its own words for it', { cause: error });
        }
        return 'never';
      });
      expect(value).toBe('done');
      expect(attempts).toBe(2);
    });

    it.each(['40P01', '40003'])('tries the whole again on %s', async (state) => {
      let attempts = 0;
      await db.transaction(async (tx) => {
        attempts++;
        if (attempts === 1) await tx.query(sql(raise(state)));
      });
      expect(attempts).toBe(2);
    });
  });

  describe('a dedicated connection', () => {
    it('answers queries, and closing it leaves the others open', async () => {
      const heartbeat = await db.dedicated('heartbeat');
      expect((await heartbeat.query(sql('select 1 as value'))).rows).toEqual([{ value: 1 }]);
      await heartbeat.close();
      await heartbeat.close();
      expect((await db.query(sql('select 2 as value'))).rows).toEqual([{ value: 2 }]);
    });

    it('does not wait for queries of the pool, where there is a server', async () => {
      if (variant.kind === 'pglite') return; // PGlite has one connection, and says so.
      const heartbeat = await db.dedicated('heartbeat');
      const busy = Promise.all(Array.from({ length: 10 }, () => db.query(sql('select pg_sleep(1)'))));
      const before = performance.now();
      await heartbeat.query(sql('select 1'));
      expect(performance.now() - before).toBeLessThan(900);
      await busy;
      await heartbeat.close();
    });
  });

  it('is closed twice without harm, and then says that it is closed', async () => {
    const other = await createTestDatabase(variant.kind, { migrate: false });
    await other.db.query(sql('select 1'));
    await Promise.all([other.db.close(), other.db.close()]);
    await other.db.close();
    await expect(other.db.query(sql('select 1'))).rejects.toMatchObject({ code: 'unavailable' });
    await other.close();
  });
});

/** SQL that fails with this SQLSTATE. */
function raise(state: string): string {
  return `do $$ begin raise exception 'provoked' using errcode = '${state}'; end $$`;
}
