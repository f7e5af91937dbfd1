// The line that hints go by: PostgreSQL's NOTIFY on a connection that comes back, and none where the server has no such thing.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/engine-world.ts';
import { sql } from '../support/http-world.ts';

const listeners = `select pid from pg_stat_activity where datname = current_database() and application_name like '% hints'`;

describe('the line of hints', () => {
  let test: TestDatabase;
  let db: Database;
  const heard: string[] = [];
  const changes: string[] = [];

  beforeAll(async () => {
    test = await createTestDatabase('postgres', { migrate: false });
  });
  afterEach(() => db?.close());
  afterAll(() => test.close());

  async function listen() {
    db = createPostgres({ url: test.url ?? '' });
    await sql(db, 'select 1');
    heard.length = 0;
    changes.length = 0;
    const line = db.hints;
    if (!line) throw new Error('PostgreSQL has hints');
    const listening = line.listen({
      onHint: (payload) => heard.push(payload),
      onUp: () => changes.push('up'),
      onDown: () => changes.push('down'),
    });
    await eventually(async () => expect(changes).toEqual(['up']));
    return { line, listening };
  }

  it('carries a text to who listens', async () => {
    const { line } = await listen();
    await line.send('hello');
    await eventually(async () => expect(heard).toEqual(['hello']));
  });

  it('comes back after its connection is killed, as often as it is', async () => {
    const { line } = await listen();
    for (const killed of [1, 2]) {
      const [row] = await sql<{ pid: number }>(db, listeners);
      await sql(db, 'select pg_terminate_backend($1::int4)', [row?.pid]);
      await eventually(async () => expect(changes).toHaveLength(1 + 2 * killed));
    }
    expect(changes).toEqual(['up', 'down', 'up', 'down', 'up']);
    await line.send('again');
    await eventually(async () => expect(heard).toEqual(['again']));
  });

  it('leaves no connection behind when it is closed, and hears nothing more', async () => {
    const { line, listening } = await listen();
    await listening.close();
    await eventually(async () => expect(await sql(db, listeners)).toEqual([]));
    await line.send('late');
    expect(heard).toEqual([]);
    expect(changes).toEqual(['up']);
  });

  it('ends with its database', async () => {
    await listen();
    await db.close();
    await eventually(async () => expect(await sql(test.db, listeners)).toEqual([]));
  });

  it('is not there before the server has told what it is, nor on CockroachDB', async () => {
    db = createPostgres({ url: test.url ?? '' });
    expect(db.hints).toBeUndefined();
    const name = new URL(test.url ?? '').pathname.slice(1);
    // A server that says it is one, by a function that hides its own.
    await sql(test.db, 'create schema disguise');
    await sql(
      test.db,
      `create function disguise.version() returns text language sql as $$ select 'CockroachDB CCL v25.2.0' $$`,
    );
    await sql(test.db, `alter database "${name}" set search_path = disguise, pg_catalog, public`);
    await sql(db, 'select 1');
    expect(db.kind).toBe('cockroachdb');
    expect(db.hints).toBeUndefined();
    await sql(test.db, `alter database "${name}" reset search_path`);
  });

  it('is not there on PGlite', async () => {
    const embedded = await createTestDatabase('pglite', { migrate: false });
    await sql(embedded.db, 'select 1');
    expect(embedded.db.hints).toBeUndefined();
    await embedded.close();
  });
});
