// What the queue's statements do where things go wrong or come at once, on every driver and isolation level.
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createNewRun, type NewRun, type NewRunOptions } from '../../src/domain/new-run.ts';
import { scheduleDefaults } from '../../src/domain/schedule.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { type CursorMove, commitDue } from '../../src/queue/commit-due.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { findReadyRoutes } from '../../src/queue/find-ready-routes.ts';
import { writeSchedules } from '../../src/queue/register-schedules.ts';
import { releaseRuns } from '../../src/queue/release-runs.ts';
import { replaceRuns } from '../../src/queue/replace-runs.ts';
import { expireForeignLeases, findLapsedLeases, rescueRuns } from '../../src/queue/rescue-runs.ts';
import { returnClaims, returnLostClaims } from '../../src/queue/return-claims.ts';
import {
  createTestDatabase,
  databaseVariants,
  faultyVariants,
  optionsOf,
  type TestDatabase,
} from '../support/database.ts';
import { sql, testPipeline, testSchedule } from '../support/http-world.ts';

const node = uuidv7();
const at = new Date('2026-03-01T12:00:00Z');
const schedule = 'build.hourly';

function newRun(options: Partial<NewRunOptions> = {}, overrides: Partial<NewRun> = {}): NewRun {
  return { ...createNewRun(testPipeline('build'), 'light', { origin: 'api', ...options }), ...overrides };
}

function owed(hour: number): NewRun {
  const nominalAt = new Date(at.getTime() + hour * 3_600_000);
  return newRun({ origin: 'schedule', schedule: { id: schedule, nominalAt, exclusive: true } });
}

describe.each([...databaseVariants, ...faultyVariants])('the queue in trouble on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  const claim = (overrides: Partial<Parameters<typeof claimRuns>[1]> = {}) =>
    claimRuns(db, { routes: ['default'], weight: 'light', limit: 10, node, leaseMs: 30_000, ...overrides });

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, optionsOf(variant));
    db = test.db;
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    for (const table of ['queue', 'runs', 'slots', 'step_runs', 'history', 'schedules']) {
      await sql(db, `delete from cronwright.${table}`);
    }
  });

  it('commits several runs of one schedule together: the first takes its slot, the others wait in line', async () => {
    const definition = { ...scheduleDefaults, ...testSchedule('build', 'hourly') };
    await writeSchedules(db, [{ definition, cursorAt: at, nextAt: at, error: null, isNew: true }], at);
    const move: CursorMove = {
      tenant: 'default',
      schedule,
      version: 1,
      cursorAt: new Date(at.getTime() + 3 * 3_600_000),
      nextAt: null,
      clearPause: false,
      lastRunId: null,
      lastNominalAt: null,
      error: null,
    };
    const runs = [owed(1), owed(2), owed(3)];
    const { enqueued } = await commitDue(db, { moves: [move], runs, ranges: [] });
    expect(enqueued.size).toBe(3);
    expect((await claim()).map((run) => run.runId)).toEqual([runs[0]?.id]);
    expect(await sql(db, 'select run_id from cronwright.slots')).toEqual([{ run_id: runs[0]?.id }]);
  });

  it('takes claims back that came to nothing, and counts them for nothing', async () => {
    await enqueueRuns(db, [newRun()]);
    for (let round = 1; round <= 5; round += 1) {
      const [run] = await claim();
      expect([run?.claims, run?.token]).toEqual([1, round]);
      await returnClaims(db, [{ runId: run?.runId ?? '', token: round - 1 }]);
      expect(await claim()).toEqual([]);
      await returnClaims(db, [{ runId: run?.runId ?? '', token: round }]);
    }
  });

  it('gives back claims whose answer was lost, and keeps those that the node knows of', async () => {
    await enqueueRuns(db, [newRun(), newRun(), newRun()]);
    const [known, lost] = [await claim({ limit: 1 }), await claim({ limit: 1 })];
    const other = await claim({ limit: 1, node: uuidv7() });
    await returnLostClaims(
      db,
      node,
      known.map((run) => run.runId),
    );
    const again = await claim();
    expect(again.map((run) => [run.runId, run.claims])).toEqual(lost.map((run) => [run.runId, 1]));
    expect(other).toHaveLength(1);
  });

  it('leaves runs that may be what ends nodes to others', async () => {
    const [innocent, suspect] = [newRun(), newRun({}, { priority: 1 })];
    await enqueueRuns(db, [innocent, suspect]);
    await sql(db, 'update cronwright.queue set claims = 2 where run_id = $1', [suspect.id]);
    expect((await claim({ claimsBelow: 2 })).map((run) => run.runId)).toEqual([innocent.id]);
    expect((await claim()).map((run) => [run.runId, run.claims])).toEqual([[suspect.id, 3]]);
  });

  it('lets a run wait whose cancel is being obeyed, and brings back one whose cancel is news', async () => {
    await enqueueRuns(db, [newRun(), newRun()]);
    const claimed = await claim();
    await sql(db, `update cronwright.queue set request = 'cancel'`);
    const releases = claimed.map((run, index) => ({
      runId: run.runId,
      tenant: run.tenant,
      token: run.token,
      steps: [],
      transitions: [],
      seq: 1,
      state: 'waiting' as const,
      waitKind: 'step_retry' as const,
      runAt: new Date(at.getTime() + 3_600_000),
      refundClaim: false,
      progress: 0,
      message: null,
      isCancelled: index === 0,
    }));
    await releaseRuns(db, releases, node, at);
    expect((await claim()).map((run) => run.runId)).toEqual([claimed[1]?.runId]);
  });

  it('tells of a delayed run, and of a late one, what a worker has to know', async () => {
    const late = { id: schedule, nominalAt: at, late: true, exclusive: false };
    await enqueueRuns(db, [newRun({ origin: 'schedule', schedule: late }), newRun({ runAt: at })]);
    expect((await claim()).map(({ record }) => [record?.late, record?.runAt])).toEqual([
      [true, null],
      [false, at],
    ]);
  });

  it('brings runs that wait to a worker when a newer one of their schedule takes their place', async () => {
    const [older, newer] = [owed(1), owed(2)];
    await enqueueRuns(db, [older, newer]);
    await sql(
      db,
      `update cronwright.queue set state = 'waiting', wait_kind = 'step_retry', run_at = now() + interval '1 hour' where run_id = $1`,
      [older.id],
    );
    await replaceRuns(db, [{ tenant: 'default', schedule, newest: newer.id }]);
    const claimed = await claim();
    expect(claimed.map((run) => [run.runId, run.request?.kind])).toEqual([[older.id, 'cancel']]);
    expect(await sql(db, 'select wait_kind, run_at from cronwright.queue where run_id = $1', [older.id])).toEqual([
      { wait_kind: null, run_at: null },
    ]);
  });

  it('ends the leases of others where a node is alone, and not its own', async () => {
    await enqueueRuns(db, [newRun(), newRun()]);
    const [mine] = await claim({ limit: 1 });
    const [theirs] = await claim({ limit: 1, node: uuidv7(), leaseMs: 3_600_000 });
    await expireForeignLeases(db, node);
    expect((await findLapsedLeases(db, 10)).map((lease) => lease.runId)).toEqual([theirs?.runId]);
    expect(mine?.runId).not.toBe(theirs?.runId);
  });

  it('leaves no step running in a run that became a dead letter', async () => {
    await enqueueRuns(db, [newRun()]);
    const [run] = await claim({ leaseMs: -1 });
    await sql(
      db,
      `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, started_at, rate_limited_ms)
      values ($1, 'a', -1, 'default', 'running', 1, 0, 1, now(), 0)`,
      [run?.runId],
    );
    const lease = { runId: run?.runId ?? '', token: run?.token ?? 0 };
    const result = await db.transaction((tx) => rescueRuns(tx, [lease], { node, maxClaims: 1 }));
    expect(result.deadLettered).toEqual([run?.runId]);
    expect(await sql(db, `select state, error->>'name' as name from cronwright.step_runs`)).toEqual([
      { state: 'failed', name: 'Interrupted' },
    ]);
  });

  it('names every queue where something is ready, once', async () => {
    expect(await findReadyRoutes(db)).toEqual([]);
    const queues = ['b', 'a', 'b', 'c', 'a'];
    await enqueueRuns(
      db,
      queues.map((queue) => newRun({}, { queue })),
    );
    await enqueueRuns(db, [newRun({ runAt: new Date(Date.now() + 3_600_000) }, { queue: 'later' })]);
    expect(await findReadyRoutes(db)).toEqual(['a', 'b', 'c']);
  });
});
