import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bulkRuns } from '../../src/control/bulk-runs.ts';
import { type Caller, createRunStarter } from '../../src/control/start-run.ts';
import type { Database } from '../../src/db/database.ts';
import { type Queryable, type SqlValue, type Statement, statement } from '../../src/db/database.ts';
import type { RunState } from '../../src/domain/run.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { matchRuns } from '../../src/queue/match-runs.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import {
  createWorld,
  type Daemon,
  enqueueRun,
  sql,
  startDaemon,
  testPipeline,
  type World,
} from '../support/http-world.ts';
import { newRunOf } from '../support/new-run.ts';

const docs = testPipeline('docs');
const site = testPipeline('site');
const other = testPipeline('docs', { tenant: 'other' });
const caller: Caller = { tenant: 'default', actor: 'maria', origin: 'api' };

interface Answer {
  count: number | null;
  runs: { id: string; pipeline: string; state: RunState; created_at: string }[];
  done: number;
  skipped: number;
  failed: number;
  details: { id: string; outcome: string; reason: string }[];
  next_cursor: string | null;
}

describe.each(engineVariants)('verbs in bulk on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  let world: World;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind);
    db = test.db;
    world = await createWorld(db, [docs, site, other]);
    daemon = await startDaemon(world);
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });
  beforeEach(async () => {
    for (const table of ['queue', 'runs', 'history', 'slots', 'step_runs', 'pauses']) {
      await sql(db, `delete from cronwright.${table}`);
    }
  });

  const bulk = (body: Record<string, unknown>) =>
    daemon.post<Answer & { detail: string }>('/runs/bulk', body, { 'cronwright-actor': 'maria' });

  async function failed(pipeline = docs): Promise<string> {
    const { id } = await enqueueRun(db, pipeline);
    await sql(db, 'delete from cronwright.queue where run_id = $1', [id]);
    await sql(
      db,
      "update cronwright.runs set state = 'failed', failure = 'failed', finished_at = now() where id = $1",
      [id],
    );
    return id;
  }

  async function states(): Promise<Record<string, number>> {
    const rows = await sql<{ state: string; n: number }>(
      db,
      `select coalesce(r.state, q.state) as state, count(*) as n
      from cronwright.runs r left join cronwright.queue q on q.run_id = r.id group by 1`,
    );
    return Object.fromEntries(rows.map((row) => [row.state, Number(row.n)]));
  }

  it('reads live runs on from where it was, and none before', async () => {
    const made = [];
    for (let i = 0; i < 300; i += 1) made.push(newRunOf('default', { pipeline: 'docs' }));
    await enqueueRuns(db, made);
    await sql(db, 'analyze cronwright.queue');
    await sql(db, 'analyze cronwright.runs');
    let plan = '';
    const looking: Queryable = {
      async query<Row>(one: Statement, params: readonly SqlValue[] = []) {
        const text = `explain (analyze, timing off) ${one.text}`;
        const { rows } = await db.query<{ 'QUERY PLAN': string }>(
          statement('explain', text, { prepare: false }),
          params,
        );
        plan = rows.map((row) => row['QUERY PLAN']).join('\n');
        return db.query<Row>(one, params);
      },
    };
    const after = made[289]?.id ?? null;
    const none = { pipeline: null, schedule: null, origins: null, from: null, to: null, ids: null };
    const found = await matchRuns(looking, { ...none, tenant: 'default', states: ['pending'], after }, 100);
    expect(found.map(({ id }) => id)).toEqual(made.slice(290).map(({ id }) => id));
    // Of the queue no row before it is joined with its record.
    expect(plan).toMatch(/run_id > '/);
  });

  it('shows how many and which first, and changes nothing', async () => {
    for (let i = 0; i < 25; i += 1) await enqueueRun(db, docs);
    await enqueueRun(db, site);
    await enqueueRun(db, other);
    const { status, body } = await bulk({ action: 'pause', filter: { pipeline: 'docs' }, preview: true });
    expect([status, body.count, body.runs.length, body.done]).toEqual([200, 25, 20, 0]);
    expect(body.runs.map((run) => run.id)).toEqual(body.runs.map((run) => run.id).toSorted());
    expect(body.runs[0]).toMatchObject({ pipeline: 'docs', state: 'pending', created_at: expect.stringMatching(/Z$/) });
    expect(await states()).toEqual({ pending: 27 });
  });

  it('pauses, resumes, prioritizes and cancels what matches, of this tenant alone', async () => {
    for (let i = 0; i < 3; i += 1) await enqueueRun(db, docs);
    await enqueueRun(db, site);
    await enqueueRun(db, other);
    expect((await bulk({ action: 'pause', filter: { pipeline: 'docs' }, expected: 3 })).body.done).toBe(3);
    expect(await states()).toEqual({ paused: 3, pending: 2 });
    expect((await bulk({ action: 'priority', filter: { states: ['paused'] }, priority: 1 })).body.done).toBe(3);
    const [urgent] = await sql<{ n: number }>(db, 'select count(*) as n from cronwright.queue where priority = 1');
    expect(Number(urgent?.n)).toBe(3);
    expect((await bulk({ action: 'resume', filter: { pipeline: 'docs' } })).body.done).toBe(3);
    expect(await states()).toEqual({ pending: 5 });
    expect((await bulk({ action: 'cancel', filter: { origins: ['api'] }, reason: 'all wrong' })).body.done).toBe(4);
    expect(await states()).toEqual({ cancelled: 4, pending: 1 });
  });

  it('does nothing where another number matches than the preview said', async () => {
    await enqueueRun(db, docs);
    await enqueueRun(db, docs);
    const { status, body } = await bulk({ action: 'cancel', filter: { pipeline: 'docs' }, expected: 1 });
    expect([status, body]).toMatchObject([
      409,
      { expected: 1, count: 2, detail: expect.stringContaining('nothing was done') },
    ]);
    expect(await states()).toEqual({ pending: 2 });
  });

  it('says which runs it left and why', async () => {
    const first = await enqueueRun(db, docs);
    const ended = await failed();
    const { body } = await bulk({ action: 'pause', filter: { ids: [first.id, ended], states: ['pending', 'failed'] } });
    expect([body.count, body.done, body.skipped, body.failed]).toEqual([2, 1, 1, 0]);
    expect(body.details).toEqual([
      { id: ended, outcome: 'skipped', reason: expect.stringContaining('is failed and cannot become paused') },
    ]);
  });

  it('retries each of many failed runs once, although they stay failed and time runs out between', async () => {
    const ids = await Promise.all(Array.from({ length: 7 }, () => failed()));
    const starter = createRunStarter(world.control);
    const request = { action: 'retry', filter: { pipeline: 'docs' }, preview: false } as const;
    let answer = await bulkRuns(starter, request, caller, { batch: 2, budgetMs: 0 });
    let done = answer.done;
    let calls = 1;
    // What was retried fails at once: as a new run it is none of this list.
    while (answer.nextCursor !== null) {
      await sql(db, "update cronwright.runs set state = 'failed', failure = 'failed' where state is null");
      await sql(db, 'delete from cronwright.queue');
      answer = await bulkRuns(starter, { ...request, cursor: answer.nextCursor }, caller, { batch: 2, budgetMs: 0 });
      done += answer.done;
      calls += 1;
    }
    expect([done, calls]).toEqual([7, 4]);
    const parents = await sql<{ parent_id: string }>(
      db,
      'select parent_id from cronwright.runs where parent_id is not null',
    );
    expect(parents.map((row) => row.parent_id).toSorted()).toEqual(ids.toSorted());
  });

  it('matches by time and by several states', async () => {
    const old = await failed();
    await sql(db, "update cronwright.runs set created_at = now() - interval '2 days' where id = $1", [old]);
    const recent = await failed(site);
    const since = new Date(Date.now() - 86_400_000).toISOString();
    const match = async (filter: Record<string, unknown>) =>
      (await bulk({ action: 'retry', filter, preview: true })).body.runs.map((run) => run.id);
    expect(await match({ from: since })).toEqual([recent]);
    expect(await match({ to: since })).toEqual([old]);
    expect(await match({ states: ['failed', 'completed', 'pending'] })).toEqual([old, recent]);
    expect(await match({ pipeline: 'site', to: since })).toEqual([]);
  });

  it('refuses a filter that names nothing, unknown words, and a priority without a number', async () => {
    const empty = await bulk({ action: 'cancel', filter: {} });
    expect([empty.status, empty.body.detail]).toEqual([400, expect.stringContaining('the filter is empty')]);
    expect((await bulk({ action: 'cancel', filter: { state: 'failed' } })).status).toBe(400);
    expect((await bulk({ action: 'cancel', filter: { states: ['faled'] } })).status).toBe(400);
    expect((await bulk({ action: 'delete', filter: { pipeline: 'docs' } })).status).toBe(400);
    expect((await bulk({ action: 'priority', filter: { pipeline: 'docs' } })).body.detail).toContain(
      'priority: missing',
    );
    expect((await bulk({ action: 'cancel', filter: { pipeline: 'docs' }, cursor: 'x' })).status).toBe(400);
  });

  it.each([
    ['retry', { rollback: true }],
    ['retry', { reason: 'why not' }],
    ['pause', { priority: 1 }],
    ['pause', { rollback: true }],
    ['pause', { to: 'fetch' }],
    ['resume', { force: true }],
    ['cancel', { to: 'fetch' }],
    ['priority', { priority: 3, to: 'fetch' }],
    ['rollback', { rollback: true }],
  ])('refuses %s with %j, naming both, and does nothing', async (action, own) => {
    await failed();
    await enqueueRun(db, docs);
    const { status, body } = await bulk({ action, filter: { pipeline: 'docs' }, ...own });
    const field = Object.keys(own).at(-1);
    expect([status, body.detail]).toEqual([
      400,
      expect.stringMatching(new RegExp(`^${field}: ${action} does not take it .*of its own only `)),
    ]);
    expect(await states()).toEqual({ failed: 1, pending: 1 });
  });

  it('retries a failed run once: what has a retry that lives or has completed is left, naming it', async () => {
    const ids = [await failed(), await failed()];
    const again = () => bulk({ action: 'retry', filter: { states: ['failed'], pipeline: 'docs' } });
    expect((await again()).body).toMatchObject({ done: 2, skipped: 0 });
    const retries = await sql<{ id: string; parent_id: string }>(
      db,
      "select id, parent_id from cronwright.runs where origin = 'retry'",
    );
    const retryOf = (id: string) => retries.find((one) => one.parent_id === id)?.id ?? '';
    const [lives = '', completed = ''] = ids;
    await sql(db, 'delete from cronwright.queue where run_id = $1', [retryOf(completed)]);
    await sql(db, "update cronwright.runs set state = 'completed' where id = $1", [retryOf(completed)]);
    const { body } = await again();
    expect(body).toMatchObject({ count: 2, done: 0, skipped: 2, failed: 0 });
    expect(body.details).toEqual(
      expect.arrayContaining([
        { id: lives, outcome: 'skipped', reason: expect.stringContaining(`its retry "${retryOf(lives)}" is pending`) },
        {
          id: completed,
          outcome: 'skipped',
          reason: expect.stringContaining(`its retry "${retryOf(completed)}" has completed`),
        },
      ]),
    );
    const forced = await bulk({ action: 'retry', filter: { states: ['failed'], pipeline: 'docs' }, force: true });
    expect(forced.body).toMatchObject({ done: 2, skipped: 0 });
  });

  it('of a line of retries that ended badly retries the newest alone', async () => {
    const first = await failed();
    const second = (await daemon.post<{ id: string }>(`/runs/${first}/retry`)).body.id;
    await sql(db, 'delete from cronwright.queue');
    await sql(db, "update cronwright.runs set state = 'failed', failure = 'failed' where id = $1", [second]);
    const { body } = await bulk({ action: 'retry', filter: { states: ['failed'] } });
    expect(body).toMatchObject({ count: 2, done: 1, skipped: 1 });
    expect(body.details[0]).toMatchObject({ id: first, reason: expect.stringContaining(`"${second}" is failed`) });
    const [third] = await sql(db, 'select parent_id from cronwright.runs where state is null');
    expect(third).toEqual({ parent_id: second });
  });
});
