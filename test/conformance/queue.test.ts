// One suite for the queue's operations, on every driver and isolation level.
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import type { NewRun } from '../../src/domain/new-run.ts';
import { admitRuns, findBlockedKeys } from '../../src/queue/admit-runs.ts';
import { beatNode } from '../../src/queue/beat-node.ts';
import { type ClaimedRun, claimRuns } from '../../src/queue/claim-runs.ts';
import { type CursorMove, commitDue } from '../../src/queue/commit-due.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import type { FencedWrite, StepWrite } from '../../src/queue/fenced-write.ts';
import { findDueSchedules } from '../../src/queue/find-due-schedules.ts';
import { findReadyRoutes } from '../../src/queue/find-ready-routes.ts';
import { finishRuns, type RunFinish } from '../../src/queue/finish-runs.ts';
import { loadLastSeq, loadSteps } from '../../src/queue/load-runs.ts';
import { leaveNode, registerNode } from '../../src/queue/register-node.ts';
import { writeSchedules } from '../../src/queue/register-schedules.ts';
import { type RunRelease, releaseRuns } from '../../src/queue/release-runs.ts';
import { findLapsedLeases, rescueRuns } from '../../src/queue/rescue-runs.ts';
import { returnClaims, setAsideRuns } from '../../src/queue/return-claims.ts';
import { setLimits } from '../../src/queue/set-limits.ts';
import { findPinnedHomes, unpinOverdueRuns, unpinRunsOf } from '../../src/queue/unpin-runs.ts';
import { nextTimerMs, wakeRuns } from '../../src/queue/wake-runs.ts';
import { writeCheckpoints } from '../../src/queue/write-checkpoints.ts';
import { queueStatus } from '../../src/reads/queue-status.ts';
import {
  createTestDatabase,
  databaseVariants,
  faultyVariants,
  optionsOf,
  type TestDatabase,
} from '../support/database.ts';
import { sql, testSchedule } from '../support/http-world.ts';
import { newRunOf } from '../support/new-run.ts';

const node = uuidv7();
const home = uuidv7();
const at = new Date('2026-03-01T12:00:00Z');

const newRun = (overrides: Partial<NewRun> = {}): NewRun => newRunOf('default', overrides);

function step(name: string, overrides: Partial<StepWrite> = {}): StepWrite {
  return {
    step: name,
    item: -1,
    state: 'completed',
    attempts: 1,
    retries: 0,
    output: { from: name },
    error: null,
    startedAt: at,
    finishedAt: at,
    retryAt: null,
    rateLimitedMs: 0,
    ...overrides,
  };
}

function write(run: ClaimedRun, steps: StepWrite[], seq = 2): FencedWrite {
  const transitions = [{ event: 'step.completed', at: at.getTime() }];
  return { runId: run.runId, tenant: run.tenant, token: run.token, steps, transitions, seq };
}

function finish(run: ClaimedRun, overrides: Partial<RunFinish> = {}): RunFinish {
  return {
    ...write(run, [step('last')], 3),
    state: 'completed',
    error: null,
    startedAt: at,
    finishedAt: at,
    attempt: 1,
    claims: run.token,
    failedItems: 0,
    progress: 100,
    message: null,
    limited: run.limits !== null,
    ...overrides,
  };
}

function release(run: ClaimedRun, overrides: Partial<RunRelease> = {}): RunRelease {
  return {
    ...write(run, []),
    state: 'pending',
    waitKind: null,
    runAt: null,
    refundClaim: true,
    progress: 0,
    message: null,
    ...overrides,
  };
}

describe.each([...databaseVariants, ...faultyVariants])('the queue on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  const claim = (limit = 10, overrides: Partial<Parameters<typeof claimRuns>[1]> = {}) =>
    claimRuns(db, { routes: ['default'], weight: 'light', limit, node, leaseMs: 30_000, ...overrides });
  const claimOne = async () => {
    const [run] = await claim(1);
    if (!run) throw new Error('nothing to claim');
    return run;
  };

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, optionsOf(variant));
    db = test.db;
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    for (const table of ['queue', 'runs', 'slots', 'step_runs', 'history', 'schedules', 'occurrences', 'nodes']) {
      await sql(db, `delete from cronwright.${table}`);
    }
  });

  it('enqueues a run once however often it is sent', async () => {
    const run = newRun({ inputs: { text: 'a "quoted" {value},\n\\ ünïcode' } });
    expect(await enqueueRuns(db, [run])).toEqual([run.id]);
    expect(await enqueueRuns(db, [run, newRun()])).toHaveLength(1);
    const claimed = await claim();
    expect(claimed).toHaveLength(2);
    expect(claimed.find((one) => one.runId === run.id)?.record?.inputs).toEqual(run.inputs);
  });

  it('does not bring a finished run back when its enqueue is repeated', async () => {
    const run = newRun();
    await enqueueRuns(db, [run]);
    await finishRuns(db, [finish(await claimOne())], node, at);
    expect(await enqueueRuns(db, [run])).toEqual([]);
    expect(await claim()).toEqual([]);
  });

  it('claims by priority, and first in first out within one', async () => {
    const runs = [5, 1, 10, 5, 1].map((priority) => newRun({ priority }));
    await enqueueRuns(db, runs);
    const expected = [runs[1], runs[4], runs[0], runs[3], runs[2]].map((run) => run?.id);
    expect((await claim()).map((run) => run.runId)).toEqual(expected);
  });

  it('claims only the queues and the weight it is asked for', async () => {
    const heavy = newRun({ weight: 'heavy' });
    const other = newRun({ queue: 'reports' });
    await enqueueRuns(db, [heavy, other]);
    expect(await claim()).toEqual([]);
    expect((await claim(10, { routes: ['reports', 'default'] })).map((run) => run.runId)).toEqual([other.id]);
    expect((await claim(10, { weight: 'heavy' })).map((run) => run.runId)).toEqual([heavy.id]);
  });

  it('keeps runs that ask for labels on a route of their own, under the name of their queue', async () => {
    const labelled = newRun({ runsOn: ['linux', 'gpu'] });
    await enqueueRuns(db, [labelled, newRun({ queue: 'reports', runsOn: ['gpu'] })]);
    expect(await claim()).toEqual([]);
    expect(await findReadyRoutes(db)).toEqual(['default{gpu,linux}', 'reports{gpu}']);
    expect((await queueStatus(db, null)).by_queue).toEqual({ default: { pending: 1 }, reports: { pending: 1 } });
    const [run] = await claim(10, { routes: ['default', 'default{gpu,linux}'] });
    expect([run?.runId, run?.queue]).toEqual([labelled.id, 'default']);
    expect(await sql(db, 'select queue from cronwright.runs where id = $1', [labelled.id])).toEqual([
      { queue: 'default' },
    ]);
  });

  it('claims the best first over all routes of a node', async () => {
    const runs = [newRun({ priority: 5 }), newRun({ priority: 1, runsOn: ['gpu'] }), newRun({ priority: 3 })];
    await enqueueRuns(db, runs);
    const claimed = await claim(2, { routes: ['default', 'default{gpu}', `default@${home}`] });
    expect(claimed.map((run) => run.runId)).toEqual([runs[1]?.id, runs[2]?.id]);
  });

  /** A run that has files in `home`, waits until `at` and goes on then. */
  async function pinnedRun(overrides: Partial<NewRun> = {}): Promise<string> {
    const fresh = newRun(overrides);
    await enqueueRuns(db, [fresh]);
    const [run] = (await claim(1, { routes: ['default', 'default{gpu}'] })) as [ClaimedRun];
    expect(run.home).toBeNull();
    const pinned = { state: 'waiting', waitKind: 'step_retry', runAt: at, refundClaim: false, isPinned: true } as const;
    expect((await releaseRuns(db, [release(run, { ...pinned, home })], node, at)).size).toBe(1);
    return fresh.id;
  }

  it('keeps a run with files for the node that has them, and says where they are', async () => {
    const id = await pinnedRun({ runsOn: ['gpu'] });
    await wakeRuns(db, { limit: 10, node, now: at });
    expect(await claim(10, { routes: ['default', 'default{gpu}', `default{gpu}@${uuidv7()}`] })).toEqual([]);
    expect(await findReadyRoutes(db)).toEqual([`default{gpu}@${home}`]);
    const [run] = await claim(10, { routes: ['default{gpu}', `default{gpu}@${home}`] });
    expect([run?.runId, run?.queue, run?.home]).toEqual([id, 'default', home]);
    // A node that leaves gives it to all.
    await releaseRuns(db, [release(run as ClaimedRun, { home })], node, at);
    const [again] = await claim(10, { routes: ['default{gpu}'] });
    expect([again?.runId, again?.home]).toEqual([id, home]);
  });

  it('gives a pinned run to all once it could go on for too long', async () => {
    const id = await pinnedRun();
    const wokenAt = new Date(at.getTime() + 3_600_000);
    // Waiting for its time is not waiting for its node.
    expect(await unpinOverdueRuns(db, 30_000, wokenAt)).toBe(0);
    await wakeRuns(db, { limit: 10, node, now: wokenAt });
    expect(await unpinOverdueRuns(db, 30_000, new Date(wokenAt.getTime() + 30_000))).toBe(0);
    expect(await unpinOverdueRuns(db, 30_000, new Date(wokenAt.getTime() + 30_001))).toBe(1);
    expect(await findPinnedHomes(db)).toEqual([]);
    const [run] = await claim();
    expect([run?.runId, run?.home]).toEqual([id, home]);
  });

  it('gives the runs pinned to a node that is gone to all, but not those that it runs', async () => {
    const [waiting, running] = [await pinnedRun(), await pinnedRun()];
    await wakeRuns(db, { limit: 10, node, now: at });
    await sql(db, `update cronwright.queue set state = 'running' where run_id = $1`, [running]);
    expect(await findPinnedHomes(db)).toEqual([home]);
    expect(await unpinRunsOf(db, [uuidv7()])).toBe(0);
    expect(await unpinRunsOf(db, [home])).toBe(1);
    expect((await claim()).map((run) => run.runId)).toEqual([waiting]);
  });

  it('names every directory that runs are pinned to once', async () => {
    await pinnedRun();
    await pinnedRun();
    const other = uuidv7();
    await sql(db, `update cronwright.queue set home = $2 where run_id = $1`, [await pinnedRun(), other]);
    expect(await findPinnedHomes(db)).toEqual([home, other].sort());
  });

  it('gives what is pinned to a node to all when it leaves', async () => {
    await registerNode(db, {
      id: node,
      name: 'n',
      version: '1',
      workers: 1,
      inFlight: 1,
      queues: ['default'],
      labels: ['gpu', 'linux'],
      home,
      configHash: '',
    });
    expect(await sql(db, 'select queues, labels, home from cronwright.nodes')).toEqual([
      { queues: ['default'], labels: ['gpu', 'linux'], home },
    ]);
    const id = await pinnedRun();
    await wakeRuns(db, { limit: 10, node, now: at });
    await leaveNode(db, { id: node, home });
    expect((await claim()).map((run) => run.runId)).toEqual([id]);
  });

  it('gives a rescued run to all, and holds the directory of the dead node for the newest files', async () => {
    const dead = { id: uuidv7(), name: 'd', version: '1', workers: 1, inFlight: 1, queues: null, labels: [] };
    const deadHome = uuidv7();
    await registerNode(db, { ...dead, home: deadHome, configHash: '' });
    const id = await pinnedRun();
    await wakeRuns(db, { limit: 10, node, now: at });
    const [run] = (await claim(1, { routes: [`default@${home}`], node: dead.id, leaseMs: -1 })) as [ClaimedRun];
    await db.transaction((tx) => rescueRuns(tx, [run], { node, maxClaims: 3 }));
    const [again] = await claim();
    expect([again?.runId, again?.home]).toEqual([id, deadHome]);
  });

  it('sets runs of a version aside for other nodes, and counts the claim for nothing', async () => {
    const [first, other, labelled] = [newRun(), newRun({ pipelineVersion: 'v2' }), newRun({ runsOn: ['gpu'] })];
    await enqueueRuns(db, [first, other, labelled]);
    const routes = ['default', 'default{gpu}'];
    const claimed = await claim(10, { routes });
    const refused = claimed.filter((run) => run.pipelineVersion === 'v1');
    await setAsideRuns(db, refused);
    await returnClaims(
      db,
      claimed.filter((run) => !refused.includes(run)),
    );
    expect((await claim(10, { routes })).map((run) => run.runId)).toEqual([other.id]);
    expect(await findReadyRoutes(db)).toEqual(['default#v1', 'default{gpu}#v1']);
    const taken = await claim(10, { routes: ['default#v1', 'default{gpu}#v1'] });
    expect(taken.map((run) => [run.runId, run.claims, run.queue])).toEqual([
      [first.id, 1, 'default'],
      [labelled.id, 1, 'default'],
    ]);
    // Set aside twice is set aside once; a claim that is another's by now is not given back.
    await setAsideRuns(db, refused);
    expect(await sql(db, `select count(*) as n from cronwright.queue where state = 'running'`)).toEqual([{ n: 3 }]);
    await setAsideRuns(db, taken);
    expect(await findReadyRoutes(db)).toEqual(['default#v1', 'default{gpu}#v1']);
  });

  it('never gives one run to two claimers', async () => {
    const runs = Array.from({ length: 400 }, () => newRun());
    await enqueueRuns(db, runs);
    const claimed: string[] = [];
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let empty = 0; empty < 3; ) {
          const got = await claim(25);
          empty = got.length === 0 ? empty + 1 : 0;
          claimed.push(...got.map((run) => run.runId));
        }
      }),
    );
    expect(new Set(claimed).size).toBe(claimed.length);
    expect([...claimed].sort()).toEqual(runs.map((run) => run.id).sort());
  });

  it('holds a delayed run back until its time', async () => {
    const later = newRun({ runAt: new Date(at.getTime() + 60_000) });
    await enqueueRuns(db, [later], at);
    expect(await claim()).toEqual([]);
    expect(await wakeRuns(db, { limit: 10, node, now: at })).toEqual([]);
    expect(await nextTimerMs(db, at)).toBe(60_000);
    const woken = await wakeRuns(db, { limit: 10, node, now: new Date(at.getTime() + 60_000) });
    expect(woken.map((run) => run.runId)).toEqual([later.id]);
    expect((await claim()).map((run) => run.runId)).toEqual([later.id]);
    expect((await loadLastSeq(db, [later.id])).get(later.id)).toBe(2);
  });

  it('admits no more runs than there are slots, best first', async () => {
    await setLimits(db, [{ tenant: 'default', key: 'pipeline:build', limit: 3 }]);
    const runs = [7, 3, 5, 1, 9].map((priority) => newRun({ priority, limits: ['pipeline:build'] }));
    await enqueueRuns(db, runs);
    expect(await claim()).toEqual([]);
    const keys = await findBlockedKeys(db);
    expect(keys).toEqual([{ tenant: 'default', key: 'pipeline:build' }]);
    expect(await admitRuns(db, keys)).toHaveLength(3);
    const claimed = await claim();
    expect(claimed.map((run) => run.priority)).toEqual([1, 3, 5]);
    expect(await admitRuns(db, keys)).toEqual([]);
    const { freed } = await finishRuns(db, [finish(claimed[0] as ClaimedRun)], node, at);
    expect(freed).toEqual(keys);
    expect(await admitRuns(db, freed)).toEqual([runs[0]?.id]);
  });

  it('holds a limit while many admit and finish at once', async () => {
    await setLimits(db, [{ tenant: 'default', key: 'group:db', limit: 3 }]);
    const total = 60;
    await enqueueRuns(
      db,
      Array.from({ length: total }, () => newRun({ limits: ['group:db'] })),
    );
    let most = 0;
    let done = 0;
    const deadline = Date.now() + 30_000;
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        while (done < total && Date.now() < deadline) {
          await admitRuns(db, await findBlockedKeys(db));
          const got = await claim(2);
          const [live] = await sql<{ n: number }>(
            db,
            `select count(*) as n from cronwright.queue where state = 'running'`,
          );
          most = Math.max(most, live?.n ?? 0);
          const ends = got.map((run) => finish(run));
          const { finished, freed } = await finishRuns(db, ends, node, at);
          done += finished.size;
          await admitRuns(db, freed);
        }
      }),
    );
    expect(done).toBe(total);
    expect(most).toBeLessThanOrEqual(3);
    expect(most).toBeGreaterThan(0);
  });

  it('gives a run its slots all together or not at all', async () => {
    await setLimits(db, [
      { tenant: 'default', key: 'pipeline:a', limit: 1 },
      { tenant: 'default', key: 'group:b', limit: 1 },
    ]);
    const both = newRun({ limits: ['pipeline:a', 'group:b'] });
    const onlyB = newRun({ limits: ['group:b'] });
    const onlyA = newRun({ limits: ['pipeline:a'] });
    await enqueueRuns(db, [onlyB]);
    await admitRuns(db, await findBlockedKeys(db));
    const holder = await claimOne();
    await enqueueRuns(db, [both, onlyA]);
    // `both` finds a free and b taken: it moves to b's line, and a goes to the next in line.
    expect(await admitRuns(db, await findBlockedKeys(db))).toEqual([onlyA.id]);
    const second = await claimOne();
    expect(second.runId).toBe(onlyA.id);
    expect(await admitRuns(db, (await finishRuns(db, [finish(holder)], node, at)).freed)).toEqual([]);
    expect(await admitRuns(db, (await finishRuns(db, [finish(second)], node, at)).freed)).toEqual([both.id]);
  });

  it('makes steps durable for the holder and refuses a stale token', async () => {
    await enqueueRuns(db, [newRun()]);
    const run = await claimOne();
    const accepted = await writeCheckpoints(db, [write(run, [step('a')])], node, at);
    expect([...accepted]).toEqual([run.runId]);
    const stale = { ...run, token: run.token - 1 };
    expect((await writeCheckpoints(db, [write(stale, [step('b')], 3)], node, at)).size).toBe(0);
    const steps = (await loadSteps(db, [run.runId])).get(run.runId) ?? [];
    expect(steps.map((one) => [one.step, one.state, one.output])).toEqual([['a', 'completed', { from: 'a' }]]);
    expect((await loadLastSeq(db, [run.runId])).get(run.runId)).toBe(2);
  });

  it('never replaces what a step came to by its beginning, in whatever order the writes arrive', async () => {
    await enqueueRuns(db, [newRun()]);
    const run = await claimOne();
    await writeCheckpoints(db, [write(run, [step('a')])], node, at);
    const begun = step('a', { state: 'running', output: undefined, finishedAt: null });
    await writeCheckpoints(db, [write(run, [begun], 3)], node, at);
    expect((await loadSteps(db, [run.runId])).get(run.runId)?.[0]?.state).toBe('completed');
    // In one batch the later of two writes of a step stays.
    await writeCheckpoints(
      db,
      [write(run, [step('b', { state: 'running' })], 4), write(run, [step('b')], 5)],
      node,
      at,
    );
    const steps = (await loadSteps(db, [run.runId])).get(run.runId) ?? [];
    expect(steps.map((one) => one.state)).toEqual(['completed', 'completed']);
  });

  it('ends a run exactly once', async () => {
    await enqueueRuns(db, [newRun(), newRun()]);
    const [one, other] = (await claim()) as [ClaimedRun, ClaimedRun];
    const failure = { name: 'Boom', message: 'it broke', class: 'fatal' } as const;
    const { finished } = await finishRuns(
      db,
      [finish(one), finish(other, { state: 'failed', error: failure })],
      node,
      at,
    );
    expect(finished.size).toBe(2);
    expect((await finishRuns(db, [finish(one, { state: 'failed' })], node, at)).finished.size).toBe(0);
    const rows = await sql(db, 'select state, failure, error, progress from cronwright.runs order by id');
    expect(rows).toEqual([
      { state: 'completed', failure: null, error: null, progress: 100 },
      { state: 'failed', failure: 'failed', error: failure, progress: 100 },
    ]);
    expect(await sql(db, 'select * from cronwright.queue')).toEqual([]);
  });

  it('keeps the slots of a run that is released, and refunds the claim of a shutdown', async () => {
    await setLimits(db, [{ tenant: 'default', key: 'pipeline:build', limit: 1 }]);
    await enqueueRuns(db, [newRun({ limits: ['pipeline:build'] }), newRun({ limits: ['pipeline:build'] })]);
    await admitRuns(db, await findBlockedKeys(db));
    const run = await claimOne();
    expect((await releaseRuns(db, [release(run)], node, at)).size).toBe(1);
    expect(await admitRuns(db, await findBlockedKeys(db))).toEqual([]);
    const again = await claimOne();
    expect([again.runId, again.token, again.claims]).toEqual([run.runId, run.token + 1, 1]);
    expect((await releaseRuns(db, [release(run)], node, at)).size).toBe(0);
  });

  it('does not lose a cancel that comes while the worker lets go', async () => {
    await enqueueRuns(db, [newRun()]);
    const run = await claimOne();
    await sql(db, `update cronwright.queue set request = 'cancel', request_by = 'ada', request_reason = 'wrong input'`);
    await releaseRuns(
      db,
      [release(run, { state: 'waiting', waitKind: 'step_retry', runAt: new Date(at.getTime() + 3e6) })],
      node,
      at,
    );
    const again = await claimOne();
    expect(again.request).toEqual({ kind: 'cancel', by: 'ada', reason: 'wrong input' });
  });

  it('extends leases, and tells which are lost and what people asked for', async () => {
    await registerNode(db, {
      id: node,
      name: 'n',
      version: '1',
      workers: 1,
      inFlight: 1,
      queues: null,
      labels: [],
      home,
      configHash: '',
    });
    await enqueueRuns(db, [newRun(), newRun()]);
    const [mine, lost] = (await claim(2, { leaseMs: 1 })) as [ClaimedRun, ClaimedRun];
    await sql(db, `update cronwright.queue set token = token + 1 where run_id = $1`, [lost.runId]);
    await sql(db, `update cronwright.queue set request = 'cancel' where run_id = $1`, [mine.runId]);
    const beat = await beatNode(db, {
      node,
      leaseMs: 60_000,
      leases: [mine, lost].map((run) => ({
        runId: run.runId,
        token: run.token,
        step: 'a',
        progress: 40,
        message: 'half way',
        progressAt: at,
      })),
    });
    expect([...beat.kept]).toEqual([mine.runId]);
    expect(beat.requests.map((request) => [request.runId, request.request])).toEqual([[mine.runId, 'cancel']]);
    expect((await findLapsedLeases(db, 10)).map((lease) => lease.runId)).toEqual([lost.runId]);
    expect(await sql(db, 'select beat from cronwright.nodes')).toEqual([{ beat: 1 }]);
  });

  it('rescues a lapsed run with a higher token, and ends one that never gets anywhere', async () => {
    await enqueueRuns(db, [newRun()]);
    const rescue = (lease: { runId: string; token: number }) =>
      db.transaction((tx) => rescueRuns(tx, [lease], { node, maxClaims: 3 }));
    for (let claims = 1; claims <= 3; claims += 1) {
      const [run] = await claim(1, { leaseMs: -1 });
      expect(run?.claims).toBe(claims);
      const [lease] = await findLapsedLeases(db, 10);
      const result = await rescue(lease as { runId: string; token: number });
      expect([result.rescued.length, result.deadLettered.length]).toEqual(claims < 3 ? [1, 0] : [0, 1]);
    }
    expect(await sql(db, 'select state, failure from cronwright.runs')).toEqual([
      { state: 'dead_letter', failure: 'dead_letter' },
    ]);
    expect(await sql(db, 'select * from cronwright.queue')).toEqual([]);
  });

  it('counts claims anew after durable progress', async () => {
    await enqueueRuns(db, [newRun()]);
    for (let round = 0; round < 5; round += 1) {
      const [run] = (await claim(1, { leaseMs: -1 })) as [ClaimedRun];
      expect(run.claims).toBe(1);
      await writeCheckpoints(db, [write(run, [step(`s${round}`)], round * 10 + 5)], node, at);
      const result = await db.transaction((tx) => rescueRuns(tx, [run], { node, maxClaims: 3 }));
      expect(result.rescued).toEqual([run.runId]);
    }
  });

  it('keeps the cursor of whoever registered a new schedule first', async () => {
    const definition = testSchedule('build', 'hourly');
    const later = new Date(at.getTime() + 5_000);
    await writeSchedules(db, [{ definition, cursorAt: at, nextAt: at, error: null, isNew: true }], at);
    await writeSchedules(db, [{ definition, cursorAt: later, nextAt: later, error: null, isNew: true }], later);
    expect(await sql(db, 'select cursor_at, created_at from cronwright.schedules')).toEqual([
      { cursor_at: at, created_at: at },
    ]);
    // An edit of one that was there drops what was owed.
    await writeSchedules(db, [{ definition, cursorAt: later, nextAt: later, error: null, isNew: false }], later);
    expect(await sql(db, 'select cursor_at from cronwright.schedules')).toEqual([{ cursor_at: later }]);
  });

  it('commits the due times of a schedule once when two schedulers race', async () => {
    const definition = testSchedule('build', 'hourly');
    await writeSchedules(db, [{ definition, cursorAt: at, nextAt: at, error: null, isNew: true }], at);
    const rows = await findDueSchedules(db, 10, at);
    expect(rows).toHaveLength(1);
    const move = (): CursorMove => ({
      tenant: 'default',
      schedule: definition.id,
      version: rows[0]?.version ?? 0,
      cursorAt: new Date(at.getTime() + 3_600_000),
      nextAt: new Date(at.getTime() + 7_200_000),
      clearPause: false,
      lastRunId: null,
      lastNominalAt: null,
      error: null,
    });
    const run = () =>
      newRun({ schedule: definition.id, nominalAt: at, origin: 'schedule', limits: [`schedule:${definition.id}`] });
    const range = {
      id: uuidv7(),
      tenant: 'default',
      schedule: definition.id,
      outcome: 'missed' as const,
      firstAt: at,
      lastAt: at,
      count: 7,
      reason: 'down',
    };
    const commits = await Promise.all(
      Array.from({ length: 4 }, () => commitDue(db, { moves: [move()], runs: [run()], ranges: [range] })),
    );
    expect(commits.filter((one) => one.moved.size === 1)).toHaveLength(1);
    expect(commits.filter((one) => one.enqueued.size === 1)).toHaveLength(1);
    expect(await sql(db, 'select count from cronwright.occurrences')).toEqual([{ count: 7 }]);
    // The schedule's slot was free and is taken in passing: the run is ready.
    const claimed = await claim();
    expect(claimed).toHaveLength(1);
    expect(await sql(db, 'select run_id from cronwright.slots')).toEqual([{ run_id: claimed[0]?.runId }]);
  });
});
