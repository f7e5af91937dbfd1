// A database that is away for seconds in the middle of a run only delays it: nothing is claimed anew, nothing done twice.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { signalRun } from '../../src/control/signal-run.ts';
import type { Database, Queryable, Statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import type { Json, StepContext } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  type Script,
  startEngineWorld,
  transient,
} from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';

const once = { ...fastRetry, maxRetries: 0 };
const step = (id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) =>
  testStep(id, needs, { uses: 'test.do', retry: once, ...overrides });
const pipeline = (id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}) =>
  testPipeline(id, { version: `${id}-1`, steps, ...overrides });
const each = { items: [1, 2, 3], maxParallel: 2, onItemError: 'continue' as const };
const undo = { uses: 'test.undo', compensate: { timeoutMs: 5_000, retry: once } };
const key = { key: 'same', ttlMs: 60_000, scope: 'pipeline' as const };

const pipelines: Pipeline[] = [
  pipeline('asks', [
    step('first'),
    step('ask', ['first'], { retry: { ...once, maxRetries: 1, initialMs: 10, jitter: 0 } }),
  ]),
  pipeline('asks-after', [step('first'), step('fails', ['first'], { onExhausted: 'wait_manual' })]),
  pipeline('spread', [
    step('first'),
    step('each', ['first'], { foreach: each, distribute: true, with: { got: '${{ item }}' } }),
    step('all', ['each'], { with: { got: '${{ steps.each.output }}' } }),
  ]),
  pipeline('child', [step('first'), step('leaf', ['first'], { queue: 'default' })]),
  pipeline('undone', [
    step('first', [], undo),
    step('each', ['first'], {
      ...undo,
      foreach: { ...each, maxParallel: 1 },
      cache: key,
      with: { got: '${{ item }}' },
    }),
    step('fails', ['each']),
  ]),
  pipeline('cached', [
    step('slow', [], { cache: key }),
    step('last', ['slow'], { with: { got: '${{ steps.slow.output }}' } }),
  ]),
];

/** Fails every query for a while, from the first statement of one of the names on; each name does so once. */
function createOutages(db: Database) {
  const ahead = new Map<string, number>();
  const unheard = new Set<string>();
  let awayUntil = 0;
  const lost = () => Promise.reject(new Error('Connection terminated unexpectedly'));
  const isAway = () => performance.now() < awayUntil;
  const wrap = (inner: Queryable): Queryable['query'] =>
    ((statement: Statement, params: readonly unknown[]) => {
      const forMs = ahead.get(statement.name);
      if (forMs !== undefined) {
        ahead.delete(statement.name);
        awayUntil = performance.now() + forMs;
      }
      if (isAway()) return lost();
      const answer = inner.query(statement, params as never);
      return unheard.delete(statement.name) ? answer.then(lost) : answer;
    }) as Queryable['query'];
  const away: Database = {
    get kind() {
      return db.kind;
    },
    query: wrap(db),
    transaction: (work, options) => (isAway() ? lost() : db.transaction((tx) => work({ query: wrap(tx) }), options)),
    async dedicated(name) {
      const connection = await db.dedicated(name);
      return { query: wrap(connection), close: () => connection.close() };
    },
    close: () => db.close(),
  };
  return {
    db: away,
    /** The first for three seconds, the others for a moment. */
    at(...names: string[]): void {
      for (const [index, name] of names.entries()) ahead.set(name, index === 0 ? 3_000 : 600);
    },
    /** Carries the next statement of the name out, and loses the answer. */
    loseAnswer: (name: string) => unheard.add(name),
    cut: () => {
      awayUntil = Number.POSITIVE_INFINITY;
    },
    /** Names whose statement was never sent. */
    left: () => [...ahead.keys()],
    end: () => {
      awayUntil = 0;
      ahead.clear();
    },
  };
}

describe('a database that is away for seconds', () => {
  let test: TestDatabase;
  let other: Database;
  let outages: ReturnType<typeof createOutages>;
  let world: EngineWorld;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    other = createPostgres({ url: test.url ?? '' });
  });
  afterAll(async () => {
    await other.close();
    await test.close();
  });
  beforeEach(async () => {
    script = createScript();
    outages = createOutages(other);
    world = await startEngineWorld({ db: outages.db, script, pipelines, timing: { leaseMs: 15_000 } });
  });
  afterEach(async () => {
    outages.end();
    await world.stop();
  });

  const historyOf = async (id: string) => (await runEvents(test.db, 'default', id, { after: 0, limit: 500 })).items;
  const countOf = async (id: string, event: string) =>
    (await historyOf(id)).filter((one) => one.event === event).length;
  const reached = async (id: string, states: Parameters<EngineWorld['reached']>[1], event: string) => {
    const run = await world.reached(id, states);
    expect(await countOf(id, event)).toBe(1);
    return run;
  };
  const answer = (id: string, decision: string) =>
    signalRun({ ...world.engine.control, db: test.db }, { tenant: 'default', actor: 'maria' }, { id, decision });

  it('does not fail a step that asks, before or after the answer', async () => {
    script.runs.set('ask', async (ctx: StepContext): Promise<Json> => {
      const { decision } = await ctx.suspend({ kind: 'approval' });
      return decision;
    });
    outages.at('find_wait', 'open_wait');
    const id = await world.start('asks');
    await reached(id, ['waiting'], 'run.claimed');
    expect(outages.left()).toEqual([]);
    outages.at('find_wait');
    await answer(id, 'approve');
    expect((await world.reached(id)).state).toBe('completed');
    expect(outages.left()).toEqual([]);
    expect(script.attempts).toEqual(['first', 'ask', 'ask']);
    expect(await countOf(id, 'run.claimed')).toBe(2);
    expect(await countOf(id, 'wait.opened')).toBe(1);
    expect(await countOf(id, 'wait.answered')).toBe(1);
  });

  it('does not keep a failed step from asking a person', async () => {
    script.failures.set('fails', [fatal('no')]);
    outages.at('open_wait', 'find_wait');
    const id = await world.start('asks-after');
    await reached(id, ['waiting'], 'run.claimed');
    expect(outages.left()).toEqual([]);
    outages.at('find_wait');
    await answer(id, 'skip');
    expect((await world.reached(id)).state).toBe('completed');
    expect(outages.left()).toEqual([]);
    expect(script.attempts).toEqual(['first', 'fails']);
    expect(await countOf(id, 'run.claimed')).toBe(2);
  });

  it('does not make a fan-out by children begin again', async () => {
    const names = ['list_open_children', 'load_item_states', 'copy_items_of_children', 'mark_children'];
    outages.at(...names, 'close_children', 'load_item_outputs');
    const id = await world.start('spread');
    const run = await world.reached(id);
    expect(run.state).toBe('completed');
    expect(outages.left()).toEqual([]);
    expect([...script.attempts].sort()).toEqual(['all', 'each/0', 'each/1', 'each/2', 'first']);
    expect(await countOf(id, 'run.claimed')).toBe((await countOf(id, 'run.waiting')) + 1);
  });

  it('does not lose what a child run came to', async () => {
    outages.at('fence_parent', 'read_outcome_of_child', 'close_children');
    const id = await world.start('child');
    expect((await world.reached(id)).state).toBe('completed');
    expect(outages.left()).toEqual([]);
    expect(script.attempts).toEqual(['first', 'leaf']);
    expect(await countOf(id, 'run.claimed')).toBe((await countOf(id, 'run.waiting')) + 1);
  });

  it('does not undo anything twice, and leaves nothing that was not', async () => {
    script.failures.set('fails', [fatal('no')]);
    outages.at('load_started_items', 'load_item_output', 'remove_cached_results');
    const id = await world.start('undone');
    expect((await world.reached(id)).state).toBe('failed');
    expect(outages.left()).toEqual([]);
    expect(new Set(script.attempts).size).toBe(script.attempts.length);
    expect(script.undone.map(({ name }) => name)).toContain('first');
    expect(new Set(script.undone.map(({ name }) => name)).size).toBe(script.undone.length);
    expect(await countOf(id, 'run.claimed')).toBe(1);
  });

  it('does not run again what the cache has', async () => {
    outages.at('keep_cached_result');
    expect((await world.reached(await world.start('cached'))).state).toBe('completed');
    outages.at('find_cached_result');
    const id = await world.start('cached');
    expect((await world.reached(id)).state).toBe('completed');
    expect(outages.left()).toEqual([]);
    expect(script.attempts).toEqual(['slow', 'last', 'last']);
    expect(await countOf(id, 'run.claimed')).toBe(1);
  });

  it('opens and ends a question once where the answers to that were lost', async () => {
    script.runs.set('ask', async (ctx: StepContext): Promise<Json> => {
      const { decision } = await ctx.suspend({ kind: 'approval', timeoutMs: 1_500, onTimeout: 'approve' });
      return decision;
    });
    outages.loseAnswer('open_wait');
    outages.loseAnswer('expire_wait');
    const id = await world.start('asks');
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts).toEqual(['first', 'ask', 'ask']);
    expect(await countOf(id, 'wait.opened')).toBe(1);
    expect(await countOf(id, 'wait.timed_out')).toBe(1);
  });

  it('tells in the history what was answered although the first to hear it was cut off before it could', async () => {
    const leaseMs = 3_000;
    await world.stop();
    world = await startEngineWorld({ db: outages.db, script, pipelines, timing: { leaseMs } });
    let heard = 0;
    script.runs.set('ask', async (ctx: StepContext): Promise<Json> => {
      const { decision } = await ctx.suspend({ kind: 'approval' });
      heard += 1;
      if (heard === 1) outages.cut();
      // The second time it also fails once: what was told is not told again by another attempt.
      if (heard === 2) throw transient();
      return decision;
    });
    const id = await world.start('asks');
    await world.reached(id, ['waiting']).catch(() => {});
    const next = await startEngineWorld({ db: test.db, script, pipelines, timing: { leaseMs } });
    next.engine.pauseClaims(true);
    await answer(id, 'approve');
    await eventually(async () => expect(heard).toBe(1));
    next.engine.pauseClaims(false);
    try {
      expect((await next.reached(id)).state).toBe('completed');
    } finally {
      await next.stop();
    }
    expect(heard).toBe(3);
    expect(await countOf(id, 'wait.answered')).toBe(1);
  });

  it('claims nothing while anybody holds claims back', async () => {
    world.engine.pauseClaims(true, 'repair');
    world.engine.pauseClaims(true, 'hand');
    world.engine.pauseClaims(false, 'hand');
    const polls = (n: number) => new Promise((resolve) => setTimeout(resolve, n * world.settings.timing.pollMs));
    // A claim that was under way when they were held is over.
    await polls(5);
    const id = await world.start('child');
    await polls(5);
    expect((await world.reached(id, ['pending'])).state).toBe('pending');
    world.engine.pauseClaims(false, 'repair');
    expect((await world.reached(id)).state).toBe('completed');
  });
});
