// Tenants that share a queue: one that floods it does not keep the others waiting, weights hold, each keeps its own order.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { announceRuns } from '../../src/control/announce-runs.ts';
import { newRunOf, requirePipeline } from '../../src/control/start-run.ts';
import type { Database, Statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { AmbiguousCommitError } from '../../src/db/retries.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import type { SharedLimits } from '../../src/domain/shared-limits.ts';
import { ageRuns } from '../../src/queue/age-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { createFairOrder } from '../../src/queue/fair-order.ts';
import { readFairTags } from '../../src/queue/fair-tags.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, eventually, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

/** The figure of the acceptance is 100,000; the suite takes a smaller flood. */
const floodRuns = Number(process.env.FLOOD_RUNS ?? 4_000);

const noLimits: SharedLimits = { tenants: {}, queues: {} };
const tenants = ['default', 'quiet'] as const;
type Tenant = (typeof tenants)[number];
const pipelines: Pipeline[] = tenants.map((tenant) =>
  testPipeline('p', { tenant, steps: [testStep('a', [], { uses: 'test.do' })] }),
);

/** Tells each time that the notes of other nodes are read. */
function counting(db: Database, onRead: () => void): Database {
  return new Proxy(db, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== 'query') return typeof value === 'function' ? value.bind(target) : value;
      return (asked: Statement, params: readonly unknown[]) => {
        if (asked.name === 'read_fair_tags') onRead();
        return target.query(asked, params);
      };
    },
  });
}

describe('tenants that share a queue', () => {
  let test: TestDatabase;
  let other: Database;
  let worlds: EngineWorld[];

  beforeEach(async () => {
    test = await createTestDatabase('postgres');
    other = createPostgres({ url: test.url ?? '' });
    worlds = [];
  });
  afterEach(async () => {
    for (const world of worlds) await world.stop();
    await other.close();
    await test.close();
  });

  /** `inFlight` 0: it claims nothing. */
  async function startWorld(db: Database, sharedLimits = noLimits, inFlight = 20): Promise<EngineWorld> {
    const world = await startEngineWorld({ db, script: createScript(), pipelines, sharedLimits, inFlight });
    worlds.push(world);
    return world;
  }

  async function enqueue({ engine: { control } }: EngineWorld, tenant: Tenant, count: number): Promise<string[]> {
    const caller = { tenant, actor: 'tester', origin: 'api' } as const;
    const ids: string[] = [];
    while (ids.length < count) {
      const size = Math.min(2_000, count - ids.length);
      const runs = Array.from({ length: size }, () =>
        newRunOf(control, requirePipeline(control, tenant, 'p'), {}, caller),
      );
      await enqueueRuns(control.db, runs);
      ids.push(...runs.map((run) => run.id));
      await announceRuns(control, runs);
    }
    return ids;
  }

  /** Tenants in the order in which their runs are claimed from now on. */
  function claimsOf(world: EngineWorld): string[] {
    const claimed: string[] = [];
    world.events.on('run.claimed', ({ tenant }) => claimed.push(tenant));
    return claimed;
  }

  it(`while one has ${floodRuns} runs waiting, single runs of another wait less than 5 s`, async () => {
    const world = await startWorld(test.db);
    const flood = enqueue(world, 'default', floodRuns);
    await eventually(async () => expect(await countOf('default')).toBeGreaterThan(Math.min(floodRuns, 2_000) / 4));
    const waits: number[] = [];
    let isFlooding = true;
    void flood.then(async () => {
      await eventually(async () => expect(await countOf('default')).toBe(0), 600_000);
      isFlooding = false;
    });
    world.events.on('run.claimed', ({ tenant, waitMs }) => {
      if (tenant === 'quiet') waits.push(waitMs);
    });
    let asked = 0;
    while (isFlooding && asked < 200) {
      await enqueue(world, 'quiet', 1);
      asked += 1;
      await eventually(async () => expect(waits.length).toBe(asked), 30_000);
    }
    await flood;
    expect(asked).toBeGreaterThan(3);
    console.log(`flood of ${floodRuns}: ${asked} single runs waited ${Math.max(...waits)} ms at most`);
    expect(Math.max(...waits)).toBeLessThan(5_000);
  }, 900_000);

  async function countOf(tenant: Tenant): Promise<number> {
    const rows = await sql<{ n: number }>(
      test.db,
      "select count(*) as n from cronwright.queue where tenant = $1 and state = 'pending'",
      [tenant],
    );
    return rows[0]?.n ?? 0;
  }

  it('weights of 3 and 1 are three quarters and one quarter of what is claimed', async () => {
    const world = await startWorld(test.db, { tenants: { quiet: { weight: 3 } }, queues: {} });
    world.engine.pauseClaims(true);
    await enqueue(world, 'default', 800);
    await enqueue(world, 'quiet', 800);
    const claimed = claimsOf(world);
    world.engine.pauseClaims(false);
    await eventually(async () => expect(claimed.length).toBe(1_600));
    const share = claimed.slice(0, 1_000).filter((tenant) => tenant === 'quiet').length / 1_000;
    expect(share).toBeGreaterThan(0.75 * 0.9);
    expect(share).toBeLessThan(0.75 * 1.1);
    // Alone, the other has everything.
    expect(new Set(claimed.slice(-500))).toEqual(new Set(['default']));
  });

  it('one tenant keeps the order in which it came, over restarts and over nodes', async () => {
    const ids: string[] = [];
    const first = await startWorld(test.db, noLimits, 0);
    ids.push(...(await enqueue(first, 'default', 50)));
    await first.stop();
    worlds = [];
    const reads = [0, 0];
    const second = await startWorld(
      counting(test.db, () => {
        reads[0] = (reads[0] ?? 0) + 1;
      }),
      noLimits,
      0,
    );
    const third = await startWorld(
      counting(other, () => {
        reads[1] = (reads[1] ?? 0) + 1;
      }),
      noLimits,
      0,
    );
    for (const world of [third, second, third]) {
      ids.push(...(await enqueue(world, 'default', 50)));
      const given = await lastTag();
      await eventually(async () => expect(await notedTag()).toBeGreaterThanOrEqual(given));
      // What one node gives out the others know once they have read it.
      const known = [...reads];
      await eventually(async () => expect(reads.every((n, i) => n > (known[i] as number) + 1)).toBe(true));
    }
    const rows = await sql<{ run_id: string }>(
      test.db,
      'select run_id from cronwright.queue order by priority, fair, run_id',
    );
    expect(rows.map((row) => row.run_id)).toEqual(ids);
  });

  it('a node that dies before it could tell what it gave out leaves that to be read from the queue', async () => {
    const first = await startWorld(test.db, noLimits, 0);
    const ids = await enqueue(first, 'default', 5);
    await eventually(async () => expect(await notedTag()).toBe(await lastTag()));
    // As if the last second had never been told.
    await sql(test.db, "update cronwright.fair_tags set tag = 1000, updated_at = now() where tenant = 'default'");
    const second = await startWorld(other, noLimits, 0);
    ids.push(...(await enqueue(second, 'default', 5)));
    const rows = await sql<{ run_id: string }>(test.db, 'select run_id from cronwright.queue order by fair, run_id');
    expect(rows.map((row) => row.run_id)).toEqual(ids);
  });

  it('a note whose answer was lost is not added once more', async () => {
    let isLost = true;
    const order = createFairOrder({
      db: {
        async query(statement, params) {
          const answer = await test.db.query(statement, params);
          if (statement.name !== 'note_fair_tags' || !isLost) return answer as never;
          isLost = false;
          throw new AmbiguousCommitError(statement.name, new Error('connection lost'));
        },
      },
      clock: systemClock,
      weightOf: () => 1,
      hasPeers: () => false,
      onError: () => {},
    });
    let tag = 0;
    const next = () => {
      tag = order.tagOf({ tenant: 'a', queue: 'default', priority: 5, runAt: null });
    };
    for (let i = 0; i < 5; i += 1) next();
    await expect(order.share()).rejects.toThrow('note_fair_tags');
    next();
    await order.share();
    const noted = await readFairTags(test.db, 60_000);
    expect(noted.find((one) => one.tenant === 'a')?.tag).toBe(tag);
  });

  async function lastTag(): Promise<number> {
    return (await sql<{ tag: number }>(test.db, 'select max(fair) as tag from cronwright.queue'))[0]?.tag ?? 0;
  }

  async function notedTag(): Promise<number> {
    const rows = await sql<{ tag: number | null }>(test.db, 'select max(tag) as tag from cronwright.fair_tags');
    return rows[0]?.tag ?? 0;
  }

  it('what waits for long goes up one priority at a time, to the first and no further', async () => {
    const world = await startWorld(test.db, { tenants: {}, queues: { default: { agingMs: 300_000 } } }, 0);
    const [id = ''] = await enqueue(world, 'default', 1);
    await enqueue(world, 'quiet', 1);
    await sql(
      test.db,
      "update cronwright.queue set priority = 3, enqueued_at = now() - interval '6 min' where run_id = $1",
      [id],
    );
    const aging = { queues: ['default'], isOthers: false, agingMs: 300_000 };
    const ageAt = async (minutes: number) => {
      await ageRuns(test.db, aging, { limit: 10, now: new Date(Date.now() + minutes * 60_000) });
      const rows = await sql<{ priority: number }>(test.db, 'select priority from cronwright.queue where run_id = $1', [
        id,
      ]);
      return rows[0]?.priority;
    };
    expect(await ageAt(0)).toBe(2);
    expect(await ageAt(4)).toBe(2);
    expect(await ageAt(5.1)).toBe(1);
    expect(await ageAt(60)).toBe(1);
    expect(await ageRuns(test.db, { ...aging, queues: ['elsewhere'] }, { limit: 10 })).toBe(0);
    expect(await ageRuns(test.db, { ...aging, queues: ['elsewhere'], isOthers: true }, { limit: 10 })).toBe(0);
  });

  it('a node raises what waits where the settings say so', async () => {
    const world = await startWorld(test.db, { tenants: {}, queues: { '*': { agingMs: 1_000 } } }, 0);
    const aged: number[] = [];
    world.events.on('runs.aged', ({ runs }) => aged.push(runs));
    const [id = ''] = await enqueue(world, 'default', 1);
    await eventually(async () => {
      const rows = await sql<{ priority: number }>(test.db, 'select priority from cronwright.queue where run_id = $1', [
        id,
      ]);
      expect(rows[0]?.priority).toBe(3);
    });
    await eventually(async () => expect(aged.length).toBeGreaterThanOrEqual(2));
  });
});
