// A node at work: what becomes of runs and their steps, on the embedded database and on PostgreSQL.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
import type { Events } from '../../src/observe/events.ts';
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
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };

function pipeline(id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

const pipelines: Pipeline[] = [
  pipeline('line', [
    step('a', [], { with: { n: 1 } }),
    step('b', ['a'], { with: { got: '${{ steps.a.output.n + 1 }}' } }),
    step('c', ['b']),
  ]),
  pipeline('diamond', [step('a'), step('b', ['a']), step('c', ['a']), step('d', ['b', 'c'])]),
  pipeline('tolerant', [step('a', [], { continueOnError: true }), step('b', ['a'])]),
  pipeline('choosy', [
    step('a', [], { with: { go: false } }),
    step('b', ['a'], { if: 'steps.a.output.go' }),
    step('c', ['b'], { if: "steps.b.state == 'skipped'" }),
  ]),
  pipeline('tidy', [step('a')], {
    onFailure: [step('alarm', [], { with: { why: '${{ steps.a.error.message }}' } })],
    finally: [step('sweep')],
  }),
  pipeline('many', [
    step('list', [], { with: { items: [10, 20, 30, 40, 50, 60] } }),
    step('each', ['list'], {
      foreach: { items: '${{ steps.list.output.items }}', maxParallel: 2, onItemError: 'continue' },
      with: { double: '${{ item * 2 }}', at: '${{ index }}' },
    }),
    step('sum', ['each'], {
      with: { first: '${{ steps.each.output[0].double }}', size: '${{ size(steps.each.output) }}' },
    }),
  ]),
  pipeline('strict-many', [
    step('each', [], { foreach: { items: [1, 2, 3, 4], maxParallel: 1, onItemError: 'fail' } }),
  ]),
  pipeline('slow-step', [step('a', [], { timeoutMs: 50, retry: { ...quick, maxRetries: 1 } })]),
  pipeline('slow-run', [step('a')], { timeoutMs: 300, finally: [step('sweep')] }),
  pipeline('retrying', [step('a'), step('b', ['a'], { retry: { ...quick, maxRetries: 0 } })], {
    retry: { ...slowRetry, initialMs: 50 },
  }),
  pipeline('long-retry', [step('a', [], { retry: { ...quick, initialMs: 6_000, maxMs: 6_000, jitter: 0 } })]),
  pipeline('single', [step('a')], { concurrency: { limit: 1 } }),
  pipeline('effect', [testStep('a', [], { uses: 'test.effect', retry: quick })]),
  pipeline('unknown', [testStep('a', [], { uses: 'nobody.knows', retry: quick })]),
];

describe.each(engineVariants)('a node on $name', (variant) => {
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

  const stepsOf = async (id: string) =>
    Object.fromEntries((await runSteps(test.db, 'default', id)).map((one) => [one.step, one]));
  const eventsOf = async (id: string) =>
    (await runEvents(test.db, 'default', id, { after: 0, limit: 200 })).items.map((one) => one);

  it('runs steps in order and passes outputs on with their types', async () => {
    const id = await world.start('line');
    const run = await world.reached(id);
    expect([run.state, run.progress, run.attempt]).toEqual(['completed', 100, 1]);
    expect(script.attempts).toEqual(['a', 'b', 'c']);
    const steps = await stepsOf(id);
    expect(steps.b?.output).toEqual({ got: 2 });
    expect(steps.c?.state).toBe('completed');
  });

  it('keeps every transition, numbered without a hole', async () => {
    const id = await world.start('line');
    await world.reached(id);
    const events = await eventsOf(id);
    expect(events.map((one) => one.seq)).toEqual(events.map((_, index) => index + 1));
    expect(events.map((one) => one.event)).toEqual([
      'run.enqueued',
      'run.claimed',
      'step.completed',
      'step.completed',
      'step.completed',
      'run.completed',
    ]);
  });

  it('runs independent steps at the same time', async () => {
    const b = gate(script, 'b');
    const c = gate(script, 'c');
    const id = await world.start('diamond');
    await Promise.all([b.entered, c.entered]);
    expect(script.running).toBe(2);
    c.open();
    // What has ended is durable although its neighbour still runs.
    await eventually(async () => expect((await stepsOf(id)).c?.state).toBe('completed'));
    b.open();
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts.at(-1)).toBe('d');
  });

  it('retries what is transient and fails what is not', async () => {
    script.failures.set('a', [transient(), transient()]);
    const retried = await world.start('line');
    expect((await world.reached(retried)).state).toBe('completed');
    expect((await stepsOf(retried)).a).toMatchObject({ attempts: 3, retries: 2 });
    script.failures.set('b', [fatal('no such thing')]);
    const failed = await world.reached(await world.start('line'));
    expect(failed.state).toBe('failed');
    expect(failed.error).toMatchObject({ class: 'fatal', message: 'step b: no such thing' });
    const steps = await stepsOf(failed.id);
    expect([steps.a?.state, steps.b?.state, steps.c?.state]).toEqual(['completed', 'failed', 'cancelled']);
  });

  it('gives up after max_retries retries', async () => {
    script.failures.set(
      'a',
      Array.from({ length: 9 }, () => transient()),
    );
    const run = await world.reached(await world.start('line'));
    expect(run.state).toBe('failed');
    expect(script.attempts).toHaveLength(fastRetry.maxRetries + 1);
  });

  it('goes on after a step that may fail, skips what `if` denies, and skips no further than that', async () => {
    script.failures.set('a', [fatal()]);
    const tolerant = await world.reached(await world.start('tolerant'));
    expect(tolerant.state).toBe('completed');
    expect((await stepsOf(tolerant.id)).a?.state).toBe('failed');
    const choosy = await world.reached(await world.start('choosy'));
    expect(choosy.state).toBe('completed');
    const steps = await stepsOf(choosy.id);
    expect([steps.a?.state, steps.b?.state, steps.c?.state]).toEqual(['completed', 'skipped', 'completed']);
  });

  it('runs on_failure only after a failure, and finally always', async () => {
    await world.reached(await world.start('tidy'));
    expect(script.attempts).toEqual(['a', 'sweep']);
    script.failures.set('a', [fatal('broken')]);
    const failed = await world.reached(await world.start('tidy'));
    expect(failed.state).toBe('failed');
    expect(script.attempts.slice(2)).toEqual(['a', 'alarm', 'sweep']);
    expect((await stepsOf(failed.id)).alarm?.output).toEqual({ why: 'broken' });
  });

  it('fans out with a bound, counts failed items, and hands the outputs on', async () => {
    script.failures.set('each/2', [fatal('bad item')]);
    const gates = [gate(script, 'each/0'), gate(script, 'each/1')];
    const id = await world.start('many');
    await Promise.all(gates.map((one) => one.entered));
    for (const one of gates) one.open();
    const run = await world.reached(id);
    expect([run.state, run.failed_items]).toEqual(['completed', 1]);
    expect(script.mostRunning).toBe(2);
    const steps = await stepsOf(run.id);
    expect(steps.each?.items).toEqual({ total: 6, completed: 5, failed: 1, skipped: 0 });
    expect(steps.sum?.output).toEqual({ first: 20, size: 6 });
  });

  it('stops a fan-out at its first failed item where it should', async () => {
    script.failures.set('each/1', [fatal('bad item')]);
    const run = await world.reached(await world.start('strict-many'));
    expect(run.state).toBe('failed');
    expect(run.error?.message).toContain('bad item');
    expect(script.attempts).toEqual(['each/0', 'each/1']);
  });

  it('ends a step at its timeout, as a transient error', async () => {
    gate(script, 'a');
    const run = await world.reached(await world.start('slow-step'));
    expect(run.state).toBe('failed');
    expect(run.error).toMatchObject({ name: 'TimeoutError' });
    expect(script.attempts).toEqual(['a', 'a']);
  });

  it('ends a run at its timeout without a retry, and still cleans up', async () => {
    gate(script, 'a');
    const run = await world.reached(await world.start('slow-run'));
    expect(run.state).toBe('failed');
    expect(run.error).toMatchObject({ name: 'TimeoutError' });
    expect(script.attempts).toEqual(['a', 'sweep']);
  });

  it('retries a whole run at the failed step', async () => {
    script.failures.set('b', [transient()]);
    const run = await world.reached(await world.start('retrying'));
    expect([run.state, run.attempt]).toEqual(['completed', 2]);
    expect(script.attempts).toEqual(['a', 'b', 'b']);
  });

  it('gives its worker back for a long wait', async () => {
    script.failures.set('a', [transient()]);
    const id = await world.start('long-retry');
    const waiting = await world.reached(id, ['waiting']);
    expect(waiting.wait_kind).toBe('step_retry');
    expect(world.engine.places().inFlightFree).toBe(world.engine.places().inFlight);
    expect((await world.reached(id)).state).toBe('completed');
    expect((await stepsOf(id)).a).toMatchObject({ attempts: 2, retries: 1 });
  });

  it('never runs more of a pipeline at once than its limit', async () => {
    const ids = await Promise.all(Array.from({ length: 8 }, () => world.start('single')));
    for (const id of ids) expect((await world.reached(id)).state).toBe('completed');
    expect(script.mostRunning).toBe(1);
    expect(await sql(test.db, 'select count(*) as n from cronwright.slots where run_id is not null')).toEqual([
      { n: 0 },
    ]);
  });

  it('cancels a run that is at work, and says by whom', async () => {
    const a = gate(script, 'a');
    const id = await world.start('line');
    await a.entered;
    const answer = await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'ada', reason: 'enough' });
    expect(answer).toMatchObject({ state: 'running', requested: 'cancel' });
    const run = await world.reached(id);
    expect([run.state, run.error?.message]).toEqual(['cancelled', 'cancelled by ada: enough']);
    const rows = await sql<{ transitions: { event: string; actor?: string; reason?: string }[] }>(
      test.db,
      'select transitions from cronwright.history where run_id = $1 order by seq',
      [id],
    );
    const ended = rows.flatMap((row) => row.transitions).filter(({ event }) => event === 'run.cancelled');
    expect(ended).toMatchObject([{ actor: 'ada', reason: 'enough' }]);
    expect(script.contexts[0]?.signal.aborted).toBe(true);
    expect(script.attempts).toEqual(['a']);
  });

  it('retries an ended run at the failed step, as a new run', async () => {
    script.failures.set('b', [fatal()]);
    const failed = await world.reached(await world.start('line'));
    const starter = createRunStarter(world.engine.control);
    const retried = await retryRun(starter, failed.id, { tenant: 'default', actor: 'ada', origin: 'retry' });
    const run = await world.reached(retried.id);
    expect([run.state, run.parent_id, run.origin]).toEqual(['completed', failed.id, 'retry']);
    expect(script.attempts).toEqual(['a', 'b', 'b', 'c']);
  });

  it('puts on record that a step with outside effects begins, before it does', async () => {
    const a = gate(script, 'a');
    const id = await world.start('effect');
    await a.entered;
    expect((await stepsOf(id)).a).toMatchObject({ state: 'running', attempts: 1 });
    a.open();
    await world.reached(id);
    expect(script.contexts[0]?.idempotencyKey).toBe(`${id}/a`);
  });

  it('leaves a run pending whose step type this node does not have, and says which', async () => {
    const refused: Events['version.refused'][] = [];
    world.events.on('version.refused', (event) => refused.push(event));
    const id = await world.start('unknown');
    await eventually(async () => expect(refused).toMatchObject([{ pipeline: 'unknown', missing: 'nobody.knows' }]));
    expect((await world.reached(id, ['pending'])).error).toBeNull();
  });

  it('fails such a run where there is no other node to leave it to', async () => {
    await world.stop();
    world = await startEngineWorld({ db: test.db, script, pipelines, isDaemon: false });
    const run = await world.reached(await world.start('unknown'));
    expect(run.state).toBe('failed');
    expect(run.error).toMatchObject({ name: 'UnknownStepType' });
    expect(run.error?.message).toContain('nobody.knows');
  });

  it('gives a run back at shutdown without counting it, and goes on where it was', async () => {
    const b = gate(script, 'b');
    const id = await world.start('line');
    await b.entered;
    await world.stop(50);
    const rows = await sql(test.db, 'select state, claims from cronwright.queue where run_id = $1', [id]);
    expect(rows).toEqual([{ state: 'pending', claims: 0 }]);
    script.gates.clear();
    world = await startEngineWorld({ db: test.db, script, pipelines });
    const run = await world.reached(id);
    expect([run.state, (await stepsOf(id)).b?.attempts]).toEqual(['completed', 1]);
    expect(script.attempts).toEqual(['a', 'b', 'b', 'c']);
  });
});
