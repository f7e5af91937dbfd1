// Pruning: what is old goes, what has to stay countable stays countable.
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { pruneHistory } from '../../src/store/prune-history.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { sql } from '../support/http-world.ts';

const day = 86_400_000;
const now = new Date('2026-06-15T12:00:00Z');
const rule = { historyMs: 90 * day, keepLast: 2, logsMs: 30 * day, occurrencesMs: 90 * day };

describe.each(databaseVariants)('pruning on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, variant.isolation ? { isolation: variant.isolation } : {});
    db = test.db;
  });
  afterAll(() => test.close());

  async function addRun(pipeline: string, ageDays: number, state: string | null = 'completed'): Promise<string> {
    const id = uuidv7();
    const at = new Date(now.getTime() - ageDays * day);
    await sql(
      db,
      `insert into cronwright.runs (id, tenant, pipeline, pipeline_version, schedule, nominal_at, nominal_count, late,
        origin, priority, queue, dry_run, created_at, state, finished_at)
      values ($1, 'default', $2, 'v', $2 || '.s', $3, 1, false, 'schedule', 5, 'default', false, $3, $4, $5)`,
      [id, pipeline, at, state, state === null ? null : at],
    );
    await sql(
      db,
      `insert into cronwright.logs (run_id, token, seq, tenant, lines, at) values ($1, 1, 1, 'default', '[]', $2)`,
      [id, at],
    );
    await sql(
      db,
      `insert into cronwright.history (run_id, seq, tenant, at, transitions) values ($1, 2, 'default', $2, '[]')`,
      [id, at],
    );
    await sql(
      db,
      `insert into cronwright.waits (run_id, step, item, key, tenant, kind, asked_by, attempt, starter_may_answer, asked_at,
        on_timeout, state, told)
      values ($1, 's', -1, 'approval/1', 'default', 'approval', 'step', 1, true, $2, 'fail', 'answered', true)`,
      [id, at],
    );
    return id;
  }
  const left = async (table: string, column: string) =>
    (await sql<{ id: string }>(db, `select distinct ${column} as id from cronwright.${table}`)).map((row) => row.id);

  it('removes old runs but the newest of each pipeline, and never a live one', async () => {
    const live = await addRun('busy', 200, null);
    const old = [await addRun('busy', 120), await addRun('busy', 110), await addRun('busy', 100)];
    const young = [await addRun('busy', 50), await addRun('busy', 1)];
    const rare = [await addRun('rare', 300), await addRun('rare', 299)];
    const result = await pruneHistory(db, rule, now);
    expect(result).toMatchObject({ runs: 3, isMore: false });
    expect((await left('runs', 'id')).sort()).toEqual([live, ...young, ...rare].sort());
    expect((await left('history', 'run_id')).sort()).toEqual([live, ...young, ...rare].sort());
    expect((await left('waits', 'run_id')).sort()).toEqual([live, ...young, ...rare].sort());
    // Logs go sooner; those of a live run stay.
    expect((await left('logs', 'run_id')).sort()).toEqual([live, young[1]].sort());
    const counts = await sql<{ n: number; rows: number }>(
      db,
      `select sum(count)::int8 as n, count(*) as rows from cronwright.occurrences where schedule = 'busy.s' and outcome = 'enqueued'`,
    );
    expect(counts).toEqual([{ n: old.length, rows: 3 }]);
    expect(await pruneHistory(db, rule, now)).toMatchObject({ runs: 0, logs: 0 });
  });

  it('turns old ranges into daily counts and keeps their sum', async () => {
    const old = new Date(now.getTime() - 100 * day);
    for (let i = 0; i < 5; i += 1) {
      const at = new Date(old.getTime() + i * 60_000);
      await sql(
        db,
        `insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
        values ($1, 'default', 'x.s', 'missed', $2, $2, 7, 'down', $2)`,
        [uuidv7(), at],
      );
    }
    expect((await pruneHistory(db, rule, now)).occurrences).toBe(1);
    const rows = await sql(db, `select count, first_at, last_at from cronwright.occurrences where schedule = 'x.s'`);
    expect(rows).toEqual([{ count: 35, first_at: old, last_at: new Date(old.getTime() + 240_000) }]);
    expect((await pruneHistory(db, rule, now)).occurrences).toBe(0);
  });

  it('counts what it removes once where two nodes prune at the same time', async () => {
    const age = 200;
    for (let i = 0; i < 40; i += 1) await addRun('twice', age + i / 1_000);
    const young = [await addRun('twice', 3), await addRun('twice', 2)];
    const at = new Date(now.getTime() - age * day);
    for (let i = 0; i < 40; i += 1) {
      await sql(
        db,
        `insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
        values ($1, 'default', 'twice.s', 'missed', $2, $2, 1, 'down', $2)`,
        [uuidv7(), at],
      );
    }
    await Promise.all([1, 2, 3].map(() => pruneHistory(db, rule, now)));
    await pruneHistory(db, rule, now);
    const counts = await sql(
      db,
      `select outcome, sum(count)::int8 as n from cronwright.occurrences where schedule = 'twice.s' group by outcome
      order by outcome`,
    );
    expect(counts).toEqual([
      { outcome: 'enqueued', n: 40 },
      { outcome: 'missed', n: 40 },
    ]);
    expect(await left('runs', 'id')).toEqual(expect.arrayContaining(young));
  });
});
