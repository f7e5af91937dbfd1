// The queue under load with every fault at once: what may not happen however answers are lost and transactions refused.
import { setTimeout as sleep } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';
import { afterEach, describe, expect, it } from 'vitest';
import type { Database, Isolation } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { AmbiguousCommitError, sqlState } from '../../src/db/retries.ts';
import type { NewRun } from '../../src/domain/new-run.ts';
import { admitRuns, findBlockedKeys } from '../../src/queue/admit-runs.ts';
import { type ClaimedRun, claimRuns } from '../../src/queue/claim-runs.ts';
import { commitDue } from '../../src/queue/commit-due.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import type { StepWrite } from '../../src/queue/fenced-write.ts';
import { findDueSchedules } from '../../src/queue/find-due-schedules.ts';
import { finishRuns } from '../../src/queue/finish-runs.ts';
import { writeSchedules } from '../../src/queue/register-schedules.ts';
import { findLapsedLeases, rescueRuns } from '../../src/queue/rescue-runs.ts';
import { setLimits } from '../../src/queue/set-limits.ts';
import { writeCheckpoints } from '../../src/queue/write-checkpoints.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { sql, testSchedule } from '../support/http-world.ts';
import { newRunOf } from '../support/new-run.ts';
import { seededRandom, seedOfThisRun } from '../support/seeded-random.ts';
import { randomFaults, startWireProxy, type WireProxy, type WireRules } from '../support/wire-proxy.ts';

const seed = seedOfThisRun();
const at = new Date('2026-03-01T12:00:00Z');
const hour = 3_600_000;
const node = uuidv7();

/** A database, and the same behind a proxy with faults. */
interface World {
  direct: Database;
  db: Database;
  proxy: WireProxy;
  close(): Promise<void>;
}

async function createWorld(isolation: Isolation, rules: WireRules, maxConnections: number): Promise<World> {
  console.info(`CHAOS_SEED=${seed}`);
  const test: TestDatabase = await createTestDatabase('postgres');
  const proxy = await startWireProxy(test.url ?? '', rules);
  const db = createPostgres({ url: proxy.url, isolation, maxConnections });
  const close = async () => {
    await db.close();
    await proxy.close();
    await test.close();
  };
  return { direct: test.db, db, proxy, close };
}

/** As the services do it: what a fault ended is tried again, until it is done or taking too long. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (const until = performance.now() + 20_000; ; await sleep(5)) {
    try {
      return await work();
    } catch (error) {
      const isFault = error instanceof AmbiguousCommitError || sqlState(error) === '40001' || isLost(error);
      if (!isFault || performance.now() > until) throw error;
    }
  }
}

function isLost(error: unknown): boolean {
  return error instanceof Error && /^(Connection terminated|cannot connect)/.test(error.message);
}

function step(name: string): StepWrite {
  const times = { startedAt: at, finishedAt: at, retryAt: null };
  const counts = { attempts: 1, retries: 0, rateLimitedMs: 0 };
  return { step: name, item: -1, state: 'completed', output: name, error: null, ...times, ...counts };
}

async function carryOut(db: Database, run: ClaimedRun): Promise<void> {
  const own = { runId: run.runId, tenant: run.tenant, token: run.token };
  const told = (event: string, seq: number) => ({ transitions: [{ event, at: at.getTime() }], seq });
  const kept = await insist(() =>
    writeCheckpoints(db, [{ ...own, ...told('step.completed', run.token * 10), steps: [step('first')] }], node, at),
  );
  if (!kept.has(run.runId)) return;
  const end = { ...own, ...told('run.finished', run.token * 10 + 1), steps: [step('last')] };
  const record = { state: 'completed', error: null, startedAt: at, finishedAt: at, message: null } as const;
  const counts = { attempt: 1, claims: run.claims, failedItems: 0, progress: 100, limited: run.limits !== null };
  const { freed } = await insist(() => finishRuns(db, [{ ...end, ...record, ...counts }], node, at));
  await insist(() => admitRuns(db, freed));
}

async function work(db: Database, isDone: () => boolean, look: () => Promise<unknown> = async () => {}): Promise<void> {
  while (!isDone()) {
    await insist(async () => admitRuns(db, await findBlockedKeys(db)));
    const claim = { routes: ['default'], weight: 'light', limit: 3, node, leaseMs: 1_000 } as const;
    // A claim whose answer is lost is nobody's until its lease has lapsed.
    const claimed = await claimRuns(db, claim).catch((error: unknown) => {
      if (error instanceof AmbiguousCommitError || isLost(error)) return [];
      throw error;
    });
    await look();
    for (const run of claimed) await carryOut(db, run);
    if (claimed.length === 0) await sleep(20);
  }
}

async function rescue(db: Database, isDone: () => boolean): Promise<void> {
  for (; !isDone(); await sleep(100)) {
    const lapsed = await insist(() => findLapsedLeases(db, 100));
    if (lapsed.length === 0) continue;
    await insist(() =>
      db.transaction((tx) => rescueRuns(tx, lapsed, { node, maxClaims: 1_000 }), { idempotent: true }),
    );
  }
}

/** Ends with what says how many are done, or says how it stands. */
async function until(done: () => Promise<boolean>, stand: () => Promise<unknown>): Promise<void> {
  for (const deadline = performance.now() + 40_000; !(await done()); await sleep(50)) {
    if (performance.now() > deadline) throw new Error(`CHAOS_SEED=${seed}: ${JSON.stringify(await stand())}`);
  }
}

async function countLive({ direct }: World): Promise<number> {
  const [row] = await sql<{ n: number }>(direct, 'select count(*) as n from cronwright.queue');
  return row?.n ?? -1;
}

async function expectEachEndedOnce({ direct }: World, ids: readonly string[]): Promise<void> {
  const ends = await sql<{ id: string; state: string; ends: number }>(
    direct,
    `select r.id, r.state, (select count(*) from cronwright.history h
       where h.run_id = r.id and h.transitions::jsonb @> '[{"event": "run.finished"}]') as ends
     from cronwright.runs r`,
  );
  expect(ends.filter(({ state, ends: times }) => state !== 'completed' || times !== 1)).toEqual([]);
  expect(ends.map(({ id }) => id).sort()).toEqual([...ids].sort());
  expect(await sql(direct, 'select key, n from cronwright.slots where run_id is not null')).toEqual([]);
}

const isolations = ['read committed', 'serializable'] as const;
let world: World | undefined;
afterEach(async () => {
  await world?.close();
  world = undefined;
});

describe.each(isolations)('the queue under load on a bad line at %s', (isolation) => {
  it('ends every run once, makes every occurrence once, and gives every slot back', { timeout: 60_000 }, async () => {
    const rates = { conflict: 0.05, cutBefore: 0.02, cutAfter: 0.02 };
    world = await createWorld(isolation, { fault: randomFaults(seededRandom(seed), rates) }, 8);
    const { db, proxy } = world;
    await insist(() => setLimits(db, [{ tenant: 'default', key: 'group:db', limit: 3 }]));
    const schedules = ['a', 'b', 'c'].map((name) => testSchedule('build', name));
    const from = { cursorAt: at, nextAt: at, error: null, isNew: true };
    await insist(() =>
      writeSchedules(
        db,
        schedules.map((definition) => ({ definition, ...from })),
        at,
      ),
    );
    const asked = Array.from({ length: 120 }, (_, n) =>
      newRunOf('default', n % 3 === 0 ? { limits: ['group:db'] } : {}),
    );
    const owed = 15;
    let isDone = false;

    async function schedule(): Promise<void> {
      for (;;) {
        const due = await insist(() => findDueSchedules(db, 10, new Date(at.getTime() + (owed - 1) * hour)));
        if (due.length === 0) return;
        for (const row of due) {
          const nominalAt = row.cursorAt;
          const next = new Date(nominalAt.getTime() + hour);
          const id = row.definition.id;
          const occurrence: Partial<NewRun> = {
            schedule: id,
            nominalAt,
            origin: 'schedule',
            limits: [`schedule:${id}`],
          };
          const move = { tenant: 'default', schedule: id, version: row.version, cursorAt: next, nextAt: next };
          const rest = { clearPause: false, lastRunId: null, lastNominalAt: nominalAt, error: null };
          const runs = [newRunOf('default', occurrence)];
          await insist(() => commitDue(db, { moves: [{ ...move, ...rest }], runs, ranges: [] }));
        }
      }
    }
    const enqueue = async () => {
      for (const run of asked) await insist(() => enqueueRuns(db, [run]));
    };

    const making = Promise.all([enqueue(), schedule(), schedule()]);
    const working = Promise.all([...Array.from({ length: 6 }, () => work(db, () => isDone)), rescue(db, () => isDone)]);
    const over = (async () => {
      await making;
      const here = world as World;
      await until(
        async () => (await countLive(here)) === 0,
        () => sql(here.direct, 'select * from cronwright.queue limit 3'),
      );
    })().finally(() => {
      isDone = true;
    });
    await Promise.all([over, working]);

    const times = await sql<{ id: string; schedule: string | null; nominal_at: Date | null }>(
      world.direct,
      'select id, schedule, nominal_at from cronwright.runs where schedule is not null order by schedule, nominal_at',
    );
    const expected = schedules.flatMap(({ id }) =>
      Array.from({ length: owed }, (_, n) => `${id} ${new Date(at.getTime() + n * hour).toISOString()}`),
    );
    expect(times.map((run) => `${run.schedule} ${run.nominal_at?.toISOString()}`)).toEqual(expected);
    await expectEachEndedOnce(
      world,
      [...asked, ...times].map(({ id }) => id),
    );
    for (const count of Object.values(proxy.injected)) expect(count).toBeGreaterThan(0);
    console.info(`${isolation}: injected ${JSON.stringify(proxy.injected)}`);
  });

  it('loses and doubles no slot of one key with 32 workers and 30 % conflicts', { timeout: 60_000 }, async () => {
    const draw = randomFaults(seededRandom(seed), {
      conflict: 0.3,
      among: ({ name }) => name === 'take_slots' || name === 'finish_limited_runs',
    });
    world = await createWorld(isolation, { fault: draw }, 33);
    const { db, direct, proxy } = world;
    await insist(() => setLimits(db, [{ tenant: 'default', key: 'group:hot', limit: 4 }]));
    const runs = Array.from({ length: 80 }, () => newRunOf('default', { limits: ['group:hot'] }));
    await insist(() => enqueueRuns(db, runs));
    let most = 0;
    let isDone = false;
    const look = async () => {
      const text = `select count(*) as n, count(distinct s.n) as slots from cronwright.queue q
        left join cronwright.slots s on s.run_id = q.run_id where q.state = 'running'`;
      const [now] = await sql<{ n: number; slots: number }>(direct, text);
      if (now?.n !== now?.slots) throw new Error(`${now?.n} run with ${now?.slots} slots`);
      most = Math.max(most, now?.n ?? 0);
    };
    const over = until(
      async () => (await countLive(world as World)) === 0,
      () => sql(direct, 'select * from cronwright.slots'),
    ).finally(() => {
      isDone = true;
    });
    const working = Array.from({ length: 32 }, () => work(db, () => isDone, look));
    await Promise.all([over, rescue(db, () => isDone), ...working]);
    expect(most).toBeLessThanOrEqual(4);
    expect(most).toBeGreaterThan(1);
    await expectEachEndedOnce(
      world,
      runs.map(({ id }) => id),
    );
    expect(await sql(direct, 'select n from cronwright.slots order by n')).toEqual([1, 2, 3, 4].map((n) => ({ n })));
    expect(proxy.injected.conflict).toBeGreaterThan(20);
  });
});
