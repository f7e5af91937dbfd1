// The outbox in SQL: put once, claimed by one, settled by who claimed it, filled by the statement that ends a run.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { failureNotices, type Notification } from '../../src/domain/failure-notice.ts';
import { createNewRun } from '../../src/domain/new-run.ts';
import { claimOutbox, nextOutboxMs } from '../../src/queue/claim-outbox.ts';
import { type ClaimedRun, claimRuns } from '../../src/queue/claim-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { finishRuns, type RunFinish } from '../../src/queue/finish-runs.ts';
import { putOutbox } from '../../src/queue/put-outbox.ts';
import { dropFromOutbox, settleOutbox } from '../../src/queue/settle-outbox.ts';
import { tellFailures } from '../../src/queue/tell-failures.ts';
import { listOutbox } from '../../src/reads/list-outbox.ts';
import { pruneOutbox } from '../../src/store/prune-outbox.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { sql, testPipeline } from '../support/http-world.ts';

const node = randomUUID();
const at = new Date('2026-03-01T12:00:20Z');
const minutes = (count: number) => new Date(at.getTime() + count * 60_000);
const stepTypes = ['notify.webhook'];
const error = { name: 'HttpStatusError', message: 'answered 500', class: 'transient' } as const;
const notification: Notification = { uses: 'notify.webhook', with: { url: 'http://a', secret: '${{ secrets.KEY }}' } };

describe.each(databaseVariants)('the outbox on $name', ({ kind, isolation }) => {
  let test: TestDatabase;
  let db: Database;

  beforeAll(async () => {
    test = await createTestDatabase(kind, isolation === undefined ? {} : { isolation });
    db = test.db;
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    for (const table of ['outbox', 'queue', 'runs', 'history']) await sql(db, `delete from cronwright.${table}`);
  });

  async function claimedRuns(count: number): Promise<ClaimedRun[]> {
    const pipeline = testPipeline('build');
    const runs = Array.from({ length: count }, () => createNewRun(pipeline, 'light', { origin: 'api' }));
    await enqueueRuns(db, runs);
    return claimRuns(db, { routes: ['default'], weight: 'light', limit: count, node, leaseMs: 30_000, now: at });
  }

  const put = (run: ClaimedRun, idempotencyKey: string) =>
    putOutbox(
      db,
      {
        runId: run.runId,
        token: run.token,
        tenant: 'default',
        pipeline: 'build',
        step: 'tell',
        stepType: 'notify.webhook',
        input: '{"value":{},"secrets":[]}',
        idempotencyKey,
      },
      at,
    );
  const claim = (now = at, limit = 10) => claimOutbox(db, { stepTypes, limit, leaseMs: 120_000, now });

  function failed(run: ClaimedRun, finishedAt = at): RunFinish {
    const failedRun = {
      id: run.runId,
      pipeline: run.pipeline,
      tenant: run.tenant,
      schedule: null,
      state: 'failed',
      error: { name: 'Boom', message: 'it broke', step: 'build' },
      started_at: at.toISOString(),
      finished_at: finishedAt.toISOString(),
      url: '',
      more_failed: 0,
    } as const;
    return {
      runId: run.runId,
      tenant: run.tenant,
      token: run.token,
      steps: [],
      transitions: [],
      seq: 1,
      state: 'failed',
      error: { name: 'Boom', message: 'it broke', class: 'fatal' },
      startedAt: at,
      finishedAt,
      attempt: 1,
      claims: 1,
      failedItems: 0,
      progress: 0,
      message: null,
      limited: false,
      notices: failureNotices([notification], failedRun),
    };
  }

  it('takes a call once for a key, and only from the worker that holds the run', async () => {
    const [run] = (await claimedRuns(1)) as [ClaimedRun];
    const id = await put(run, 'a');
    expect(await put(run, 'a')).toBe(id);
    expect(await put(run, 'b')).not.toBe(id);
    expect(await put({ ...run, token: run.token - 1 }, 'c')).toBeUndefined();
    expect(await sql(db, 'select step, state, attempts from cronwright.outbox')).toEqual(
      Array(2).fill({ step: 'tell', state: 'pending', attempts: 0 }),
    );
  });

  it('gives a call to one of many nodes, and again once its lease is over', async () => {
    for (const run of await claimedRuns(20)) await put(run, run.runId);
    const got = await Promise.all(Array.from({ length: 5 }, () => claim()));
    const ids = got.flat().map((call) => call.id);
    const rest = (await claim(at, 20)).map((call) => call.id);
    expect(new Set([...ids, ...rest]).size).toBe(20);
    expect(ids.length + rest.length).toBe(20);
    expect(await claim(minutes(1.9))).toEqual([]);
    expect(await nextOutboxMs(db, stepTypes, minutes(1))).toBe(60_000);
    expect(await claim(minutes(2), 3)).toMatchObject(Array(3).fill({ attempts: 2, token: 2 }));
  });

  it('leaves alone what this node has no step type for', async () => {
    const [run] = (await claimedRuns(1)) as [ClaimedRun];
    await put(run, 'a');
    expect(await claimOutbox(db, { stepTypes: ['notify.email'], limit: 10, leaseMs: 1_000, now: at })).toEqual([]);
    expect(await nextOutboxMs(db, ['notify.email'], at)).toBeUndefined();
  });

  it('is settled by the last who claimed it, once', async () => {
    const [run] = (await claimedRuns(1)) as [ClaimedRun];
    await put(run, 'a');
    const [late] = await claim();
    const [call] = await claim(minutes(3));
    if (!late || !call) throw new Error('nothing claimed');
    expect(await settleOutbox(db, late, { state: 'delivered' }, at)).toBe(false);
    expect(await settleOutbox(db, call, { state: 'pending', error, delayMs: 60_000 }, minutes(3))).toBe(true);
    expect(await claim(minutes(3.9))).toEqual([]);
    const [again] = await claim(minutes(4));
    expect(again).toMatchObject({ attempts: 3 });
    await settleOutbox(db, again ?? call, { state: 'released' }, minutes(4));
    const [last] = await claim(minutes(4));
    expect(last).toMatchObject({ attempts: 3 });
    expect(await settleOutbox(db, last ?? call, { state: 'failed', error }, minutes(5))).toBe(true);
    expect(await settleOutbox(db, last ?? call, { state: 'delivered' }, minutes(5))).toBe(false);
    expect((await listOutbox(db, { tenant: null, limit: 5 })).items).toMatchObject([
      { state: 'failed', attempts: 3, error, next_at: null, finished_at: minutes(5) },
    ]);
    expect(await nextOutboxMs(db, stepTypes, at)).toBeUndefined();
  });

  it('is filled by the end of a run, once, and by nobody who has lost it', async () => {
    const [run, lost] = (await claimedRuns(2)) as [ClaimedRun, ClaimedRun];
    await finishRuns(db, [failed(run), failed({ ...lost, token: lost.token - 1 })], node, at);
    await finishRuns(db, [failed(run)], node, at);
    const rows = await sql(db, 'select run_id, step, sum_of, input from cronwright.outbox order by sum_of nulls first');
    expect(rows).toMatchObject([
      { run_id: run.runId, step: 'on_failure', sum_of: null, input: { with: notification.with } },
      { run_id: run.runId, sum_of: 1, input: { run: { id: run.runId, error: { step: 'build' } } } },
    ]);
    const [first] = await claim();
    expect(first?.runId).toBe(run.runId);
    // The sum is due after the minute, and of one it is dropped by whoever claims it.
    const [sum] = await claim(minutes(1));
    expect(sum?.sumOf).toBe(1);
    await dropFromOutbox(db, sum ?? { id: '', token: 0 });
    expect(await sql(db, 'select id from cronwright.outbox')).toHaveLength(1);
  });

  it('sums up a flood: hundreds of failures in a minute are two calls, and none is uncounted', async () => {
    const runs = await claimedRuns(400);
    const shares = Array.from({ length: 8 }, (_, i) => runs.slice(i * 50, (i + 1) * 50));
    await Promise.all(
      shares.map((share) =>
        finishRuns(
          db,
          share.map((run) => failed(run)),
          node,
          at,
        ),
      ),
    );
    const rows = await sql<{ sum_of: number | null }>(
      db,
      'select sum_of from cronwright.outbox order by sum_of nulls first',
    );
    expect(rows).toEqual([{ sum_of: null }, { sum_of: 400 }]);
    const [later] = (await claimedRuns(1)) as [ClaimedRun];
    await finishRuns(db, [failed(later, minutes(1))], node, minutes(1));
    expect(await sql(db, 'select id from cronwright.outbox')).toHaveLength(4);
  });

  it('does not touch a sum that is on its way', async () => {
    const [one, other] = (await claimedRuns(2)) as [ClaimedRun, ClaimedRun];
    await tellFailures(db, failed(one).notices ?? []);
    await claim(minutes(1));
    await tellFailures(db, failed(other).notices ?? []);
    expect(await sql(db, 'select sum_of, attempts from cronwright.outbox order by sum_of nulls first')).toEqual([
      { sum_of: null, attempts: 1 },
      { sum_of: 1, attempts: 1 },
    ]);
  });

  it('lists page by page and by state, without sums of one', async () => {
    const runs = await claimedRuns(5);
    for (const run of runs) await put(run, run.runId);
    await tellFailures(db, failed(runs[0] as ClaimedRun).notices ?? []);
    const [call] = await claim(at, 1);
    await settleOutbox(db, call ?? { id: '', token: 0 }, { state: 'delivered' }, at);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listOutbox(db, { tenant: 'default', cursor, limit: 2 });
      found.push(...page.items.map((item) => item.id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect([found.length, new Set(found).size]).toEqual([6, 6]);
    const count = async (states: ('pending' | 'delivered' | 'failed')[]) =>
      (await listOutbox(db, { tenant: null, states, limit: 50 })).items.length;
    expect([await count(['pending']), await count(['delivered']), await count(['failed', 'delivered'])]).toEqual([
      5, 1, 1,
    ]);
    expect((await listOutbox(db, { tenant: 'other', limit: 50 })).items).toEqual([]);
  });

  it('forgets what ended two weeks ago, and gives up what no node can send', async () => {
    const [run] = (await claimedRuns(1)) as [ClaimedRun];
    await put(run, 'a');
    const days = (count: number) => minutes(count * 24 * 60);
    expect(await pruneOutbox(db, days(6))).toBe(false);
    expect((await listOutbox(db, { tenant: null, limit: 5 })).items[0]?.state).toBe('pending');
    await pruneOutbox(db, days(8));
    expect((await listOutbox(db, { tenant: null, limit: 5 })).items).toMatchObject([
      { state: 'failed', error: { name: 'UnknownStepType' } },
    ]);
    await pruneOutbox(db, days(21));
    expect((await listOutbox(db, { tenant: null, limit: 5 })).items).toHaveLength(1);
    await pruneOutbox(db, days(23));
    expect((await listOutbox(db, { tenant: null, limit: 5 })).items).toEqual([]);
  });
});
