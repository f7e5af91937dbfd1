// Undoing what runs did: after a failure, a timeout or a cancel, down to a step, of ended runs; on PGlite and PostgreSQL.
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { pauseRun } from '../../src/control/pause-run.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { type RollbackOptions, rollbackRun } from '../../src/control/rollback-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { listRuns } from '../../src/reads/list-runs.ts';
import { queueStatus } from '../../src/reads/queue-status.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
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
import { enqueueRun, sql, testPipeline, testStep } from '../support/http-world.ts';

const once = { ...fastRetry, maxRetries: 0 };
const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };
const undoing = { compensate: { timeoutMs: 5_000, retry: quick } };

function pipeline(id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.undo', retry: once, with: { by: id }, ...undoing, ...overrides });
}

const pipelines: Pipeline[] = [
  pipeline('line', [step('a'), step('b', ['a']), step('c', ['b'])], {
    onFailure: [testStep('alarm', [], { uses: 'test.do', if: "steps.c.state == 'failed'" })],
    finally: [testStep('sweep', [], { uses: 'test.do' })],
  }),
  pipeline('diamond', [step('a'), step('b', ['a']), step('c', ['a']), step('d', ['b', 'c'])]),
  pipeline('items', [
    step('each', [], {
      foreach: { items: [10, 20, 30], maxParallel: 1, onItemError: 'fail' },
      with: { n: '${{ item }}' },
    }),
    step('last', ['each']),
  ]),
  pipeline('slow-run', [step('a'), step('b', ['a'])], {
    timeoutMs: 400,
    finally: [testStep('sweep', [], { uses: 'test.do' })],
  }),
  pipeline('by-child', [
    step('a'),
    testStep('child', ['a'], { uses: 'test.undo', retry: once, queue: 'default', ...undoing }),
    step('c', ['child']),
  ]),
  pipeline('hanging', [step('a', [], { compensate: { timeoutMs: 100, retry: once } }), step('b', ['a'])]),
  pipeline('mail', [step('a'), step('send', ['a'], { uses: 'test.final' }), step('c', ['send'])]),
  pipeline('limited', [step('a'), step('called', ['a'], { rateLimitKey: 'peer' })]),
  pipeline('spared', [step('a', [], { compensate: false }), step('b', ['a'])]),
  pipeline(
    'by-run',
    [step('a', [], { with: { name: 'of-${{ run.id }}', key: '${{ inputs.key }}' } }), step('b', ['a'])],
    {
      inputs: { key: { type: 'string', default: 'k', required: false } },
    },
  ),
  pipeline(
    'patient',
    [step('a'), step('b', ['a'])].map((one) => ({
      ...one,
      compensate: { timeoutMs: 5_000, retry: { ...quick, initialMs: 5_500, maxMs: 5_500, jitter: 0 } },
    })),
  ),
];

describe.each(engineVariants)('a rollback on $name', (variant) => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines });
  });
  afterEach(() => world.stop());

  const names = () => script.undone.map(({ name }) => name);
  const statesOf = async (id: string) =>
    Object.fromEntries((await runSteps(test.db, 'default', id)).map((one) => [one.step, one.state]));
  const eventsOf = async (id: string) =>
    (await runEvents(test.db, 'default', id, { after: 0, limit: 500 })).items.map(({ event }) => event);
  const starter = () => createRunStarter(world.engine.control);
  const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;
  const rollback = (id: string, options: RollbackOptions = {}) => rollbackRun(starter(), id, options, caller);
  const cancel = (id: string, more: { rollback?: boolean; reason?: string } = {}) =>
    cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester', ...more });

  it('undoes what a failed run did, newest first, before on_failure and finally', async () => {
    script.failures.set('c', [fatal('broken')]);
    const id = await world.start('line');
    const run = await world.reached(id);
    expect([run.state, run.error?.message]).toEqual(['failed', 'step c: broken']);
    expect(script.undone.map(({ name, output, ctx }) => [name, output, ctx.compensation?.reason])).toEqual([
      ['c', undefined, 'failed'],
      ['b', { by: 'b' }, 'failed'],
      ['a', { by: 'a' }, 'failed'],
    ]);
    expect(script.undone[1]?.ctx.idempotencyKey).toBe(`${id}/b/compensate`);
    expect(script.undone[1]?.input).toEqual({ by: 'b' });
    // The failed step is still the failed one for the expressions of the clean-up.
    expect(script.attempts).toEqual(['a', 'b', 'c', 'alarm', 'sweep']);
    expect(await statesOf(id)).toMatchObject({
      a: 'compensated',
      b: 'compensated',
      c: 'compensated',
      alarm: 'completed',
    });
    const events = await eventsOf(id);
    expect(events.indexOf('step.compensated')).toBeGreaterThan(events.indexOf('step.failed'));
    expect(events.slice(-3)).toEqual(['step.completed', 'step.completed', 'run.failed']);
  });

  it('undoes parallel branches by when they ended, and whoever needs a step before that step', async () => {
    script.failures.set('d', [fatal()]);
    const b = gate(script, 'b');
    const id = await world.start('diamond');
    await b.entered;
    await eventually(async () => {
      expect(await statesOf(id)).toMatchObject({ c: 'completed' });
    });
    b.open();
    await world.reached(id);
    expect(names()).toEqual(['d', 'b', 'c', 'a']);
  });

  it('undoes each item of a fan-out with what it came to, and says which part of it never began', async () => {
    script.failures.set('each/1', [fatal()]);
    const id = await world.start('items');
    await world.reached(id);
    expect(script.undone.map(({ name, output, input }) => [name, output, input])).toEqual([
      ['each/1', undefined, { n: 20 }],
      ['each/0', { n: 10 }, { n: 10 }],
    ]);
    expect(await statesOf(id)).toMatchObject({ each: 'compensated', last: 'cancelled' });
  });

  it('on a timeout logs, records, compensates and fails, in this order', async () => {
    gate(script, 'b');
    const id = await world.start('slow-run');
    const run = await world.reached(id);
    expect([run.state, run.error?.name]).toEqual(['failed', 'TimeoutError']);
    expect(script.undone.map(({ name, output, ctx }) => [name, output, ctx.compensation?.reason])).toEqual([
      ['b', undefined, 'timeout'],
      ['a', { by: 'a' }, 'timeout'],
    ]);
    const order = (await eventsOf(id)).filter((name) => /timed_out|compensated|run.failed|step.failed/.test(name));
    expect(order).toEqual(['step.failed', 'run.timed_out', 'step.compensated', 'step.compensated', 'run.failed']);
    const [log] = await sql<{ n: number }>(
      test.db,
      `select count(*)::int4 as n from cronwright.logs where run_id = $1 and lines::text like '%longer than its timeout%'`,
      [id],
    );
    expect(log?.n).toBe(1);
  });

  it('tries a compensation again, and forgets nothing of it', async () => {
    script.failures.set('b', [fatal()]);
    script.failures.set('undo a', [transient('one'), transient('two')]);
    const id = await world.start('diamond');
    const run = await world.reached(id);
    expect(run.state).toBe('failed');
    expect(names().filter((name) => name === 'a')).toHaveLength(3);
    const views = await runSteps(test.db, 'default', id);
    expect(views.find((view) => view.step === 'a')?.compensation).toMatchObject({ state: 'completed', attempts: 3 });
  });

  it('ends a compensation at its own timeout, and says that it failed', async () => {
    script.failures.set('b', [fatal()]);
    const undo = gate(script, 'undo a');
    const id = await world.start('hanging');
    expect((await world.reached(id, ['rollback_failed'])).message).toContain('could not undo a: TimeoutError');
    undo.open();
    expect(await rollback(id)).toMatchObject({ id, state: 'rolling_back' });
    expect((await world.reached(id)).state).toBe('rolled_back');
  });

  it('waits for a compensation that is retried later, without a worker', async () => {
    script.failures.set('b', [fatal()]);
    script.failures.set('undo b', [transient('later')]);
    const id = await world.start('patient');
    await world.reached(id, ['waiting']);
    await sql(test.db, `update cronwright.compensations set retry_at = now() where run_id = $1`, [id]);
    await sql(test.db, `update cronwright.queue set run_at = now() where run_id = $1`, [id]);
    expect((await world.reached(id)).state).toBe('failed');
    expect(names()).toEqual(['b', 'b', 'a']);
    expect(script.attempts).toEqual(['a', 'b']);
  });

  it('that fails for good waits, leaves what the step stands on, and goes on when asked again', async () => {
    script.failures.set('d', [fatal()]);
    script.failures.set('undo b', [fatal('the peer is away')]);
    const told: unknown[] = [];
    world.events.on('run.rollback_failed', (event) => told.push(event));
    const id = await world.start('diamond');
    const failed = await world.reached(id, ['rollback_failed']);
    expect(failed.message).toContain('could not undo b: StepError: the peer is away');
    expect(names()).toContain('c');
    expect(names()).not.toContain('a');
    const views = await runSteps(test.db, 'default', id);
    expect(views.find((view) => view.step === 'b')).toMatchObject({
      state: 'completed',
      compensation: { state: 'failed', attempts: 1, error: { message: 'the peer is away' } },
    });
    expect(told).toEqual([expect.objectContaining({ runId: id, steps: ['b'], error: 'StepError: the peer is away' })]);
    const listed = await listRuns(test.db, { tenant: 'default', states: ['rollback_failed'], limit: 10 });
    expect(listed.items.map((item) => [item.id, item.message?.includes('b')])).toEqual([[id, true]]);
    await expect(cancel(id)).rejects.toMatchObject({ code: 'conflict' });
    script.undone.length = 0;
    expect(await rollback(id)).toMatchObject({ id, state: 'rolling_back', requested: null });
    expect((await world.reached(id)).state).toBe('rolled_back');
    expect(names()).toEqual(['b', 'a']);
    expect((await queueStatus(test.db, 'default')).by_state.rollback_failed ?? 0).toBe(0);
  });

  it('aborts the step that runs when a run is cancelled with rollback, and then undoes it', async () => {
    const b = gate(script, 'b');
    const undo = gate(script, 'undo b');
    const id = await world.start('line');
    await b.entered;
    expect(await cancel(id, { rollback: true, reason: 'wrong month' })).toMatchObject({ requested: 'rollback' });
    await undo.entered;
    expect(script.contexts.at(-1)?.signal.aborted).toBe(true);
    expect((await world.reached(id, ['rolling_back'])).requested).toBeNull();
    expect((await listRuns(test.db, { tenant: 'default', states: ['rolling_back'], limit: 9 })).items).toHaveLength(1);
    expect((await listRuns(test.db, { tenant: 'default', states: ['running'], limit: 9 })).items).toHaveLength(0);
    expect((await queueStatus(test.db, 'default')).by_state).toEqual({ rolling_back: 1 });
    await expect(cancel(id)).rejects.toMatchObject({ details: { state: 'rolling_back', requested: 'cancelled' } });
    await expect(pauseRun(world.engine.control, { ...caller, id })).rejects.toMatchObject({ code: 'conflict' });
    undo.open();
    const run = await world.reached(id);
    expect([run.state, run.error]).toMatchObject(['rolled_back', { message: 'rolled back by tester: wrong month' }]);
    expect(script.undone.map(({ name, output, ctx }) => [name, output, ctx.compensation?.reason])).toEqual([
      ['b', undefined, 'cancelled'],
      ['a', { by: 'a' }, 'cancelled'],
    ]);
    expect(script.attempts).toEqual(['a', 'b', 'sweep']);
    expect(await statesOf(id)).toMatchObject({ a: 'compensated', b: 'compensated', c: 'pending', sweep: 'completed' });
  });

  it('leaves alone what a rate limit held back: it was never called', async () => {
    await sql(
      test.db,
      `insert into cronwright.rate_limits (tenant, key, since, until, reason, run_id, set_by)
      values ('default', 'peer', now(), now() + interval '60 seconds', 'too often', $1, $1)`,
      [randomUUID()],
    );
    const id = await world.start('limited');
    expect((await world.reached(id, ['waiting'])).wait_kind).toBe('rate_limit');
    await cancel(id, { rollback: true });
    expect((await world.reached(id)).state).toBe('rolled_back');
    expect(script.attempts).toEqual(['a']);
    expect(names()).toEqual(['a']);
    const rows = await sql(
      test.db,
      "select started_at from cronwright.step_runs where run_id = $1 and step = 'called'",
      [id],
    );
    expect(rows).toEqual([{ started_at: null }]);
  });

  it('is a plain cancel where nothing has begun, and undoes a paused run by way of a claim', async () => {
    const later = await world.start('line', { runAt: new Date(Date.now() + 600_000) });
    expect(await cancel(later, { rollback: true })).toMatchObject({ state: 'cancelled', requested: null });
    const a = gate(script, 'a');
    const id = await world.start('line');
    await a.entered;
    await pauseRun(world.engine.control, { ...caller, id });
    const asked = performance.now();
    // The worker has heard of it.
    await eventually(async () => {
      if (world.engine.sinceLastBeatMs() > performance.now() - asked) throw new Error('no heartbeat since');
    });
    a.open();
    await world.reached(id, ['paused']);
    expect(await cancel(id, { rollback: true })).toMatchObject({ state: 'pending', requested: 'rollback' });
    expect((await world.reached(id)).state).toBe('rolled_back');
    expect(names()).toEqual(['a']);
    expect(script.attempts).toEqual(['a', 'sweep']);
  });

  it('down to a step pauses there, and the run goes on from it with fresh steps and new keys', async () => {
    const c = gate(script, 'c');
    const id = await world.start('line');
    await c.entered;
    await expect(rollback(id, { to: 'c' })).rejects.toMatchObject({ code: 'conflict' });
    await expect(rollback(id, { to: 'x' })).rejects.toMatchObject({ code: 'invalid_input' });
    expect(await rollback(id, { to: 'a' })).toMatchObject({ id, requested: 'rollback' });
    await world.reached(id, ['paused']);
    expect(script.undone.map(({ name, ctx }) => [name, ctx.compensation?.reason])).toEqual([
      ['c', 'rollback'],
      ['b', 'rollback'],
    ]);
    expect(await statesOf(id)).toMatchObject({ a: 'completed', b: 'pending', c: 'pending', sweep: 'pending' });
    script.gates.clear();
    await resumeRun(world.engine.control, { ...caller, id });
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts).toEqual(['a', 'b', 'c', 'b', 'c', 'sweep']);
    const keys = script.contexts.map((ctx) => ctx.idempotencyKey);
    expect(keys.slice(0, 5)).toEqual([`${id}/a`, `${id}/b`, `${id}/c`, `${id}/b~1`, `${id}/c~1`]);
    const events = (await eventsOf(id)).filter((name) => /rolling_back|paused|resumed/.test(name));
    expect(events).toEqual(['run.rolling_back', 'run.paused', 'run.resumed']);
  });

  it('runs a step by a child of its own again, once it was undone', async () => {
    const c = gate(script, 'c');
    const id = await world.start('by-child');
    await c.entered;
    await rollback(id, { to: 'a' });
    await world.reached(id, ['paused']);
    expect(names()).toEqual(['c', 'child']);
    script.gates.clear();
    await resumeRun(world.engine.control, { ...caller, id });
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts).toEqual(['a', 'child', 'c', 'child', 'c']);
  });

  it('that was asked for is not lost to a cancel or another rollback, and a repeat is answered as the first', async () => {
    const { id } = await enqueueRun(test.db, pipelines[0] as Pipeline, { runAt: new Date(Date.now() + 3_600_000) });
    // At work on a node that does not listen.
    await sql(test.db, "update cronwright.queue set state = 'running', run_at = null, token = 1 where run_id = $1", [
      id,
    ]);
    await sql(
      test.db,
      `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms, started_at)
      values ($1, 'a', -1, 'default', 'completed', 1, 0, 1, 0, now())`,
      [id],
    );
    const asked = await rollback(id, { to: 'a' });
    expect(asked).toMatchObject({ state: 'running', requested: 'rollback' });
    const message = expect.stringContaining('its rollback to step "a" was asked for already');
    await expect(cancel(id)).rejects.toMatchObject({ code: 'conflict', message });
    await expect(cancel(id, { rollback: true })).rejects.toMatchObject({ code: 'conflict', message });
    await expect(rollback(id)).rejects.toMatchObject({ code: 'conflict', message });
    expect(await rollback(id, { to: 'a' })).toEqual(asked);
    const [row] = await sql(
      test.db,
      'select request_by, request_rollback, request_to from cronwright.queue where run_id = $1',
      [id],
    );
    expect(row).toEqual({ request_by: 'tester', request_rollback: true, request_to: 'a' });
    await sql(test.db, 'delete from cronwright.queue where run_id = $1', [id]);
  });

  it('that was asked of a waiting run is carried out also where a cancel follows', async () => {
    script.runs.set('b', async (ctx) => {
      await ctx.suspend({ kind: 'approval', message: 'ok?' });
      return null;
    });
    const id = await world.start('diamond');
    await world.reached(id, ['waiting']);
    world.engine.pauseClaims(true);
    try {
      await rollback(id);
      const message = expect.stringContaining('its rollback was asked for already');
      await expect(cancel(id)).rejects.toMatchObject({ code: 'conflict', message });
      expect(await cancel(id, { rollback: true })).toMatchObject({ state: 'pending', requested: 'rollback' });
    } finally {
      world.engine.pauseClaims(false);
    }
    expect((await world.reached(id)).state).toBe('rolled_back');
    expect(names()).toContain('a');
  });

  it('of an ended run can be cancelled until it has begun', async () => {
    script.failures.set('b', [fatal()]);
    const id = await world.start('spared');
    await world.reached(id);
    // Undone by hand from here on: the failure has undone it already, and that is forgotten.
    await sql(test.db, 'delete from cronwright.compensations where run_id = $1', [id]);
    await sql(test.db, "update cronwright.step_runs set state = 'failed' where run_id = $1 and step = 'b'", [id]);
    world.engine.pauseClaims(true);
    try {
      const made = await rollback(id);
      expect(await cancel(made.id)).toMatchObject({ state: 'cancelled', requested: null });
    } finally {
      world.engine.pauseClaims(false);
    }
  });

  it('needs room in the queue only where it makes a run', async () => {
    const at = gate(script, 'b');
    const id = await world.start('line');
    await at.entered;
    const full = createRunStarter({ ...world.engine.control, liveRunsOf: () => 0 });
    expect(await rollbackRun(full, id, {}, caller)).toMatchObject({ id, requested: 'rollback' });
    expect((await world.reached(id)).state).toBe('rolled_back');
    at.open();
    const done = await world.start('spared');
    await world.reached(done);
    await expect(rollbackRun(full, done, {}, caller)).rejects.toMatchObject({ code: 'limit_reached' });
    expect(await rollback(done)).toMatchObject({ state: 'pending', parent_id: done });
  });

  it('of an ended run is a new run that undoes the work of the old one, once', async () => {
    const id = await world.start('by-run', { inputs: { key: 'x' } });
    expect((await world.reached(id)).state).toBe('completed');
    const answer = await rollback(id, { reason: 'bad data' });
    expect(answer).toMatchObject({ parent_id: id, requested: 'rollback' });
    const undo = await world.reached(answer.id);
    expect([undo.state, undo.parent_id, undo.origin]).toEqual(['rolled_back', id, 'api']);
    expect(script.attempts).toEqual(['a', 'b']);
    expect(script.undone.map(({ name, output, input, ctx }) => [name, output, input, ctx.runId])).toEqual([
      ['b', { by: 'b' }, { by: 'b' }, id],
      ['a', { name: `of-${id}`, key: 'x' }, { name: `of-${id}`, key: 'x' }, id],
    ]);
    expect(script.undone[0]?.ctx.idempotencyKey).toBe(`${id}/b/compensate`);
    expect((await world.reached(id)).state).toBe('completed');
    await expect(rollback(id)).rejects.toThrow(`run "${answer.id}" undoes it or has done so`);
    await expect(rollback(answer.id)).rejects.toThrow('none of its steps left something behind');
    const dry = await world.start('by-run', { dryRun: true });
    await world.reached(dry);
    await expect(rollback(dry)).rejects.toThrow('a dry run leaves nothing behind');
  });

  it('says what cannot be undone and goes on, and leaves out what the pipeline spares', async () => {
    script.failures.set('c', [fatal()]);
    const id = await world.start('mail');
    expect((await world.reached(id)).state).toBe('failed');
    expect(names()).toEqual(['c', 'a']);
    const { items } = await runEvents(test.db, 'default', id, { after: 0, limit: 100 });
    expect(items.find(({ event }) => event === 'step.irreversible')).toMatchObject({
      step: 'send',
      reason: 'a mail that was sent stays sent',
    });
    script.failures.set('b', [fatal()]);
    script.undone.length = 0;
    await world.reached(await world.start('spared'));
    expect(names()).toEqual(['b']);
  });

  it('undoes nothing of a dry run', async () => {
    script.failures.set('c', [fatal()]);
    expect((await world.reached(await world.start('line', { dryRun: true }))).state).toBe('failed');
    expect(names()).toEqual([]);
  });

  it('goes on elsewhere when its node is lost, and undoes nothing twice that is recorded', async () => {
    script.failures.set('c', [fatal()]);
    const stuck = gate(script, 'undo b');
    const id = await world.start('line');
    await stuck.entered;
    // Another node takes the run over: what is recorded so far is that c is undone and b has begun to be.
    script.gates.delete('undo b');
    await sql(
      test.db,
      `update cronwright.queue set token = token + 1, state = 'pending', node = null, lease_until = null where run_id = $1`,
      [id],
    );
    expect((await world.reached(id)).state).toBe('failed');
    expect(names()).toEqual(['c', 'b', 'b', 'a']);
    expect(script.attempts).toEqual(['a', 'b', 'c', 'alarm', 'sweep']);
    stuck.open();
  });

  it('goes on after a stop of its node', async () => {
    const stuck = gate(script, 'undo a');
    const b = gate(script, 'b');
    const id = await world.start('line');
    await b.entered;
    await cancel(id, { rollback: true });
    await stuck.entered;
    await world.stop();
    expect((await listRuns(test.db, { tenant: 'default', states: ['rolling_back'], limit: 9 })).items).toHaveLength(1);
    script.gates.clear();
    world = await startEngineWorld({ db: test.db, script, pipelines });
    expect((await world.reached(id)).state).toBe('rolled_back');
    expect(names()).toEqual(['b', 'a', 'a']);
    expect(script.attempts).toEqual(['a', 'b', 'sweep']);
  });

  it('makes a retry of a failed run begin again with what was undone', async () => {
    script.failures.set('c', [fatal()]);
    const id = await world.start('diamond');
    await world.reached(id);
    const again = await retryRun(starter(), id, caller);
    expect(again.kept_steps).toEqual([]);
    expect((await world.reached(again.id)).state).toBe('completed');
  });

  it('does not know a run that is not there', async () => {
    await expect(rollback(randomUUID())).rejects.toMatchObject({ code: 'not_found' });
  });
});
