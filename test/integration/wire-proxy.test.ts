// The proxy of the fault tests: what it lets through, refuses, cuts and holds, with a real server behind it.
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Database, statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { AmbiguousCommitError } from '../../src/db/retries.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { randomFaults, startWireProxy, type WireFault, type WireProxy, type WireQuery } from '../support/wire-proxy.ts';

const insert = statement('insert_note', 'insert into notes (id) values ($1::uuid)');
const find = statement('find_note', 'select id from notes where id = $1::uuid');
const large = statement('large', `select repeat('x', $1::int4) as text`);

let test: TestDatabase;
let proxy: WireProxy;
let db: Database;
let retries: (string | undefined)[];

beforeAll(async () => {
  test = await createTestDatabase('postgres', { migrate: false });
  await test.db.query(statement('make', 'create table notes (id uuid primary key)'));
  proxy = await startWireProxy(test.url ?? '');
});
beforeEach(() => {
  retries = [];
  proxy.rules = {};
  db = createPostgres({
    url: proxy.url,
    maxConnections: 4,
    onEvent: (event) => {
      if (event.type === 'retry') retries.push(event.sqlState);
    },
  });
});
afterEach(() => db.close());
afterAll(async () => {
  await proxy?.close();
  await test?.close();
});

/** The fault for the first query that fits, none afterwards. */
function once(fault: WireFault, fits: (query: WireQuery) => boolean): void {
  let isDone = false;
  proxy.rules = {
    fault: (query) => {
      if (isDone || !fits(query)) return undefined;
      isDone = true;
      return fault;
    },
  };
}

async function isThere(id: string): Promise<boolean> {
  return (await test.db.query(find, [id])).rows.length === 1;
}

describe('the wire proxy', () => {
  it('lets pass what no rule is about, large answers and many statements at once included', async () => {
    const { rows } = await db.query<{ text: string }>(large, [3_000_000]);
    expect(rows[0]?.text.length).toBe(3_000_000);
    const ids = Array.from({ length: 50 }, () => randomUUID());
    await db.transaction(async (tx) => {
      await Promise.all(ids.map((id) => tx.query(insert, [id])));
    });
    expect((await Promise.all(ids.map(isThere))).every(Boolean)).toBe(true);
    await expect(db.query(insert, [ids[0]])).rejects.toMatchObject({ code: '23505' });
  });

  it('knows each statement by its name, and how its transaction stands', async () => {
    const seen: [string, string, boolean, readonly string[]][] = [];
    await db.query(find, [randomUUID()]);
    proxy.rules = {
      beforeForward: ({ name, state, commits, within }) => seen.push([name, state, commits, within]),
    };
    const id = randomUUID();
    await db.query(insert, [id]);
    await db
      .transaction(async (tx) => {
        await tx.query(find, [id]);
        await tx.query(insert, [id]);
      })
      .catch(() => {});
    await db.transaction((tx) => tx.query(insert, [randomUUID()]));
    expect(seen).toEqual([
      ['insert_note', 'idle', true, []],
      ['begin', 'idle', false, []],
      ['find_note', 'transaction', false, ['begin']],
      ['insert_note', 'transaction', false, ['begin', 'find_note']],
      ['rollback', 'failed', false, ['begin', 'find_note', 'insert_note']],
      ['begin', 'idle', false, []],
      ['insert_note', 'transaction', false, ['begin']],
      ['commit', 'transaction', true, ['begin', 'insert_note']],
    ]);
  });

  it.each([
    ['a statement by itself', (query: WireQuery) => query.name === 'insert_note' && query.state === 'idle'],
    ['a statement of a transaction', (query: WireQuery) => query.name === 'insert_note' && query.state !== 'idle'],
    ['a commit', (query: WireQuery) => query.name === 'commit'],
  ])('refuses %s with 40001 and leaves nothing of it, and client and server in step', async (_, fits) => {
    const ids = [randomUUID(), randomUUID(), randomUUID()];
    once('conflict', fits);
    await db.query(insert, [ids[0]]);
    await db.transaction(async (tx) => {
      // They travel together: the second meets the failed transaction.
      await Promise.all([tx.query(insert, [ids[1]]), tx.query(insert, [ids[2]])]);
    });
    expect(retries).toEqual(['40001']);
    expect(await Promise.all(ids.map(isThere))).toEqual([true, true, true]);
    expect((await db.query(find, [ids[0]])).rows).toHaveLength(1);
  });

  it.each([
    { fault: 'cut_before', happened: false },
    { fault: 'cut_after', happened: true },
  ] as const)('$fault: a write by itself and a commit', async ({ fault, happened }) => {
    const [alone, within] = [randomUUID(), randomUUID()];
    once(fault, ({ name }) => name === 'insert_note');
    await expect(db.query(insert, [alone])).rejects.toBeInstanceOf(AmbiguousCommitError);
    once(fault, ({ name }) => name === 'commit');
    await expect(db.transaction((tx) => tx.query(insert, [within]))).rejects.toBeInstanceOf(AmbiguousCommitError);
    expect([await isThere(alone), await isThere(within)]).toEqual([happened, happened]);
  });

  it('tells what was answered before the client hears of it', async () => {
    const id = randomUUID();
    let foundAtAnswer: boolean | undefined;
    let isAnswered = false;
    proxy.rules = {
      afterAnswer: async ({ name }) => {
        if (name === 'insert_note') foundAtAnswer = (await isThere(id)) && !isAnswered;
      },
    };
    await db.query(insert, [id]);
    isAnswered = true;
    expect(foundAtAnswer).toBe(true);
  });

  it('makes each query later by what it is told, and passes nothing on while it holds', async () => {
    await db.query(find, [randomUUID()]);
    proxy.rules = { delayMs: 150 };
    const from = performance.now();
    await db.query(find, [randomUUID()]);
    expect(performance.now() - from).toBeGreaterThanOrEqual(149);
    proxy.rules = {};
    proxy.hold(true);
    let isAnswered = false;
    const query = db.query(find, [randomUUID()]).then(() => {
      isAnswered = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isAnswered).toBe(false);
    proxy.hold(false);
    await query;
  });

  it('draws the same faults from the same seed, about as many as it is told', () => {
    const query = { name: 'insert_note', state: 'idle', commits: true, within: [], connection: 1, text: '' } as const;
    const asked: WireQuery = { ...query, mentions: () => false };
    const draw = () => {
      const fault = randomFaults(seededRandom(7), { conflict: 0.05, cutBefore: 0.02, cutAfter: 0.02 });
      return Array.from({ length: 10_000 }, () => fault(asked));
    };
    const drawn = draw();
    expect(draw()).toEqual(drawn);
    const share = (fault: WireFault) => drawn.filter((one) => one === fault).length / drawn.length;
    expect(share('conflict')).toBeCloseTo(0.05, 1.9);
    expect(share('cut_before')).toBeCloseTo(0.02, 1.9);
    expect(share('cut_after')).toBeCloseTo(0.02, 1.9);
  });
});
