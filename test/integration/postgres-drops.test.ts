// Dropped connections: what is tried again, and what the caller is told is unknown.
import { randomUUID } from 'node:crypto';
import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Database, type Queryable, statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { AmbiguousCommitError } from '../../src/db/retries.ts';
import { waitForDatabase } from '../../src/db/wait-for-database.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const insert = statement('insert_note', 'insert into notes (id) values ($1::uuid)');
const insertOnce = statement('insert_note_once', 'insert into notes (id) values ($1::uuid) on conflict do nothing', {
  idempotent: true,
});
const countNote = statement('count_note', 'select count(*) as count from notes where id = $1::uuid');
const ownPid = statement('own_pid', 'select pg_backend_pid() as pid');
const terminate = statement('terminate', 'select pg_terminate_backend($1::int4) as done');

describe('a connection that drops', () => {
  let test: TestDatabase;
  let proxy: Proxy;
  let db: Database;

  beforeAll(async () => {
    test = await createTestDatabase('postgres', { migrate: false });
    await test.db.query(statement('make', 'create table notes (id uuid primary key)'));
    proxy = await startProxy(test.url ?? '');
  });

  afterEach(async () => {
    await db?.close();
  });

  afterAll(async () => {
    await proxy?.close();
    await test?.close();
  });

  async function written(id: string): Promise<boolean> {
    return (await test.db.query<{ count: number }>(countNote, [id])).rows[0]?.count === 1;
  }

  async function kill(victim: Queryable): Promise<void> {
    const { rows } = await victim.query<{ pid: number }>(ownPid);
    await test.db.query(terminate, [rows[0]?.pid]);
  }

  it('while idle is replaced', async () => {
    db = createPostgres({ url: test.url ?? '', maxConnections: 1 });
    await kill(db);
    expect((await db.query(countNote, [randomUUID()])).rows).toEqual([{ count: 0 }]);
  });

  it('leaves an error that shows nothing of the connection', async () => {
    db = createPostgres({ url: proxy.url, maxConnections: 1 });
    proxy.cutOnce({ at: 'default_transaction_isolation', when: 'before' });
    const error = await db.query(insert, [randomUUID()]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'unavailable' });
    expect(everythingIn(error)).not.toContain('connectionParameters');
  });

  it('while it waits for a read has the read sent again', async () => {
    const reasons: string[] = [];
    db = createPostgres({
      url: proxy.url,
      onEvent: (event) => {
        if (event.type === 'retry') reasons.push(event.operation);
      },
    });
    proxy.cutOnce({ at: 'count', when: 'before' });
    expect((await db.query(countNote, [randomUUID()])).rows).toEqual([{ count: 0 }]);
    expect(reasons).toEqual(['count_note']);
  });

  it.each([
    { when: 'before', happened: false },
    { when: 'after', happened: true },
  ] as const)('$when a write reached the server leaves its outcome to the caller', async ({ when, happened }) => {
    db = createPostgres({ url: proxy.url });
    const id = randomUUID();
    proxy.cutOnce({ at: 'insert', when });
    await expect(db.query(insert, [id])).rejects.toBeInstanceOf(AmbiguousCommitError);
    expect(await written(id)).toBe(happened);
  });

  it.each(['before', 'after'] as const)('%s an idempotent write reached the server has it sent again', async (when) => {
    db = createPostgres({ url: proxy.url });
    const id = randomUUID();
    proxy.cutOnce({ at: 'insert', when });
    await db.query(insertOnce, [id]);
    expect(await written(id)).toBe(true);
  });

  it('within a transaction has the whole tried again', async () => {
    db = createPostgres({ url: test.url ?? '' });
    const id = randomUUID();
    let attempts = 0;
    await db.transaction(async (tx) => {
      attempts++;
      await tx.query(insert, [id]);
      if (attempts === 1) await kill(tx);
      await tx.query(countNote, [id]);
    });
    expect(attempts).toBe(2);
    expect(await written(id)).toBe(true);
  });

  it.each([
    { when: 'before', happened: false },
    { when: 'after', happened: true },
  ] as const)('$when a commit reached the server leaves the outcome to the caller', async ({ when, happened }) => {
    db = createPostgres({ url: proxy.url });
    const id = randomUUID();
    let attempts = 0;
    proxy.cutOnce({ at: 'commit\0', when });
    const work = db.transaction(async (tx) => {
      attempts++;
      await tx.query(insert, [id]);
    });
    await expect(work).rejects.toBeInstanceOf(AmbiguousCommitError);
    expect(attempts).toBe(1);
    expect(await written(id)).toBe(happened);
  });

  it.each([
    'before',
    'after',
  ] as const)('%s the commit of an idempotent transaction has it tried again', async (when) => {
    db = createPostgres({ url: proxy.url });
    const id = randomUUID();
    let attempts = 0;
    proxy.cutOnce({ at: 'commit\0', when });
    await db.transaction(
      async (tx) => {
        attempts++;
        await tx.query(insertOnce, [id]);
      },
      { idempotent: true },
    );
    expect(attempts).toBe(2);
    expect(await written(id)).toBe(true);
  });

  it('on a dedicated connection is replaced', async () => {
    db = createPostgres({ url: test.url ?? '' });
    const heartbeat = await db.dedicated('heartbeat');
    await kill(heartbeat);
    expect((await heartbeat.query(countNote, [randomUUID()])).rows).toEqual([{ count: 0 }]);
  });

  it('that is silent counts as lost after the time the statement allows', async () => {
    db = createPostgres({ url: proxy.url });
    await db.query(countNote, [randomUUID()]);
    proxy.silence();
    const startedAt = performance.now();
    const slow = db.query(statement('insert_patiently', insert.text, { timeoutMs: 300 }), [randomUUID()]);
    await expect(slow).rejects.toBeInstanceOf(AmbiguousCommitError);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    proxy.speakAgain();
    expect((await db.query(countNote, [randomUUID()])).rows).toEqual([{ count: 0 }]);
  });

  it('does not poison a name: a changed result type is planned afresh', async () => {
    db = createPostgres({ url: test.url ?? '', maxConnections: 1 });
    await db.query(statement('make_shape', 'create table shape (a int4)'));
    const look = statement('look_at_shape', 'select * from shape');
    await db.query(look);
    await test.db.query(statement('change_shape', 'alter table shape add column b int4'));
    expect((await db.query(look)).count).toBe(0);
  });
});

describe('a PostgreSQL that is not there', () => {
  it('fails the first use with where and why, without the password', async () => {
    const db = createPostgres({ url: 'postgres://scheduler:secret-word@127.0.0.1:1/app' });
    const error = await db.query(countNote, [randomUUID()]).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining('127.0.0.1:1/app') });
    expect(String(error)).toContain('ECONNREFUSED');
    expect(everythingIn(error)).not.toContain('secret-word');
    await expect(db.dedicated('heartbeat')).rejects.toMatchObject({ code: 'unavailable' });
    await expect(db.transaction(async () => 1)).rejects.toMatchObject({ code: 'unavailable' });
    await db.close();
  });

  it('does not hold up a start for ever where nothing answers', async () => {
    const silent = await startSilentServer();
    const db = createPostgres({ url: `postgres://u:secret-word@127.0.0.1:${silent.port}/app`, connectTimeoutMs: 200 });
    const error = await db.query(ownPid).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'unavailable' });
    expect(everythingIn(error)).not.toContain('secret-word');
    await db.close();
    silent.close();
  });

  it('is waited for, with growing pauses, until it answers or the signal aborts', async () => {
    const db = createPostgres({ url: 'postgres://scheduler:secret-word@127.0.0.1:1/app' });
    const stop = new AbortController();
    const pauses: number[] = [];
    const waiting = waitForDatabase(db, {
      signal: stop.signal,
      onAttempt: ({ nextInMs }) => {
        pauses.push(nextInMs);
        if (pauses.length === 3) stop.abort();
      },
    });
    await expect(waiting).rejects.toMatchObject({ code: 'unavailable' });
    expect(pauses).toEqual([500, 1_000, 2_000]);
    await db.close();
  });

  it('that refuses the role says so', async () => {
    const test = await createTestDatabase('postgres', { migrate: false });
    const url = new URL(test.url ?? '');
    url.username = 'nobody_here';
    const db = createPostgres({ url: url.href });
    await expect(db.query(ownPid)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('nobody_here'),
    });
    await db.close();
    await test.close();
  });
});

/** All that a log could print of an error. */
function everythingIn(error: unknown, depth = 0): string {
  if (typeof error !== 'object' || error === null || depth > 4) return String(error);
  return Object.getOwnPropertyNames(error)
    .map((key) => `${key}: ${everythingIn((error as Record<string, unknown>)[key], depth + 1)}`)
    .join('\n');
}

interface Proxy {
  url: string;
  /** Cuts the connection that next sends `at`: before the server gets it, or once it has answered. */
  cutOnce(cut: { at: string; when: 'before' | 'after' }): void;
  /** Passes nothing on any more. */
  silence(): void;
  speakAgain(): void;
  close(): Promise<void>;
}

async function startProxy(target: string): Promise<Proxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let cut: { at: string; when: 'before' | 'after' } | undefined;
  let silent = false;

  const server = createServer((client) => {
    const upstream = netConnect(Number(port), hostname);
    let cutAtAnswer = false;
    const drop = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', drop).on('close', drop);
    }
    client.on('data', (data) => {
      if (silent) return;
      if (cut && data.includes(cut.at)) {
        const { when } = cut;
        cut = undefined;
        if (when === 'before') return drop();
        cutAtAnswer = true;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (silent) return;
      if (cutAtAnswer) drop();
      else client.write(data);
    });
  });
  const own = await listening(server);
  const url = new URL(target);
  url.host = `127.0.0.1:${own}`;
  return {
    url: url.href,
    cutOnce(next) {
      cut = next;
    },
    silence() {
      silent = true;
    },
    speakAgain() {
      silent = false;
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

async function startSilentServer(): Promise<{ port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  const port = await listening(server);
  return {
    port,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
}
