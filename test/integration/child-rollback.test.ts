// What becomes of children whose parent is interrupted: timed out, cancelled, or rolled back, on the embedded database and on PostgreSQL.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import { rollbackRun } from '../../src/control/rollback-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
import { cancelChildren } from '../../src/queue/cancel-children.ts';
import { closeUnaskedChildren, findParentsOfOrphans, findUnheardChildren } from '../../src/queue/wake-parents.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
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
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };
const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;

function pipeline(id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

function call(id: string, pipelineId: string) {
  return step(id, [], { uses: 'pipeline.run', with: { pipeline: pipelineId } });
}

const undo = { uses: 'test.undo', compensate: { timeoutMs: 5_000, retry: { ...quick, maxRetries: 0 } } };
const undoLater = {
  uses: 'test.undo',
  compensate: { timeoutMs: 5_000, retry: { ...quick, initialMs: 5_500, maxMs: 5_500, jitter: 0, maxRetries: 1 } },
};
const again = { ...slowRetry, initialMs: 20, maxRetries: 1, on: ['TimeoutError'] };
const three = { items: [1, 2, 3], maxParallel: 3, onItemError: 'continue' } as const;

/** One whose items are carried out by children, and one whose step is. */
function partsOf(name: string, overrides: Partial<Pipeline>, others: Pipeline['steps'], queue?: string): Pipeline[] {
  const items = step('work', [], { ...undo, distribute: true, foreach: three, ...(queue && { queue }) });
  return [
    pipeline(`work-items${name}`, [items, ...others], overrides),
    pipeline(`work-part${name}`, [step('work', [], { ...undo, queue: 'far' }), ...others], overrides),
  ];
}

const pipelines: Pipeline[] = [
  pipeline('timed-part', [step('part', [], { queue: 'far' })], { timeoutMs: 2_000, retry: again }),
  pipeline('timed-items', [step('each', [], { distribute: true, foreach: { ...three, onItemError: 'fail' } })], {
    timeoutMs: 2_000,
    retry: again,
  }),
  pipeline('back-items', [step('first', [], undo), step('each', ['first'], { distribute: true, foreach: three })]),
  pipeline('back-part', [step('first', [], undo), step('part', ['first'], { queue: 'far' })]),
  ...partsOf('', {}, []),
  ...partsOf('-timed', { timeoutMs: 1_500 }, []),
  ...partsOf('-fails', {}, [step('bad')]),
  ...partsOf('-after', {}, [step('held')], 'far'),
  pipeline('again-part', [step('first'), step('work', ['first'], { ...undo, queue: 'far' })]),
  pipeline('inner', [step('made', [], undo), step('ask', ['made'])]),
  pipeline('inner-slow', [step('made', [], undoLater), step('ask', ['made'])]),
  pipeline('inner-cleans', [step('made'), step('ask', ['made'])], { finally: [step('sweep')] }),
  pipeline('inner-limited', [step('ask')], { concurrency: { limit: 1, group: 'one' } }),
  pipeline('outer', [call('call', 'inner')]),
  pipeline('outer-slow', [call('call', 'inner-slow')]),
  pipeline('outer-cleans', [call('call', 'inner-cleans')]),
  pipeline('outermost', [call('top', 'outer-cleans')]),
  pipeline('outer-limited', [call('call', 'inner-limited'), step('other')], { timeoutMs: 1_500 }),
];

describe.each(engineVariants)('children of an interrupted run on $name', (variant) => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines, workers: 4, inFlight: 4 });
  });
  afterEach(() => world.stop());

  const eventsOf = async (id: string) =>
    (await runEvents(test.db, 'default', id, { after: 0, limit: 500 })).items.map((one) => one.event);
  const countOf = async (id: string, event: string) => (await eventsOf(id)).filter((one) => one === event).length;
  const childrenOf = (id: string) =>
    sql<{ id: string; state: string | null; open: boolean | null }>(
      test.db,
      'select id, state, child_open as open from cronwright.runs where parent_id = $1 order by created_at, id',
      [id],
    );
  const asks = () =>
    script.runs.set('ask', async (ctx) => {
      await ctx.suspend({ kind: 'approval', message: 'ok?' });
      return null;
    });
  /** The parent and its child wait, the child for a person. */
  async function startWaiting(name: string): Promise<{ id: string; child: string }> {
    asks();
    const id = await world.start(name);
    await world.reached(id, ['waiting']);
    const child = await eventually(async () => {
      const [found] = await childrenOf(id);
      expect(found).toBeDefined();
      return found?.id ?? '';
    });
    await world.reached(child, ['waiting']);
    return { id, child };
  }
  const undone = () => script.undone.map((one) => one.name);

  describe('of an earlier try', () => {
    it('items that a timeout of the run ended run again with its next try', async () => {
      for (const item of [1, 2]) gate(script, `each/${item}`);
      const id = await world.start('timed-items');
      await eventually(async () => expect(await countOf(id, 'run.retrying')).toBe(1));
      script.gates.clear();
      const run = await world.reached(id);
      expect([run.state, run.attempt, run.failed_items, run.error]).toEqual(['completed', 2, 0, null]);
      const counts = [0, 1, 2].map((item) => script.attempts.filter((one) => one === `each/${item}`).length);
      expect(counts).toEqual([1, 2, 2]);
    });

    it('a step in a queue of its own runs again after a timeout of the run, and no child is left open', async () => {
      gate(script, 'part');
      const id = await world.start('timed-part');
      await eventually(async () => expect(await countOf(id, 'run.retrying')).toBe(1));
      script.gates.clear();
      const run = await world.reached(id);
      expect([run.state, run.attempt]).toEqual(['completed', 2]);
      // The first has the same timeout: whose comes first says how it ends.
      const children = await childrenOf(id);
      expect(children.map((child) => child.open)).toEqual([null, null]);
      expect(children.filter((child) => child.state === 'completed').length).toBe(1);
    });

    it('items run again once a run is resumed that was rolled back to a step before them', async () => {
      const gates = [0, 1, 2].map((item) => gate(script, `each/${item}`));
      const id = await world.start('back-items');
      await Promise.all(gates.map((one) => one.entered));
      await rollbackRun(createRunStarter(world.engine.control), id, { to: 'first' }, caller);
      await world.reached(id, ['paused']);
      expect((await childrenOf(id)).map((child) => child.open)).toEqual([null, null, null]);
      script.gates.clear();
      script.attempts.length = 0;
      await resumeRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
      const run = await world.reached(id);
      expect([run.state, run.failed_items]).toEqual(['completed', 0]);
      expect([...script.attempts].sort()).toEqual(['each/0', 'each/1', 'each/2']);
    });

    it('those left behind wake their parent no more: it waits in peace for the child of its next try', async () => {
      const first = gate(script, 'part');
      const id = await world.start('back-part');
      await first.entered;
      await rollbackRun(createRunStarter(world.engine.control), id, { to: 'first' }, caller);
      await world.reached(id, ['paused']);
      const [old] = await childrenOf(id);
      const second = gate(script, 'part');
      await resumeRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
      await second.entered;
      await world.reached(id, ['waiting']);
      // As if the node had died before it closed it.
      await sql(test.db, 'update cronwright.runs set child_open = true where id = $1', [old?.id]);
      expect(await findUnheardChildren(test.db, 10)).toEqual([]);
      await eventually(async () => expect((await childrenOf(id)).find((one) => one.id === old?.id)?.open).toBeNull());
      expect(await countOf(id, 'run.woken')).toBeLessThanOrEqual(1);
      second.open();
      expect((await world.reached(id)).state).toBe('completed');
    });
  });

  describe('with rollback', () => {
    it('what a waiting child did is undone when its parent is cancelled with rollback', async () => {
      const { id, child } = await startWaiting('outer');
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester', rollback: true });
      expect((await world.reached(child)).state).toBe('rolled_back');
      expect((await world.reached(id)).state).toBe('rolled_back');
      expect(undone()).toEqual(['made']);
    });

    it('what a waiting child did is undone when its parent is rolled back', async () => {
      const { id, child } = await startWaiting('outer');
      await rollbackRun(createRunStarter(world.engine.control), id, {}, caller);
      expect((await world.reached(child)).state).toBe('rolled_back');
      expect((await world.reached(id)).state).toBe('rolled_back');
      expect(undone()).toEqual(['made']);
    });

    it('a child that is between two tries to undo what it did is left to it by everyone', async () => {
      script.failures.set('undo made', [transient('later')]);
      const { id, child } = await startWaiting('outer-slow');
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester', rollback: true });
      await eventually(async () => expect(await countOf(child, 'step.compensation_retried')).toBe(1));
      await eventually(async () => expect((await world.reached(child, ['rolling_back'])).state).toBe('rolling_back'));
      for (const rollback of [false, true]) {
        const asked = await cancelChildren(test.db, [id], { actor: null, reason: null, rollback });
        expect([asked.ended, asked.called]).toEqual([[], 0]);
      }
      expect((await world.reached(child)).state).toBe('rolled_back');
      expect((await world.reached(id)).state).toBe('rolled_back');
      expect(undone()).toEqual(['made', 'made']);
    });

    it('a child that could not be undone stays so, also when its parent is gone', async () => {
      script.failures.set('undo made', [fatal('never')]);
      const { id, child } = await startWaiting('outer');
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester', rollback: true });
      await world.reached(child, ['rollback_failed']);
      expect((await world.reached(id)).state).toBe('rolled_back');
      expect(await findParentsOfOrphans(test.db, 10)).not.toContain(id);
      const asked = await cancelChildren(test.db, [id], { actor: null, reason: null, rollback: false });
      expect([asked.ended, asked.left]).toEqual([[], 0]);
      expect((await world.reached(child, ['rollback_failed'])).state).toBe('rollback_failed');
      await rollbackRun(createRunStarter(world.engine.control), child, {}, caller);
      expect((await world.reached(child)).state).toBe('rolled_back');
    });

    it('a run whose children hold all places of the only node is rolled back at once', async () => {
      await world.stop();
      world = await startEngineWorld({ db: test.db, script, pipelines, workers: 3, inFlight: 3 });
      const gates = [0, 1, 2].map((item) => gate(script, `each/${item}`));
      const id = await world.start('back-items');
      await Promise.all(gates.map((one) => one.entered));
      await world.reached(id, ['waiting']);
      await rollbackRun(createRunStarter(world.engine.control), id, {}, caller);
      expect((await world.reached(id)).state).toBe('rolled_back');
      expect(undone()).toEqual(['first']);
    });
  });

  describe.each([
    { kind: 'items', all: ['work/0', 'work/1', 'work/2'] },
    { kind: 'part', all: ['work'] },
  ])('once each: what $kind in flight did', ({ kind, all }) => {
    const starter = () => createRunStarter(world.engine.control);
    /** Under way, all but the first: that has completed, where there are several. */
    async function inFlight(name: string): Promise<string> {
      const [, ...later] = all;
      const gates = (later.length > 0 ? later : all).map((one) => gate(script, one));
      script.runs.set('work', async (_ctx, input) => input as null);
      const id = await world.start(name);
      await Promise.all(gates.map((one) => one.entered));
      if (later.length > 0) await eventually(async () => expect(await completedIn(id)).toBe(1));
      return id;
    }
    const completedIn = async (id: string) =>
      (await childrenOf(id)).filter((child) => child.state === 'completed').length;
    const expectOnce = async (id: string, state: string) => {
      expect((await world.reached(id)).state).toBe(state);
      for (const child of await childrenOf(id)) {
        expect((await world.reached(child.id)).state).toMatch(/^(cancelled|completed|failed)$/);
      }
      expect([...script.attempts].filter((one) => all.includes(one)).sort()).toEqual(all);
      expect(undone().sort()).toEqual(all);
    };

    it('is undone by a rollback', async () => {
      const id = await inFlight(`work-${kind}`);
      await rollbackRun(starter(), id, {}, caller);
      await expectOnce(id, 'rolled_back');
    });

    it('is undone by a cancel with rollback', async () => {
      const id = await inFlight(`work-${kind}`);
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester', rollback: true });
      await expectOnce(id, 'rolled_back');
    });

    it('is undone when the time of the run is up', async () => {
      const id = await inFlight(`work-${kind}-timed`);
      await expectOnce(id, 'failed');
    });

    it('is undone when another step fails', async () => {
      const bad = gate(script, 'bad');
      script.failures.set('bad', [fatal('never')]);
      const id = await inFlight(`work-${kind}-fails`);
      bad.open();
      for (const one of all) script.gates.delete(one);
      for (const child of await childrenOf(id)) {
        if (child.state === null)
          await cancelRun(world.engine.control, { tenant: 'default', id: child.id, actor: 'x' });
      }
      await expectOnce(id, 'failed');
    });

    it('is undone after the run has completed', async () => {
      const id = await world.start(`work-${kind}`);
      await world.reached(id, ['completed']);
      const by = await rollbackRun(starter(), id, {}, caller);
      await expectOnce(by.id, 'rolled_back');
    });

    it('is undone after the run was cancelled, with all that had begun', async () => {
      const id = await inFlight(`work-${kind}`);
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
      expect((await world.reached(id)).state).toBe('cancelled');
      expect(undone()).toEqual([]);
      const by = await rollbackRun(starter(), id, {}, caller);
      await expectOnce(by.id, 'rolled_back');
    });

    it('is undone with what it noted for itself when its node dies meanwhile', async () => {
      const last = all.at(-1) as string;
      const noted = new Promise<void>((resolve) => {
        script.runs.set('work', async (ctx) => {
          const isLast = (ctx.item === undefined ? ctx.step : `${ctx.step}/${ctx.item}`) === last;
          if (!isLast) return null;
          await ctx.checkpoint.save({ made: 'half' });
          resolve();
          return new Promise((_, reject) => {
            if (ctx.signal.aborted) reject(ctx.signal.reason);
            ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason));
          });
        });
      });
      const found: unknown[] = [];
      const id = await world.start(`work-${kind}`);
      await noted;
      await eventually(async () => expect(await completedIn(id)).toBe(all.length - 1));
      const live = (await childrenOf(id)).find((child) => child.state === null)?.id ?? '';
      // As if a node that nobody hears of any more held it.
      await sql(
        test.db,
        `update cronwright.queue set node = gen_random_uuid(), token = token + 1, lease_until = now() - interval '1 hour'
        where run_id = $1 and state = 'running'`,
        [live],
      );
      await rollbackRun(starter(), id, {}, caller);
      expect((await world.reached(id)).state).toBe('rolled_back');
      for (const { name, ctx } of script.undone) if (name === last) found.push(await loaded(id, ctx.item));
      expect(found).toEqual([{ made: 'half' }]);
      expect(undone().sort()).toEqual(all);
    });

    it('is not undone where it had not begun', async () => {
      await world.stop();
      world = await startEngineWorld({ db: test.db, script, pipelines, queues: ['default'] });
      const held = gate(script, 'held');
      const id = await world.start(`work-${kind}-after`);
      await held.entered;
      await eventually(async () => expect((await childrenOf(id)).length).toBe(all.length));
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester', rollback: true });
      expect((await world.reached(id)).state).toBe('rolled_back');
      expect((await childrenOf(id)).map((child) => child.state)).toEqual(all.map(() => 'cancelled'));
      expect([undone(), script.attempts]).toEqual([[], ['held']]);
    });
  });

  it('what was undone with a rollback to a step before it is not undone again with the next', async () => {
    const first = gate(script, 'work');
    const id = await world.start('again-part');
    await first.entered;
    await rollbackRun(createRunStarter(world.engine.control), id, { to: 'first' }, caller);
    await world.reached(id, ['paused']);
    expect(undone()).toEqual(['work']);
    await rollbackRun(createRunStarter(world.engine.control), id, {}, caller);
    expect((await world.reached(id)).state).toBe('rolled_back');
    expect(undone()).toEqual(['work']);
  });

  it('a part is not rolled back by itself', async () => {
    const work = gate(script, 'work');
    const id = await world.start('work-part');
    await work.entered;
    const child = (await childrenOf(id))[0]?.id ?? '';
    const starter = createRunStarter(world.engine.control);
    await expect(rollbackRun(starter, child, {}, caller)).rejects.toThrow(`it is a part of run "${id}"`);
    const cancel = { tenant: 'default', id: child, actor: 'tester', rollback: true };
    await expect(cancelRun(world.engine.control, cancel)).rejects.toThrow(`it is a part of run "${id}"`);
    work.open();
    expect((await world.reached(id)).state).toBe('completed');
    await expect(rollbackRun(starter, child, {}, caller)).rejects.toThrow(`it is a part of run "${id}"`);
  });

  describe('without', () => {
    it('a waiting child cleans up when its parent is cancelled, and nobody has to answer it any more', async () => {
      const { id, child } = await startWaiting('outermost');
      const [inner] = await eventually(async () => {
        const found = await childrenOf(child);
        expect(found.length).toBe(1);
        return found;
      });
      await world.reached(inner?.id ?? '', ['waiting']);
      await eventually(async () => expect(await openWaits(inner?.id)).toBe(1));
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
      for (const one of [id, child, inner?.id ?? '']) expect((await world.reached(one)).state).toBe('cancelled');
      expect(script.attempts.filter((one) => one === 'sweep')).toEqual(['sweep']);
      await eventually(async () => expect(await openWaits(inner?.id)).toBe(0));
    });

    it('nobody has to answer a child that is cancelled at once', async () => {
      const { id, child } = await startWaiting('outer');
      await eventually(async () => expect(await openWaits(child)).toBe(1));
      await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
      expect((await world.reached(child)).state).toBe('cancelled');
      expect(await openWaits(child)).toBe(0);
    });

    it('a child at work is asked once, and the first reason stays', async () => {
      const made = gate(script, 'made');
      const id = await world.start('outer');
      await made.entered;
      const child = (await childrenOf(id))[0]?.id ?? '';
      world.engine.pauseClaims(true);
      const first = await cancelChildren(test.db, [id], { actor: 'one', reason: 'first', rollback: false });
      const next = await cancelChildren(test.db, [id], { actor: 'two', reason: 'second', rollback: false });
      expect([first.asked.length, next.asked.length, next.left <= 1]).toEqual([1, 0, true]);
      const run = await world.reached(child);
      expect([run.state, run.error?.message]).toEqual(['cancelled', 'cancelled by one: first']);
      world.engine.pauseClaims(false);
      await world.reached(id);
    });

    it('the slots of children that a timeout ends go to others without waiting for a sweep', async () => {
      await world.stop();
      // The sweep is further off than the test waits.
      world = await startEngineWorld({ db: test.db, script, pipelines, timing: { pollMs: 600_000 } });
      asks();
      const stop = gate(script, 'other');
      const id = await world.start('outer-limited');
      await stop.entered;
      const [child] = await eventually(async () => {
        const found = await childrenOf(id);
        expect(found.length).toBe(1);
        return found;
      });
      await world.reached(child?.id ?? '', ['waiting']);
      const other = await world.start('inner-limited');
      await eventually(async () => expect((await world.reached(other, ['pending'])).blocked_on).toBe('group:one'));
      await world.reached(id);
      await world.reached(child?.id ?? '');
      expect((await world.reached(other, ['waiting', 'running'])).started_at).not.toBeNull();
      await cancelRun(world.engine.control, { tenant: 'default', id: other, actor: 'tester' });
    });
  });

  it('ended children of runs that are gone are closed', async () => {
    const { id, child } = await startWaiting('outer');
    await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
    await world.reached(child);
    await closeUnaskedChildren(test.db, 100);
    expect((await childrenOf(id)).map((one) => one.open)).toEqual([null]);
  });

  const loaded = async (id: string, item: number | undefined) =>
    (
      await sql<{ checkpoint: unknown }>(
        test.db,
        'select checkpoint from cronwright.step_runs where run_id = $1 and item = $2',
        [id, item ?? -1],
      )
    )[0]?.checkpoint;
  const openWaits = async (id: string | undefined) =>
    (await sql(test.db, "select 1 from cronwright.waits where run_id = $1 and state = 'open'", [id])).length;
});
