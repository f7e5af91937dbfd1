// No hot statement may tip over into a plan that reads more than its batch, whatever the planner believes of the tables.
import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, type Queryable, type Statement, statement } from '../../src/db/database.ts';
import { type FailureNotice, failureNotices } from '../../src/domain/failure-notice.ts';
import { createNewRun, type NewRun } from '../../src/domain/new-run.ts';
import { admitWithin } from '../../src/queue/admit-runs.ts';
import { ageRuns } from '../../src/queue/age-runs.ts';
import { beatNode } from '../../src/queue/beat-node.ts';
import { claimOutbox, nextOutboxMs } from '../../src/queue/claim-outbox.ts';
import { type ClaimedRun, claimRuns } from '../../src/queue/claim-runs.ts';
import { commitDue } from '../../src/queue/commit-due.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { firstIdOf, noteFairTags, readFairTags } from '../../src/queue/fair-tags.ts';
import type { FencedWrite } from '../../src/queue/fenced-write.ts';
import { findDueSchedules } from '../../src/queue/find-due-schedules.ts';
import { findReadyRoutes } from '../../src/queue/find-ready-routes.ts';
import { finishRuns, type RunFinish } from '../../src/queue/finish-runs.ts';
import { loadLastSeq, loadSteps } from '../../src/queue/load-runs.ts';
import { registerNode } from '../../src/queue/register-node.ts';
import { writeSchedules } from '../../src/queue/register-schedules.ts';
import { type RunRelease, releaseRuns } from '../../src/queue/release-runs.ts';
import { returnClaims, setAsideRuns } from '../../src/queue/return-claims.ts';
import { setLimits } from '../../src/queue/set-limits.ts';
import { findPinnedHomes, unpinOverdueRuns, unpinRunsOf } from '../../src/queue/unpin-runs.ts';
import { wakeRuns } from '../../src/queue/wake-runs.ts';
import { writeCheckpoints } from '../../src/queue/write-checkpoints.ts';
import { reserveCost } from '../../src/store/budgets.ts';
import { appendConversation, loadConversation } from '../../src/store/conversations.ts';
import { addCost, loseDeadHolds, settleCost } from '../../src/store/costs.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { sql, testPipeline, testSchedule } from '../support/http-world.ts';

const batch = 200;
const rows = 20_000;
const node = uuidv7();
const home = uuidv7();
const elsewhere = uuidv7();
const gone = uuidv7();
const at = new Date('2026-03-01T12:00:00Z');
const pipeline = testPipeline('build');
const limited = testPipeline('limited', { concurrency: { limit: batch } });
const spending = ['costs', 'cost_totals', 'conversations'];
const tables = [
  'queue',
  'runs',
  'slots',
  'step_runs',
  'history',
  'schedules',
  'occurrences',
  'nodes',
  'outbox',
  ...spending,
];

/** How the planner came to know what it knows of the tables before they were filled. */
const knowledge = [
  { name: 'nothing', analyzeAt: 0 },
  { name: 'that they are tiny', analyzeAt: 5 },
];

describe.each(knowledge)('plans of the hot statements where statistics say $name', ({ analyzeAt }) => {
  let test: TestDatabase;
  let db: Database;
  let looked: Look[];
  let explaining: Queryable;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    db = test.db;
    explaining = { query: (one, params) => explain(db, one, params ?? [], looked) };
    for (const table of tables) await sql(db, `alter table cronwright.${table} set (autovacuum_enabled = false)`);
    await registerNode(db, {
      id: node,
      name: 'n',
      version: '0',
      workers: 4,
      inFlight: 500,
      queues: null,
      labels: [],
      home,
      configHash: '',
    });
    await fill(db, analyzeAt);
    if (analyzeAt > 0) for (const table of tables) await sql(db, `analyze cronwright.${table}`);
    await fill(db, rows);
  }, 120_000);
  afterAll(() => test.close());

  async function expectModest(work: (db: Queryable) => Promise<unknown>): Promise<void> {
    looked = [];
    await work(explaining);
    expect(looked.length).toBeGreaterThan(0);
    for (const look of looked) expect(look.most, `${look.operation}: ${look.where}`).toBeLessThanOrEqual(10 * batch);
  }

  const claim = async (from: Queryable = db): Promise<ClaimedRun[]> => {
    const claimed = await claimRuns(from, {
      // Beside them are those for other nodes: with other labels, or pinned.
      routes: ['default', 'default{linux}', `default@${home}`],
      weight: 'light',
      limit: batch,
      node,
      leaseMs: 30_000,
    });
    expect(claimed).toHaveLength(batch);
    return claimed;
  };

  it('claims a batch', () => expectModest(claim));

  it('gives claims back, and sets others aside', async () => {
    const [returned, refused] = [await claim(), await claim()];
    await expectModest((tx) => returnClaims(tx, returned));
    await expectModest((tx) => setAsideRuns(tx, refused));
  });

  it('names the routes with ready runs', () =>
    expectModest(async (tx) => expect((await findReadyRoutes(tx)).length).toBeGreaterThan(2)));

  it('unpins what waited too long, and what waits for nodes that are gone', () =>
    expectModest(async (tx) => {
      expect(await findPinnedHomes(tx)).toHaveLength(2);
      expect(await unpinOverdueRuns(tx, 30_000, later)).toBe(batch);
      expect(await unpinRunsOf(tx, [gone])).toBe(batch);
    }));

  it('enqueues a batch', () => expectModest((tx) => enqueueRuns(tx, newRuns(batch))));

  it('writes checkpoints of a batch', async () => {
    const claimed = await claim();
    await expectModest((tx) => writeCheckpoints(tx, claimed.map(writeOf), node, at));
  });

  it('finishes a batch', async () => {
    const claimed = await claim();
    await expectModest((tx) =>
      finishRuns(
        tx,
        claimed.map((run) => finishOf(run, false)),
        node,
        at,
      ),
    );
  });

  it('finishes a batch that fails, and puts its notifications into a full outbox, from where they are claimed', async () => {
    const claimed = await claim();
    await expectModest((tx) =>
      finishRuns(
        tx,
        claimed.map((run) => ({ ...finishOf(run, false), state: 'failed', notices: noticesOf(run) })),
        node,
        at,
      ),
    );
    const options = { stepTypes: ['notify.webhook'], limit: 20, leaseMs: 1_000, now: at };
    await expectModest(async (tx) => expect(await claimOutbox(tx, options)).toHaveLength(20));
    await expectModest((tx) => nextOutboxMs(tx, options.stepTypes, at));
  });

  it('finishes a batch that holds slots, and admits as many', async () => {
    const keys = [{ tenant: 'default', key: 'pipeline:limited' }];
    await expectModest((tx) => admitWithin(tx, keys));
    const claimed = await claimRuns(db, { routes: ['narrow'], weight: 'light', limit: batch, node, leaseMs: 30_000 });
    expect(claimed).toHaveLength(batch);
    await expectModest((tx) =>
      finishRuns(
        tx,
        claimed.map((run) => finishOf(run, true)),
        node,
        at,
      ),
    );
    await expectModest((tx) => admitWithin(tx, keys));
  });

  it('admits as many as wait for a slot of their queue, whichever tenant they are of', async () => {
    const keys = [{ tenant: '*', key: 'queue:shared' }];
    await expectModest(async (tx) => expect(await admitWithin(tx, keys)).toHaveLength(batch));
  });

  it('notes and reads order keys', () =>
    expectModest(async (tx) => {
      const notes = Array.from({ length: batch }, (_, i) => ({
        tenant: `t${i}`,
        queue: 'q',
        priority: 5,
        tag: 1,
        added: 1,
      }));
      expect(await noteFairTags(tx, notes)).toHaveLength(batch);
      expect((await readFairTags(tx, 60_000)).length).toBeGreaterThanOrEqual(batch);
    }));

  it('releases a batch', async () => {
    const claimed = await claim();
    const back: Omit<RunRelease, keyof FencedWrite> = {
      state: 'waiting',
      waitKind: 'timer',
      runAt: at,
      refundClaim: true,
      progress: 0,
      message: null,
      isCancelled: false,
    };
    await expectModest((tx) =>
      releaseRuns(
        tx,
        claimed.map((run) => ({ ...writeOf(run), ...back })),
        node,
        at,
      ),
    );
  });

  it('beats for the runs of a node', async () => {
    const claimed = await claim();
    const leases = claimed.map(({ runId, token }) => ({
      runId,
      token,
      step: 'a',
      progress: 1,
      message: 'm',
      progressAt: at,
    }));
    await expectModest((tx) => beatNode(tx, { node, leases, leaseMs: 30_000 }));
  });

  it('wakes a batch whose time has come', () =>
    expectModest(async (tx) => expect(await wakeRuns(tx, { limit: batch, node, now: later })).toHaveLength(batch)));

  it('reads the checkpoints of runs that go on', async () => {
    const ids = (await claim()).map((run) => run.runId);
    await expectModest((tx) => Promise.all([loadSteps(tx, ids), loadLastSeq(tx, ids)]));
  });

  it('finds due schedules and commits them', async () => {
    let due: Awaited<ReturnType<typeof findDueSchedules>> = [];
    await expectModest(async (tx) => {
      due = await findDueSchedules(tx, batch, later);
    });
    expect(due).toHaveLength(batch);
    const runs = due.map(({ id }) => scheduledRun(id));
    const moves = due.map(({ tenant, id, version }, i) => ({
      tenant,
      schedule: id,
      version,
      cursorAt: at,
      nextAt: new Date(later.getTime() + 60_000),
      clearPause: false,
      lastRunId: runs[i]?.id ?? null,
      lastNominalAt: at,
      error: null,
    }));
    await expectModest(async (tx) => {
      expect((await commitDue(tx, { moves, runs, ranges: [] }, later)).enqueued.size).toBe(batch);
    });
  });

  it('raises a batch that has waited for long, once more later, and reads next to nothing where nothing is due', async () => {
    const aging = { queues: ['shared'], isOthers: false, agingMs: 60_000 };
    const hoursAgo = (hours: number) => firstIdOf(Date.now() - hours * 3_600_000);
    const none = { limit: batch, ids: { from: hoursAgo(2), to: hoursAgo(1) } };
    await expectModest(async (tx) => expect(await ageRuns(tx, aging, none)).toBe(0));
    expect(Math.max(...looked.map((look) => look.most))).toBe(0);
    const minutes = (n: number) => new Date(Date.now() + n * 60_000);
    const aged = await ageRuns(db, aging, { limit: batch, now: minutes(2) });
    expect(aged).toBe(batch);
    await expectModest(async (tx) => {
      expect(await ageRuns(tx, aging, { limit: batch, now: minutes(4), ids: none.ids })).toBe(batch);
    });
  });

  it('notes, holds, settles and gives up what is spent, and reads what was said', async () => {
    const [run] = await claim();
    const runId = run?.runId ?? '';
    const place = { tenant: 'default', pipeline: 'build', runId, wholeId: runId, step: 'ask', item: -1 };
    const by = { ...place, attempt: 1, token: run?.token ?? 0, idempotencyKey: `${runId}/ask` };
    const spent = { what: 'llm', usd: 0.01 };
    const month = '2026-03';
    const messages = [{ role: 'user', content: 'why?' }] as const;
    await expectModest(async (tx) => {
      const within: Database = { ...db, ...tx, transaction: (work) => work(tx) };
      await addCost(within, uuidv7(), by, spent, month);
      const held = await reserveCost(within, { id: uuidv7(), by, spent, limits: { perRun: 1, perMonth: 1e6 }, month });
      await settleCost(within, 'default', held.ok ? held.id : '', spent);
      await loseDeadHolds(within);
      await appendConversation(within, by, { thread: 'main', key: 'k', messages });
      expect(await loadConversation(tx, by, 'main')).toHaveLength(1);
    });
  });
});

const later = new Date('2026-03-01T13:00:00Z');

interface Look {
  operation: string;
  /** The most rows that one node of the plan went through, all its loops together. */
  most: number;
  where: string;
}

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Join Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  Plans?: PlanNode[];
}

class Undo extends Error {}

/** Looks at how the statement runs, undoes it, and runs it. */
async function explain<Row>(db: Database, one: Statement, params: readonly unknown[], looked: Look[]) {
  const text = `explain (analyze, timing off, format json) ${one.text}`;
  await db
    .transaction(async (tx) => {
      const { rows: answer } = await tx.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>(
        statement('explain', text, { prepare: false }),
        params,
      );
      const plan = answer[0]?.['QUERY PLAN'][0]?.Plan;
      if (plan) looked.push({ operation: one.name, ...worstOf(plan) });
      throw new Undo();
    })
    .catch((error: unknown) => {
      if (!(error instanceof Undo)) throw error;
    });
  return db.query<Row>(one, params);
}

function worstOf(plan: PlanNode): Omit<Look, 'operation'> {
  const passed =
    plan['Actual Rows'] +
    (plan['Rows Removed by Filter'] ?? 0) +
    (plan['Rows Removed by Join Filter'] ?? 0) +
    (plan['Rows Removed by Index Recheck'] ?? 0);
  const where = [plan['Node Type'], plan['Relation Name'], plan['Index Name']].filter(Boolean).join(' ');
  const own = { most: passed * plan['Actual Loops'], where };
  return (plan.Plans ?? []).map(worstOf).reduce((worst, one) => (one.most > worst.most ? one : worst), own);
}

/** Ready, blocked, delayed and finished runs, and schedules: `count` of most. */
async function fill(db: Database, count: number): Promise<void> {
  for (let left = count; left > 0; left -= 2_000) {
    const some = Math.min(left, 2_000);
    await enqueueRuns(db, newRuns(some));
    await enqueueRuns(
      db,
      newRuns(some).map((run) => ({ ...run, runAt: at })),
      new Date(at.getTime() - 1),
    );
    await sql(
      db,
      `insert into cronwright.outbox (id, tenant, pipeline, step, step_type, input, state, attempts, next_at, token, created_at,
        finished_at)
      select gen_random_uuid(), 'default', 'build', 'tell', 'notify.webhook', '{}', s, 1,
        case when s = 'pending' then $2::timestamptz + interval '1 hour' end, 1, $2, case when s <> 'pending' then $2::timestamptz end
      from generate_series(1, $1::int4) n, unnest(array['pending', 'delivered', 'failed']) s`,
      [some, at],
    );
    await writeSchedules(
      db,
      Array.from({ length: some }, (_, i) => dueSchedule(`${count}_${left}_${i}`)),
      at,
    );
  }
  await setLimits(db, [{ tenant: 'default', key: 'pipeline:limited', limit: batch }]);
  const blocked = Array.from({ length: count / 5 }, () => createNewRun(limited, 'light', { origin: 'api' }));
  await enqueueRuns(
    db,
    blocked.map((run) => ({ ...run, queue: 'narrow' })),
  );
  await setLimits(db, [{ tenant: '*', key: 'queue:shared', limit: batch }]);
  await enqueueRuns(
    db,
    newRuns(count / 5).map((run, i) => ({ ...run, tenant: `t${i % 7}`, queue: 'shared', limits: ['queue:shared'] })),
  );
  await fillForOthers(db, count);
  await sql(
    db,
    `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms)
    select id, 'old', -1, tenant, 'completed', 1, 0, 1, 0 from cronwright.runs on conflict do nothing`,
  );
  await sql(
    db,
    `insert into cronwright.costs (id, tenant, pipeline, run_id, whole_id, step, item, attempt, token, what, prompt_tokens,
      completion_tokens, cached_tokens, state, usd, month, at)
    select gen_random_uuid(), tenant, pipeline, id, id, 'ask', -1, 1, 1, 'llm', 1, 1, 0, 'spent', 0.01, '2026-03', created_at
    from cronwright.runs on conflict do nothing`,
  );
  await sql(
    db,
    `insert into cronwright.cost_totals (tenant, key, run_id, spent, held, unknown, extra, prompt_tokens, completion_tokens,
      cached_tokens)
    select tenant, 'run:' || id, id, 0, 0, 0, 0, 1, 1, 0 from cronwright.runs on conflict do nothing`,
  );
  await sql(
    db,
    `insert into cronwright.conversations (run_id, thread, seq, tenant, role, content, owner, key, n, step, item, attempt, token,
      at)
    select id, 'main', 1, tenant, 'user', 'why?', 'o', 'k', 0, 'ask', -1, 1, 1, created_at from cronwright.runs
    where pipeline <> 'build' on conflict do nothing`,
  );
  await sql(
    db,
    `insert into cronwright.history (run_id, seq, tenant, at, transitions)
    select id, 2, tenant, created_at, '[]' from cronwright.runs on conflict do nothing`,
  );
}

/** Ready runs, all of them better than the rest, that this node may not take; a batch waited too long, another's node is gone. */
async function fillForOthers(db: Database, count: number): Promise<void> {
  if (count < 8 * batch) return;
  const better = newRuns(count / 4).map((run) => ({ ...run, priority: 1 }));
  await enqueueRuns(
    db,
    better.map((run) => ({ ...run, runsOn: ['gpu'] })),
  );
  const pinned = newRuns(count / 4).map((run) => ({ ...run, priority: 1 }));
  await enqueueRuns(db, pinned);
  const pin = (some: readonly NewRun[], to: string, since: Date) =>
    sql(
      db,
      `update cronwright.queue set queue = queue || '@' || $2::text, home = $2::uuid, pinned_at = $3
      where run_id = any($1::uuid[])`,
      [some.map((run) => run.id), to, since],
    );
  await pin(pinned.slice(0, batch), elsewhere, at);
  await pin(pinned.slice(batch, 2 * batch), gone, later);
  await pin(pinned.slice(2 * batch), elsewhere, later);
}

function newRuns(count: number): NewRun[] {
  return Array.from({ length: count }, () => createNewRun(pipeline, 'light', { origin: 'api' }));
}

function dueSchedule(name: string) {
  return {
    definition: testSchedule('build', `s${name}`),
    cursorAt: at,
    nextAt: new Date(at.getTime() + 1),
    error: null,
    isNew: true,
  };
}

function scheduledRun(id: string): NewRun {
  return createNewRun(pipeline, 'light', { origin: 'schedule', schedule: { id, nominalAt: at, exclusive: true } });
}

function writeOf(run: ClaimedRun): FencedWrite {
  const step = {
    step: 'fetch',
    item: -1,
    state: 'completed',
    attempts: 1,
    retries: 0,
    output: { done: 1 },
    error: null,
    startedAt: at,
    finishedAt: at,
    retryAt: null,
    rateLimitedMs: 0,
  } as const;
  const transitions = [{ event: 'step.completed', at: at.getTime() }];
  return { runId: run.runId, tenant: run.tenant, token: run.token, steps: [step], transitions, seq: 9 };
}

/** As if each were of a pipeline of its own: nothing is summed up. */
function noticesOf(run: ClaimedRun): FailureNotice[] {
  const failed = {
    id: run.runId,
    pipeline: run.runId,
    tenant: run.tenant,
    schedule: null,
    state: 'failed',
    error: { name: 'Boom', message: 'it broke', step: null },
    started_at: null,
    finished_at: at.toISOString(),
    url: '',
    more_failed: 0,
  } as const;
  return failureNotices([{ uses: 'notify.webhook', with: {} }], failed);
}

function finishOf(run: ClaimedRun, holdsSlots: boolean): RunFinish {
  return {
    ...writeOf(run),
    state: 'completed',
    error: null,
    startedAt: at,
    finishedAt: at,
    attempt: 1,
    claims: run.token,
    failedItems: 0,
    progress: 100,
    message: null,
    limited: holdsSlots,
  };
}
