// A node in trouble: timeouts, cancels, crashes, a database that answers late or not at all; nothing is lost, nothing stands still.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { cancelRun } from '../../src/control/cancel-run.ts';
import type { Database, Queryable, QueryResult, Statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { createNewRun } from '../../src/domain/new-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
import { createRescuer } from '../../src/maintenance/rescuer.ts';
import { createEventBus } from '../../src/observe/events.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { StepError } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  gate,
  type Script,
  startEngineWorld,
  transient,
} from '../support/engine-world.ts';
import { sql, testPipeline, testSchedule, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };
const after = (ms: number) => ({ ...fastRetry, initialMs: ms, maxMs: ms, jitter: 0 });

function pipeline(id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

const each = (onItemError: 'continue' | 'fail', items: unknown, overrides = {}) =>
  step('each', [], { foreach: { items, maxParallel: 1, onItemError }, with: { got: '${{ item }}' }, ...overrides });

const pipelines: Pipeline[] = [
  pipeline('line', [step('a'), step('b', ['a'])]),
  pipeline('fork', [step('a'), step('b')]),
  pipeline('overdue-held', [step('a', [], { retry: after(3_000) })], { timeoutMs: 300 }),
  pipeline('overdue-waiting', [step('a', [], { retry: after(60_000) })], { timeoutMs: 400 }),
  pipeline('overdue-items', [each('continue', [1, 2, 3])], { timeoutMs: 400 }),
  pipeline('overdue-tolerant', [step('a', [], { continueOnError: true })], { timeoutMs: 300 }),
  pipeline('held', [step('a', [], { retry: after(2_000) })]),
  pipeline('swept', [step('a'), step('b', ['a'])], { finally: [step('sweep')] }),
  pipeline('swept-later', [step('a')], { finally: [step('sweep', [], { retry: after(5_500) })] }),
  pipeline('failing-items', [each('continue', [1, 2, 3]), step('b', ['each'])]),
  pipeline(
    'retried-items',
    [each('continue', [1, 2, 3]), step('b', ['each'], { retry: { ...quick, maxRetries: 0 } })],
    {
      retry: { ...slowRetry, initialMs: 50 },
    },
  ),
  pipeline('once', [testStep('a', [], { uses: 'test.effect', retry: quick })], { onInterrupted: 'fail' }),
  pipeline('once-each', [each('fail', [1, 2], { uses: 'test.effect' })], { onInterrupted: 'fail' }),
  pipeline('reports', [step('a'), step('b', ['a'])], { queue: 'reports' }),
  pipeline(
    'many',
    [
      each('continue', '${{ inputs.list }}', {
        foreach: { items: '${{ inputs.list }}', maxParallel: 50, onItemError: 'continue' },
      }),
    ],
    {
      inputs: { list: { type: 'array', required: true } },
    },
  ),
];

/** The same database, with something in the way of named statements; dedicated connections included. */
function meddle(
  db: Database,
  on: (statement: Statement, send: () => Promise<QueryResult<unknown>>) => Promise<QueryResult<unknown>>,
): Database {
  const wrap = (inner: Queryable): Queryable['query'] =>
    ((statement: Statement, params: readonly unknown[]) =>
      on(statement, () => inner.query(statement, params))) as Queryable['query'];
  return {
    get kind() {
      return db.kind;
    },
    query: wrap(db),
    transaction: (work, options) => db.transaction((tx) => work({ query: wrap(tx) }), options),
    async dedicated(name) {
      const connection = await db.dedicated(name);
      return { query: wrap(connection), close: () => connection.close() };
    },
    close: () => db.close(),
  };
}

describe('a node in trouble', () => {
  let test: TestDatabase;
  let world: EngineWorld | undefined;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase('pglite');
  });
  afterAll(() => test.close());
  beforeEach(() => {
    script = createScript();
  });
  afterEach(async () => {
    await world?.stop();
    world = undefined;
  });

  async function start(options: Partial<Parameters<typeof startEngineWorld>[0]> = {}): Promise<EngineWorld> {
    world = await startEngineWorld({ db: test.db, script, pipelines, ...options });
    return world;
  }
  const stepsOf = async (id: string) =>
    Object.fromEntries((await runSteps(test.db, 'default', id)).map((one) => [one.step, one]));
  const eventsOf = async (id: string) => (await runEvents(test.db, 'default', id, { after: 0, limit: 500 })).items;
  const claimsOf = async (id: string) => (await eventsOf(id)).filter((one) => one.event === 'run.claimed').length;
  const pipelineOf = (id: string) => pipelines.find((one) => one.id === id) as Pipeline;
  const expectDense = async (id: string) => {
    const seqs = (await eventsOf(id)).map((one) => one.seq);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
  };
  /** A run as a node leaves it that was killed: its lease is as long as asked for. */
  async function abandoned(id: string, leaseMs: number, rows: { step: string; item?: number; state: string }[] = []) {
    const run = createNewRun(pipelineOf(id), 'light', { origin: 'api' });
    await enqueueRuns(test.db, [run]);
    await sql(
      test.db,
      `update cronwright.queue set state = 'running', token = 1, claims = 1, node = $2, started_at = now(),
        attempt_started_at = now(), lease_until = now() + $3::int4 * interval '1 millisecond' where run_id = $1`,
      [run.id, uuidv7(), leaseMs],
    );
    for (const row of rows) {
      await sql(
        test.db,
        `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, started_at, rate_limited_ms)
        values ($1, $2, $3, 'default', $4, 1, 0, 1, now(), 0)`,
        [run.id, row.step, row.item ?? -1, row.state],
      );
    }
    return run.id;
  }

  describe('whose run is out of time', () => {
    it('ends it at once while it waits for a retry, and blocks nothing meanwhile', async () => {
      const { start: run, reached } = await start();
      script.failures.set('a', [transient()]);
      let last = performance.now();
      let longest = 0;
      const ticks = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 10);
      const ended = await reached(await run('overdue-held'));
      clearInterval(ticks);
      expect([ended.state, ended.error?.name]).toEqual(['failed', 'TimeoutError']);
      expect(script.attempts).toEqual(['a']);
      expect(longest).toBeLessThan(1_500);
      expect((await stepsOf(ended.id)).a?.attempts).toBe(1);
    });

    it('ends it although its retry is due long after', async () => {
      const { start: run, reached } = await start();
      script.failures.set('a', [transient()]);
      const ended = await reached(await run('overdue-waiting'));
      expect([ended.state, ended.error?.name]).toEqual(['failed', 'TimeoutError']);
      expect(await claimsOf(ended.id)).toBe(2);
      await expectDense(ended.id);
    });

    it('fails it although items and steps may fail', async () => {
      const { start: run, reached } = await start();
      gate(script, 'each/1');
      const items = await reached(await run('overdue-items'));
      expect([items.state, items.error?.name]).toEqual(['failed', 'TimeoutError']);
      expect(script.attempts).toEqual(['each/0', 'each/1']);
      gate(script, 'a');
      const tolerant = await reached(await run('overdue-tolerant'));
      expect([tolerant.state, tolerant.error?.name]).toEqual(['failed', 'TimeoutError']);
    });
  });

  describe('with a cancelled run', () => {
    it('ends it as cancelled although another claim does its clean-up', async () => {
      const { start: run } = await start();
      const [a, sweep] = [gate(script, 'a'), gate(script, 'sweep')];
      const id = await run('swept');
      await a.entered;
      await cancelRun((world as EngineWorld).engine.control, { tenant: 'default', id, actor: 'ada' });
      await sweep.entered;
      await world?.stop();
      script.gates.clear();
      const { reached } = await start();
      const ended = await reached(id);
      expect([ended.state, ended.error?.message]).toEqual(['cancelled', 'cancelled by ada']);
      expect(script.attempts).toEqual(['a', 'sweep', 'sweep']);
      const steps = await stepsOf(id);
      expect([steps.a?.state, steps.sweep?.state]).toEqual(['cancelled', 'completed']);
      await expectDense(id);
    });

    it('lets its clean-up wait for a retry like any other', async () => {
      const { start: run, reached } = await start();
      const a = gate(script, 'a');
      script.failures.set('sweep', [transient()]);
      const id = await run('swept-later');
      await a.entered;
      await cancelRun((world as EngineWorld).engine.control, { tenant: 'default', id, actor: 'ada' });
      const ended = await reached(id);
      expect([ended.state, await claimsOf(id)]).toEqual(['cancelled', 2]);
    });
  });

  describe('keeping its books', () => {
    it('numbers what happened to a delayed run without a hole', async () => {
      const { start: run, reached } = await start();
      const id = await run('line', { runAt: new Date(Date.now() + 300) });
      await reached(id);
      expect((await eventsOf(id)).map((one) => one.event).slice(0, 3)).toEqual([
        'run.enqueued',
        'run.woken',
        'run.claimed',
      ]);
      await expectDense(id);
    });

    it('never ends a run before the outcomes of its steps are stored', async () => {
      let isSlow = true;
      const db = meddle(test.db, async (statement, send) => {
        if (statement.name === 'write_checkpoints' && isSlow) await sleep(400);
        return send();
      });
      const { start: run, reached } = await start({ db });
      const [a, b] = [gate(script, 'a'), gate(script, 'b')];
      const id = await run('fork');
      await Promise.all([a.entered, b.entered]);
      a.open();
      await eventually(async () => expect(script.running).toBe(1));
      await sleep(50);
      b.open();
      await reached(id);
      await sleep(500);
      isSlow = false;
      const steps = await stepsOf(id);
      expect([steps.a?.state, steps.b?.state]).toEqual(['completed', 'completed']);
      await expectDense(id);
    });

    it('remembers failed items across claims', async () => {
      const { start: run } = await start();
      script.failures.set('each/1', [fatal()]);
      const b = gate(script, 'b');
      const id = await run('failing-items');
      await b.entered;
      await world?.stop();
      script.gates.clear();
      const { reached, start: again } = await start();
      const resumed = await reached(id);
      expect([resumed.state, resumed.failed_items]).toEqual(['completed', 1]);
      script.failures.set('each/2', [fatal()]);
      script.failures.set('b', [transient()]);
      const retried = await reached(await again('retried-items'));
      expect([retried.state, retried.attempt, retried.failed_items]).toEqual(['completed', 2, 1]);
    });

    it('counts clean-up steps for nothing in the progress of a failed run', async () => {
      const { start: run, reached } = await start();
      script.failures.set('b', [fatal()]);
      const ended = await reached(await run('swept'));
      expect([ended.state, ended.progress]).toEqual(['failed', 50]);
    });

    it('counts the attempts that were made, not those that were given up before they began', async () => {
      const { start: run } = await start();
      script.failures.set('a', [transient()]);
      const id = await run('held');
      await eventually(async () => expect(script.failures.get('a')).toEqual([]));
      await eventually(async () => expect(script.running).toBe(0));
      await world?.stop();
      expect((await stepsOf(id)).a).toMatchObject({ state: 'pending', attempts: 1, retries: 1 });
      const { reached } = await start();
      await reached(id);
      expect((await stepsOf(id)).a).toMatchObject({ state: 'completed', attempts: 2, retries: 1 });
    });

    it('says that a run has finished also where the first answer was lost', async () => {
      let isLost = true;
      const db = meddle(test.db, async (statement, send) => {
        const answer = await send();
        if (!statement.name.startsWith('finish') || !isLost) return answer;
        isLost = false;
        return send();
      });
      const { start: run, reached, events } = await start({ db });
      const heard: string[] = [];
      events.on('run.finished', ({ state }) => heard.push(state));
      events.on('run.lease_lost', () => heard.push('lease_lost'));
      await reached(await run('line'));
      await eventually(async () => expect(heard).toEqual(['completed']));
    });

    it('stores what a step tells while it runs', async () => {
      const { start: run } = await start();
      const a = gate(script, 'a');
      const id = await run('line');
      await a.entered;
      await eventually(async () => expect((await stepsOf(id)).a?.state).toBe('running'));
      script.contexts[0]?.event('half_way', { n: 1 });
      await eventually(
        async () => expect((await eventsOf(id)).map((one) => one.event)).toContain('step.event.half_way'),
        5_000,
      );
      a.open();
    });
  });

  describe('after a crash', () => {
    it('takes up the runs of a dead process at once where it owns the database alone', async () => {
      const id = await abandoned('line', 3_600_000);
      const { reached } = await start();
      expect((await reached(id)).state).toBe('completed');
    });

    it('puts on record that an interrupted effect is not repeated', async () => {
      const one = await abandoned('once', -1, [{ step: 'a', state: 'running' }]);
      const many = await abandoned('once-each', -1, [{ step: 'each', item: 0, state: 'running' }]);
      const { reached } = await start();
      expect((await reached(one)).error?.name).toBe('Interrupted');
      expect((await stepsOf(one)).a).toMatchObject({ state: 'failed', error: { name: 'Interrupted' } });
      expect((await reached(many)).state).toBe('failed');
      expect(
        await sql(test.db, 'select item, state from cronwright.step_runs where run_id = $1 and item >= 0', [many]),
      ).toEqual([{ item: 0, state: 'failed' }]);
      expect(script.attempts).toEqual([]);
    });

    it('does not take a shutdown in the middle of an item for a crash', async () => {
      const { start: run } = await start();
      const item = gate(script, 'each/0');
      const id = await run('once-each');
      await item.entered;
      await world?.stop();
      script.gates.clear();
      const { reached } = await start();
      expect((await reached(id)).state).toBe('completed');
      expect(script.attempts).toEqual(['each/0', 'each/0', 'each/1']);
    });

    it('rescues the runs of a dead node when their lease is over, not a lease later', async () => {
      const monotonic = { ms: 0 };
      const events = createEventBus();
      const rescued: string[] = [];
      events.on('run.rescued', ({ runId }) => rescued.push(runId));
      const id = await abandoned('line', 60_000);
      const [queued] = await sql<{ node: string }>(test.db, 'select node from cronwright.queue where run_id = $1', [
        id,
      ]);
      await sql(
        test.db,
        `insert into cronwright.nodes (id, name, version, started_at, beat, beat_at, workers, in_flight) values ($1, 'n', '1', now(), 5, now(), 1, 1)`,
        [queued?.node],
      );
      let looks = 0;
      const db = meddle(test.db, (_statement, send) => {
        looks += 1;
        return send();
      });
      const rescuer = createRescuer({
        db,
        clock: { now: systemClock.now, monotonic: () => monotonic.ms },
        events,
        node: randomUUID(),
        home: randomUUID(),
        holds: () => false,
        everyMs: 10,
        leaseMs: 30_000,
        isAlone: false,
        onRescued: () => {},
        noticesOf: () => [],
      });
      await rescuer.start();
      await eventually(async () => expect(looks).toBeGreaterThan(4));
      await sql(test.db, `update cronwright.queue set lease_until = now() - interval '1 second'`);
      const before = looks;
      await eventually(async () => expect(looks).toBeGreaterThan(before + 4));
      expect(rescued).toEqual([]);
      monotonic.ms = 30_000;
      await eventually(async () => expect(rescued).toEqual([id]), 5_000);
      await rescuer.stop();
      await sql(test.db, 'delete from cronwright.queue');
    });
  });

  describe('that cannot load what it has claimed', () => {
    it('gives it back and goes on', async () => {
      const id = await abandoned('line', -1);
      let failures = 2;
      const db = meddle(test.db, async (statement, send) => {
        if (statement.name === 'load_step_runs' && failures-- > 0) throw new Error('no memory left');
        return send();
      });
      const { reached } = await start({ db });
      expect((await reached(id)).state).toBe('completed');
    });

    it('begins nothing whose lease has passed meanwhile', async () => {
      const id = await abandoned('line', -1);
      let isSlow = true;
      const db = meddle(test.db, async (statement, send) => {
        const answer = await send();
        if (statement.name !== 'load_step_runs' || !isSlow) return answer;
        isSlow = false;
        await sleep(1_800);
        return answer;
      });
      const { reached } = await start({ db, timing: { leaseMs: 1_000, rescueMs: 100 } });
      expect((await reached(id)).state).toBe('completed');
      expect(script.attempts).toEqual(['a', 'b']);
    });

    it('fails the run of a version that another release stored in another shape, and no other', async () => {
      const { reached, engine } = await start();
      const broken = pipeline('broken', [step('a')]);
      await sql(
        test.db,
        `insert into cronwright.pipelines (tenant, id, version, definition, active, created_at)
        values ('default', 'broken', 'broken-1', $1::jsonb, false, now())`,
        [JSON.stringify({ ...broken, onFailure: undefined })],
      );
      const runs = [broken, pipelineOf('line')].map((one) => createNewRun(one, 'light', { origin: 'api' }));
      await enqueueRuns(test.db, runs);
      engine.control.wake.workers();
      const [bad, good] = runs.map((run) => run.id) as [string, string];
      expect((await reached(good)).state).toBe('completed');
      const ended = await reached(bad);
      expect(ended.state).toBe('failed');
      expect(ended.error?.name).toBe('InvalidDefinition');
      expect(ended.error?.message).toContain('version broken-1 of pipeline broken');
    });
  });

  it('goes on with the runs of a pipeline that was removed, also of a queue of its own', async () => {
    await start();
    await world?.stop();
    const run = createNewRun(pipelineOf('reports'), 'light', { origin: 'api' });
    await enqueueRuns(test.db, [run]);
    const { reached } = await start({ pipelines: pipelines.filter((one) => one.id !== 'reports') });
    expect((await reached(run.id)).state).toBe('completed');
  });

  it('waits out a limit that asks for the end of time, and harms no other run by it', async () => {
    const { start: run, reached } = await start();
    script.failures.set('a', [new StepError('rate_limited', 'later', { retryAfterMs: 1e20 })]);
    const late = await run('overdue-waiting');
    const ended = await reached(late);
    expect([ended.state, ended.error?.name]).toEqual(['failed', 'TimeoutError']);
    expect((await reached(await run('line'))).state).toBe('completed');
  });

  it('carries 10,000 items in passable time, and goes on with the open ones only', async () => {
    const list = Array.from({ length: 10_000 }, (_, index) => index);
    const { start: run } = await start({ timing: { leaseMs: 30_000 } });
    const begun = performance.now();
    const id = await run('many', { inputs: { list } });
    await eventually(async () => expect(script.attempts.length).toBeGreaterThan(3_000), 60_000);
    await world?.stop();
    const { reached } = await start({ timing: { leaseMs: 30_000 } });
    const ended = await eventually(async () => {
      const now = await reached(id);
      return now;
    }, 60_000);
    expect([ended.state, ended.failed_items]).toEqual(['completed', 0]);
    expect(new Set(script.attempts).size).toBe(10_000);
    // What was under way at the stop runs again, and nothing else.
    expect(script.attempts.length).toBeLessThanOrEqual(10_050);
    const [{ n } = { n: 0 }] = await sql<{ n: number }>(
      test.db,
      `select count(*) as n from cronwright.step_runs where run_id = $1 and item >= 0 and state = 'completed'`,
      [id],
    );
    expect(n).toBe(10_000);
    expect(performance.now() - begun).toBeLessThan(60_000);
  });

  it('catches up as each policy says, however many runs a schedule may have', async () => {
    const schedules = (['none', 'last', 'all'] as const).flatMap((policy) =>
      (['skip', 'queue', 'queue_all', 'allow', 'cancel_previous'] as const).map((overlap) => {
        const id = `owed-${policy}-${overlap.replaceAll('_', '-')}`;
        const schedule = testSchedule(id, 's', {
          cron: '@every 600s',
          overlap,
          catchup: { policy, windowMs: 86_400_000, max: 100 },
        });
        return pipeline(id, [step(`x${policy}`)], { schedules: [schedule] });
      }),
    );
    await start({ pipelines: schedules });
    await world?.stop();
    await sql(
      test.db,
      `update cronwright.schedules set cursor_at = now() - interval '3601 seconds', next_at = now() - interval '3000 seconds' where removed_at is null`,
    );
    const { engine } = await start({ pipelines: schedules });
    const outcomes = await eventually(async () => {
      const rows = await sql<{ id: string; runs: number; other: number; live: number }>(
        test.db,
        `select s.id, (select count(*) from cronwright.runs r where r.schedule = s.id) as runs,
          (select coalesce(sum(count), 0)::int8 from cronwright.occurrences o where o.schedule = s.id) as other,
          (select count(*) from cronwright.queue q where q.schedule = s.id) as live
        from cronwright.schedules s where s.id like 'owed-%'`,
      );
      for (const row of rows) expect([row.id, row.runs + row.other, row.live]).toEqual([row.id, expect.any(Number), 0]);
      for (const row of rows) expect(row.runs + row.other).toBeGreaterThanOrEqual(6);
      return new Map(rows.map((row) => [row.id, row]));
    }, 15_000);
    const runsOf = (name: string) => outcomes.get(`owed-${name}.s`)?.runs ?? -1;
    for (const overlap of ['skip', 'queue', 'queue-all', 'allow', 'cancel-previous']) {
      expect(runsOf(`none-${overlap}`)).toBeLessThanOrEqual(1);
      expect(runsOf(`last-${overlap}`)).toBe(1);
    }
    expect(runsOf('all-skip')).toBe(1);
    expect(runsOf('all-queue')).toBe(2);
    expect(runsOf('all-queue-all')).toBeGreaterThanOrEqual(6);
    expect(runsOf('all-allow')).toBeGreaterThanOrEqual(6);
    expect(runsOf('all-cancel-previous')).toBe(1);
    expect(engine.catalog.hash).toBe('test');
  });
});

describe('two nodes on one PostgreSQL', () => {
  let test: TestDatabase;
  let other: Database;
  const worlds: EngineWorld[] = [];

  beforeAll(async () => {
    test = await createTestDatabase('postgres', { isolation: 'serializable' });
    other = createPostgres({ url: test.url ?? '', isolation: 'serializable' });
  });
  afterEach(async () => {
    for (const world of worlds.splice(0)) await world.stop();
  });
  afterAll(async () => {
    await other.close();
    await test.close();
  });

  async function start(options: Parameters<typeof startEngineWorld>[0]): Promise<EngineWorld> {
    const world = await startEngineWorld(options);
    worlds.push(world);
    return world;
  }

  /** The second connection, until it is cut. */
  function cuttable() {
    const state = { isCut: false };
    const db = meddle(other, (_statement, send) => {
      if (state.isCut) return Promise.reject(new Error('Connection terminated unexpectedly'));
      return send();
    });
    return { db, cut: () => Object.assign(state, { isCut: true }), mend: () => Object.assign(state, { isCut: false }) };
  }

  it('take over what the other one loses within a lease, and never run one at the same time', async () => {
    const leaseMs = 3_000;
    const scripts = [createScript(), createScript()] as const;
    const [a, b] = [gate(scripts[0], 'a'), gate(scripts[1], 'a')];
    const line = cuttable();
    const lost = await start({ db: line.db, script: scripts[0], pipelines, timing: { leaseMs } });
    const id = await lost.start('line');
    await a.entered;
    const keeper = await start({ db: test.db, script: scripts[1], pipelines, timing: { leaseMs } });
    // The observer has to have seen the other one alive.
    await eventually(async () =>
      expect(await sql(test.db, 'select 1 as one from cronwright.nodes where beat > 5')).not.toEqual([]),
    );
    const cutAt = performance.now();
    line.cut();
    await b.entered;
    expect(performance.now() - cutAt).toBeLessThan(leaseMs + 2_500);
    expect(scripts[0].contexts[0]?.signal.aborted).toBe(true);
    expect(scripts[0].running).toBe(0);
    b.open();
    expect((await keeper.reached(id)).state).toBe('completed');
    expect([scripts[0].attempts, scripts[1].attempts]).toEqual([['a'], ['a', 'b']]);
    line.mend();
    // The one that was lost works again.
    await keeper.stop();
    a.open();
    const next = await lost.start('line');
    expect((await lost.reached(next)).state).toBe('completed');
  });

  it('stop in bounded time although the database is away', async () => {
    const script = createScript();
    const line = cuttable();
    const world = await start({ db: line.db, script, pipelines, timing: { leaseMs: 1_500 } });
    const a = gate(script, 'a');
    await world.start('line');
    await a.entered;
    line.cut();
    const begun = performance.now();
    await world.stop();
    expect(performance.now() - begun).toBeLessThan(6_000);
    line.mend();
  });

  it('hold a limit together', async () => {
    const script = createScript();
    const limited = pipeline('limited', [step('a')], { concurrency: { limit: 2 } });
    const [one, two] = [
      await start({ db: test.db, script, pipelines: [limited] }),
      await start({ db: other, script, pipelines: [limited] }),
    ];
    const ids = await Promise.all(
      Array.from({ length: 24 }, (_, index) => (index % 2 === 0 ? one : two).start('limited')),
    );
    for (const id of ids) expect((await one.reached(id)).state).toBe('completed');
    expect(script.mostRunning).toBeLessThanOrEqual(2);
    expect(script.attempts).toHaveLength(24);
    expect(await sql(test.db, 'select key from cronwright.slots where run_id is not null')).toEqual([]);
  });
});
