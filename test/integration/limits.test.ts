// Limits of groups, tenants and queues on two nodes, measured inside the steps; full queues; changes while runs wait.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { announceRuns } from '../../src/control/announce-runs.ts';
import { createRunStarter, newRunOf, requirePipeline } from '../../src/control/start-run.ts';
import type { Database } from '../../src/db/database.ts';
import { migrate } from '../../src/db/migrate.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import type { SharedLimits } from '../../src/domain/shared-limits.ts';
import { admitRuns } from '../../src/queue/admit-runs.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { setLimits } from '../../src/queue/set-limits.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, eventually, type Script, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testSchedule, testStep } from '../support/http-world.ts';
import { newRunOf as recordOf } from '../support/new-run.ts';

const noLimits: SharedLimits = { tenants: {}, queues: {} };

function work(id: string, overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { steps: [testStep('a', [], { uses: 'test.do' })], ...overrides });
}

/** Counts what runs at once, by a name of each run's own; steps end when the event loop has turned a few times. */
function measure(script: Script): Map<string, { now: number; most: number }> {
  const counts = new Map<string, { now: number; most: number }>();
  script.runs.set('a', async (ctx) => {
    const names = [ctx.tenant, ctx.pipeline, 'all'];
    for (const name of names) {
      const count = counts.get(name) ?? { now: 0, most: 0 };
      counts.set(name, count);
      count.now += 1;
      count.most = Math.max(count.most, count.now);
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (const name of names) (counts.get(name) as { now: number }).now -= 1;
    return null;
  });
  return counts;
}

describe('limits on two nodes', () => {
  let test: TestDatabase;
  let other: Database;
  let worlds: EngineWorld[];
  let script: Script;

  beforeEach(async () => {
    test = await createTestDatabase('postgres');
    other = createPostgres({ url: test.url ?? '' });
    script = createScript();
    worlds = [];
  });
  afterEach(async () => {
    for (const world of worlds) await world.stop();
    await other.close();
    await test.close();
  });

  async function startBoth(pipelines: readonly Pipeline[], sharedLimits = noLimits): Promise<void> {
    for (const db of [test.db, other]) {
      worlds.push(await startEngineWorld({ db, script, pipelines, sharedLimits, workers: 8 }));
    }
  }

  async function start(pipeline: string, count: number, tenant = 'default'): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      const { control } = (worlds[i % worlds.length] as EngineWorld).engine;
      const caller = { tenant, actor: 'tester', origin: 'api' } as const;
      const run = newRunOf(control, requirePipeline(control, tenant, pipeline), {}, caller);
      await enqueueRuns(control.db, [run]);
      await announceRuns(control, [run]);
    }
  }

  async function allEnded(count: number): Promise<void> {
    await eventually(async () => {
      const rows = await sql<{ n: number }>(
        test.db,
        "select count(*) as n from cronwright.runs where state = 'completed'",
      );
      expect(rows[0]?.n).toBe(count);
    }, 40_000);
    const held = await sql(test.db, 'select key from cronwright.slots where run_id is not null');
    expect(held).toEqual([]);
  }

  it('a group of 3 never has more than 3 at once, and uses all 3', async () => {
    const concurrency = { limit: 3, group: 'shared' };
    const counts = measure(script);
    await startBoth([work('p', { concurrency }), work('q', { concurrency })]);
    await Promise.all([start('p', 40), start('q', 40)]);
    await allEnded(80);
    expect(counts.get('all')?.most).toBe(3);
  });

  it('a tenant has its limit over all its pipelines, and others have their own', async () => {
    const counts = measure(script);
    const pipelines = [work('p'), work('q'), work('p', { tenant: 'acme' }), work('p', { tenant: 'other' })];
    await startBoth(pipelines, { tenants: { '*': { weight: 1, concurrency: 2 }, other: { weight: 1 } }, queues: {} });
    await Promise.all([start('p', 20), start('q', 20), start('p', 20, 'acme'), start('p', 40, 'other')]);
    await allEnded(100);
    expect(counts.get('default')?.most).toBe(2);
    expect(counts.get('acme')?.most).toBe(2);
    expect(counts.get('other')?.most).toBeGreaterThan(2);
  });

  it('a queue has its limit over all tenants', async () => {
    const counts = measure(script);
    const queue = 'narrow';
    await startBoth([work('p', { queue }), work('q', { queue, tenant: 'acme' })], {
      tenants: {},
      queues: { narrow: { concurrency: 2 } },
    });
    await Promise.all([start('p', 20), start('q', 20, 'acme')]);
    await allEnded(40);
    expect(counts.get('all')?.most).toBe(2);
  });

  it('a queue that only steps name has the limit of all queues', async () => {
    const counts = measure(script);
    const steps = [testStep('a', [], { uses: 'test.do', queue: 'far' })];
    const queues = { '*': { concurrency: 2 }, default: { concurrency: 10 } };
    await startBoth([work('p', { steps })], { tenants: {}, queues });
    await start('p', 10);
    await allEnded(20);
    expect(counts.get('all')?.most).toBe(2);
  });

  it('runs that need several slots all end: nobody waits for each other', async () => {
    const counts = measure(script);
    const group = { limit: 2, group: 'g' };
    const pipelines = [
      work('p', { concurrency: group }),
      work('q', { concurrency: group, queue: 'narrow' }),
      work('r', { concurrency: { limit: 1 }, queue: 'narrow', tenant: 'acme' }),
      work('s', { tenant: 'acme' }),
    ];
    await startBoth(pipelines, {
      tenants: { default: { weight: 1, concurrency: 3 }, acme: { weight: 1, concurrency: 2 } },
      queues: { narrow: { concurrency: 2 }, default: { concurrency: 3 } },
    });
    await Promise.all([start('p', 25), start('q', 25), start('r', 25, 'acme'), start('s', 25, 'acme')]);
    await allEnded(100);
    expect(counts.get('all')?.most).toBeLessThanOrEqual(5);
    expect(counts.get('acme')?.most).toBeLessThanOrEqual(2);
    expect(counts.get('r')?.most).toBe(1);
  });

  it('a limit that is changed holds for the runs that wait', async () => {
    let release = () => {};
    const opened = new Promise<void>((resolve) => {
      release = resolve;
    });
    let running = 0;
    script.runs.set('a', async () => {
      running += 1;
      await opened;
      return null;
    });
    const limitOf = (concurrency: number): SharedLimits => ({
      tenants: { default: { weight: 1, concurrency } },
      queues: {},
    });
    await startBoth([work('p')], limitOf(1));
    await start('p', 10);
    await eventually(async () => expect(running).toBe(1));
    await worlds[0]?.engine.applyLimits(limitOf(4));
    await eventually(async () => expect(running).toBe(4));
    await worlds[0]?.engine.applyLimits(limitOf(2));
    release();
    await allEnded(10);
    const slots = await sql<{ n: number }>(
      test.db,
      "select count(*) as n from cronwright.slots where key = 'tenant:default' and not retired",
    );
    expect(slots[0]?.n).toBe(2);
  });

  it('a tenant of its own size is full before others are, and is told when to come again', async () => {
    await startBoth([work('p'), work('p', { tenant: 'small' })], {
      tenants: { small: { weight: 1, liveRuns: 2 } },
      queues: {},
    });
    for (const world of worlds) world.engine.pauseClaims(true);
    const starter = createRunStarter((worlds[0] as EngineWorld).engine.control);
    const caller = (tenant: string) => ({ tenant, actor: 'tester', origin: 'api' }) as const;
    for (let i = 0; i < 2; i += 1) await starter.start('p', {}, caller('small'));
    await expect(starter.start('p', {}, caller('small'))).rejects.toMatchObject({
      code: 'limit_reached',
      details: { limit: 2, retry_after_seconds: 5 },
    });
    await starter.start('p', {}, caller('default'));
  });

  it('a schedule that meets a full queue leaves an occurrence with the reason', async () => {
    const schedule = testSchedule('tick', 'always', { cron: '* * * * * *', overlap: 'allow' });
    await startBoth([work('tick', { schedules: [schedule] })], {
      tenants: { default: { weight: 1, liveRuns: 3 } },
      queues: {},
    });
    for (const world of worlds) world.engine.pauseClaims(true);
    const outcomes = await eventually(async () => {
      const rows = await sql<{ outcome: string; reason: string }>(
        test.db,
        'select outcome, reason from cronwright.occurrences order by first_at',
      );
      expect(rows.length).toBeGreaterThanOrEqual(2);
      return rows;
    });
    expect(outcomes[0]?.outcome).toBe('missed');
    expect(outcomes[0]?.reason).toMatch(
      /queue of tenant "default" is full: \d live runs and 1 more would pass its limit of 3/,
    );
    // Each time is there once: a run, or the reason why not.
    for (const world of worlds) await world.stop();
    const [sum] = await sql<{ runs: number; others: number; times: number }>(
      test.db,
      `select (select count(*) from cronwright.runs) as runs, (select sum(count)::int8 from cronwright.occurrences) as others,
        extract(epoch from max(s.cursor_at) - min(r.nominal_at))::int8 + 1 as times
      from cronwright.schedules s, cronwright.runs r`,
    );
    expect((sum?.runs ?? 0) + (sum?.others ?? 0)).toBe(sum?.times);
    worlds = [];
  });
});

describe('a run that needs two slots that are never free together', () => {
  it('keeps what it gets once it has waited for long, and starts', async () => {
    const test = await createTestDatabase('postgres');
    const { db } = test;
    await migrate(db);
    const keyOf = (key: string) => ({ tenant: 'default', key });
    await setLimits(db, [
      { ...keyOf('group:a'), limit: 1 },
      { ...keyOf('group:b'), limit: 1 },
    ]);
    const both = recordOf('default', { limits: ['group:b', 'group:a'], priority: 1 });
    const singles = { a: [] as string[], b: [] as string[] };
    for (const name of ['a', 'b'] as const) {
      const runs = Array.from({ length: 6 }, () => recordOf('default', { limits: [`group:${name}`] }));
      await enqueueRuns(db, runs);
      singles[name] = runs.map((run) => run.id);
    }
    const end = async (name: 'a' | 'b') => {
      await sql(db, 'update cronwright.slots set run_id = null where key = $1', [`group:${name}`]);
      return admitRuns(db, [keyOf(`group:${name}`)]);
    };
    await admitRuns(db, [keyOf('group:a'), keyOf('group:b')]);
    await enqueueRuns(db, [both]);
    // One after the other ends: the two are never free at once, and singles pass.
    expect(await end('a')).toEqual([singles.a[1]]);
    expect(await end('b')).toEqual([singles.b[1]]);
    expect(await end('a')).toEqual([singles.a[2]]);
    await sql(db, "update cronwright.queue set enqueued_at = now() - interval '11 seconds' where run_id = $1", [
      both.id,
    ]);
    expect(await end('b')).toEqual([singles.b[2]]);
    expect(await end('a')).toEqual([]);
    expect(await end('b')).toEqual([both.id]);
    await test.close();
  });
});
