// Two nodes on one PostgreSQL: hints make things happen at once, and everything happens without them.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import type { Database } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  gate,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const pipelines = [testPipeline('work', { steps: [testStep('do', [], { uses: 'test.do' })] })];
const listeners = `select pid from pg_stat_activity
  where datname = current_database() and application_name like '% hints' and query = 'listen cronwright'`;

describe('two nodes', () => {
  let test: TestDatabase;
  let other: Database;
  let script: Script;
  /** Serves no queue that has runs. */
  let asker: EngineWorld;
  let worker: EngineWorld;
  let claims = { count: 0, at: 0 };

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
  });
  beforeEach(async () => {
    await sql(test.db, 'delete from cronwright.queue');
    claims = { count: 0, at: performance.now() };
    script = createScript();
    other = createPostgres({
      url: test.url ?? '',
      onQuery(operation) {
        if (operation === 'claim_runs') claims = { count: claims.count + 1, at: performance.now() };
      },
    });
  });
  afterEach(async () => {
    await asker.stop();
    await worker.stop();
    await other.close();
  });
  afterAll(() => test.close());

  async function start(
    options: { isDeaf?: boolean; pollMs?: number; heartbeatMs?: number; leaseMs?: number } = {},
  ): Promise<void> {
    const { isDeaf = false, ...timing } = options;
    const line = (db: Database): Database => (isDeaf ? Object.create(db, { hints: { value: undefined } }) : db);
    asker = await startEngineWorld({ db: line(test.db), script, pipelines, timing, queues: ['nowhere'] });
    worker = await startEngineWorld({ db: line(other), script, pipelines, timing, queues: ['default'] });
    await untilListening(isDeaf ? 0 : 2);
  }

  async function untilListening(count: number): Promise<void> {
    await eventually(async () => expect(await sql(test.db, listeners)).toHaveLength(count));
  }

  /** The next look of its own is more than a second away. */
  async function untilWorkerSleeps(): Promise<void> {
    await eventually(async () => expect(performance.now() - claims.at).toBeGreaterThan(1_800));
  }

  /** Milliseconds until the run's step begins. */
  async function startsWithin(): Promise<number> {
    const stop = gate(script, 'do');
    const from = performance.now();
    const id = await asker.start('work');
    await stop.entered;
    const ms = performance.now() - from;
    stop.open();
    await worker.reached(id, ['completed']);
    return ms;
  }

  it('a run that one enqueues begins at once on the other, also after the listening connections were killed', async () => {
    await start({ pollMs: 5_000 });
    await untilWorkerSleeps();
    expect(await startsWithin()).toBeLessThan(500);

    const killed = (await sql<{ pid: number }>(test.db, listeners)).map((row) => row.pid);
    await sql(test.db, 'select pg_terminate_backend(pid) from unnest($1::int4[]) as u(pid)', [killed]);
    await eventually(async () => {
      const now = await sql<{ pid: number }>(test.db, listeners);
      expect(now.filter((row) => !killed.includes(row.pid))).toHaveLength(2);
    });
    await untilWorkerSleeps();
    expect(await startsWithin()).toBeLessThan(500);
  });

  it('without hints the other finds the run by polling', async () => {
    await start({ isDeaf: true, pollMs: 2_500 });
    await untilWorkerSleeps();
    expect(await startsWithin()).toBeLessThan(5_000);
  });

  it('polls less often while it hears hints', async () => {
    await start({ pollMs: 200 });
    await eventually(async () => expect(performance.now() - claims.at).toBeGreaterThan(700));
    await worker.stop();
    await asker.stop();
    await start({ pollMs: 200, isDeaf: true });
    const before = claims.count;
    // Two a look; with hints there would be eight in this time.
    await eventually(async () => expect(claims.count).toBeGreaterThan(before + 16), 4_000);
  });

  it('a cancel asked of one is obeyed at once by the other that runs it', async () => {
    await start({ heartbeatMs: 20_000, leaseMs: 60_000 });
    const { entered } = gate(script, 'do');
    const id = await asker.start('work');
    await entered;
    const from = performance.now();
    const answer = await cancelRun(asker.engine.control, { tenant: 'default', id, actor: 'tester' });
    expect(answer).toMatchObject({ state: 'running', requested: 'cancel' });
    await worker.reached(id, ['cancelled']);
    expect(performance.now() - from).toBeLessThan(1_000);
  });

  it('without hints a cancel is obeyed at the next heartbeat', async () => {
    await start({ isDeaf: true, heartbeatMs: 1_000, leaseMs: 10_000 });
    const { entered } = gate(script, 'do');
    const id = await asker.start('work');
    await entered;
    const from = performance.now();
    await cancelRun(asker.engine.control, { tenant: 'default', id, actor: 'tester' });
    await worker.reached(id, ['cancelled']);
    expect(performance.now() - from).toBeLessThan(3_000);
  });

  it('each hears of the history that the other writes', async () => {
    await start({ pollMs: 5_000 });
    let heard = 0;
    const end = asker.engine.onHistory(() => {
      heard += 1;
    });
    const before = heard;
    // Written by the worker alone.
    const stop = gate(script, 'do');
    const id = await worker.start('work');
    await stop.entered;
    stop.open();
    await worker.reached(id, ['completed']);
    await eventually(async () => expect(heard).toBeGreaterThan(before));
    end();
    expect(() => end()).not.toThrow();
  });

  it('ten thousand wake-ups are few notices', async () => {
    await start();
    const notices: { kinds: string[] }[] = [];
    let isUp = false;
    const listening = other.hints?.listen({
      onHint: (payload) => notices.push(JSON.parse(payload)),
      onUp: () => {
        isUp = true;
      },
      onDown: () => {},
    });
    await eventually(async () => expect(isUp).toBe(true));
    notices.length = 0;
    const from = performance.now();
    for (let i = 0; i < 10_000; i += 1) {
      asker.engine.control.wake.workers();
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await other.hints?.send('{"from":"test","kinds":["over"]}');
    await eventually(async () => expect(notices.some((one) => one.kinds.includes('over'))).toBe(true));
    const mostOfWork = (performance.now() - from) / 10 + 2;
    const work = notices.filter((one) => one.kinds.includes('work')).length;
    expect(work).toBeGreaterThan(0);
    expect(work).toBeLessThanOrEqual(mostOfWork);
    await listening?.close();
  });

  it('a node that stops leaves its runs to the other at once', async () => {
    const timing = { pollMs: 5_000 };
    asker = await startEngineWorld({ db: test.db, script, pipelines, timing });
    const stop = gate(script, 'do');
    const id = await asker.start('work');
    await stop.entered;
    worker = await startEngineWorld({ db: other, script, pipelines, timing });
    await untilListening(2);
    await untilWorkerSleeps();
    await asker.stop();
    const from = performance.now();
    await eventually(async () => expect(script.attempts).toHaveLength(2));
    expect(performance.now() - from).toBeLessThan(700);
    stop.open();
    await worker.reached(id, ['completed']);
  });

  it('the last one sends nothing once the other has said good-bye', async () => {
    await start();
    const counted = new Promise<void>((resolve) => {
      asker.events.on('nodes.counted', ({ live }) => {
        if (live === 1) resolve();
      });
    });
    await worker.stop();
    await counted;
    const notices: string[] = [];
    let isUp = false;
    const listening = other.hints?.listen({
      onHint: (payload) => notices.push(payload),
      onUp: () => {
        isUp = true;
      },
      onDown: () => {},
    });
    await eventually(async () => expect(isUp).toBe(true));
    asker.engine.control.wake.workers();
    await other.hints?.send('over');
    await eventually(async () => expect(notices).toContain('over'));
    expect(notices).toEqual(['over']);
    await listening?.close();
  });
});
