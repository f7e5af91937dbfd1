// Steps and items that runs of their own carry out, on the embedded database and on PostgreSQL.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { pauseRun } from '../../src/control/pause-run.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { setPriority } from '../../src/control/set-priority.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import { statement } from '../../src/db/database.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
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
import { testPipeline, testStep } from '../support/http-world.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };

function pipeline(id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

function step(id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

function call(id: string, needs: string[], pipelineId: string, more: Record<string, unknown> = {}) {
  return step(id, needs, { uses: 'pipeline.run', with: { pipeline: pipelineId, ...more } });
}

const inputs = { n: { type: 'integer', required: true } } as const;
const tens = [10, 20, 30, 40, 50, 60];

const pipelines: Pipeline[] = [
  pipeline('inner', [step('double', [], { with: { twice: '${{ inputs.n * 2 }}' } })], { inputs }),
  pipeline('outer', [
    call('ask', [], 'inner', { inputs: { n: 21 } }),
    step('use', ['ask'], { with: { got: '${{ steps.ask.output.outputs.double.twice }}' } }),
  ]),
  pipeline('launcher', [call('go', [], 'slow-inner', { wait: false }), step('next', ['go'])]),
  pipeline('slow-inner', [step('slow')]),
  pipeline('starts', [step('starter')]),
  pipeline('waits', [call('ask', [], 'slow-inner')], { finally: [step('sweep')] }),
  pipeline('brief', [call('ask', [], 'slow-inner')], { timeoutMs: 700 }),
  pipeline('unknown', [call('ask', [], 'nowhere')]),
  pipeline('wrong-inputs', [call('ask', [], 'inner', { inputs: { n: 'x' } })]),
  pipeline('endless', [call('again', [], 'endless')]),
  pipeline('group-inner', [step('a')], { concurrency: { limit: 1, group: 'one' } }),
  pipeline('group-outer', [call('ask', [], 'group-inner')], { concurrency: { limit: 1, group: 'one' } }),
  pipeline('each-run', [
    step('runs', [], {
      uses: 'pipeline.run',
      with: { pipeline: 'inner', inputs: { n: '${{ item }}' } },
      foreach: { items: [1, 2, 3], maxParallel: 2, onItemError: 'continue' },
    }),
    step('last', ['runs'], { with: { third: '${{ steps.runs.output[2].outputs.double.twice }}' } }),
  ]),
  pipeline(
    'queued',
    [
      step('before', [], { with: { word: 'hello' } }),
      step('far', ['before'], { queue: 'far', with: { said: '${{ steps.before.output.word }} ${{ inputs.n }}' } }),
      step('after', ['far'], { with: { heard: '${{ steps.far.output.said }}' } }),
    ],
    { inputs },
  ),
  pipeline('spread', [
    step('list', [], { with: { items: tens, by: 3 } }),
    step('each', ['list'], {
      distribute: true,
      foreach: { items: '${{ steps.list.output.items }}', maxParallel: 2, onItemError: 'continue' },
      with: { value: '${{ item * steps.list.output.by }}', at: '${{ index }}' },
    }),
    step('sum', ['each'], {
      with: { last: '${{ steps.each.output[5].value }}', size: '${{ size(steps.each.output) }}' },
    }),
  ]),
  pipeline('chunks', [
    step('each', [], {
      distribute: true,
      chunk: 4,
      foreach: { items: tens, maxParallel: 10, onItemError: 'continue' },
    }),
  ]),
  pipeline('strict', [
    step('each', [], {
      distribute: true,
      retry: { ...quick, maxRetries: 0 },
      foreach: { items: tens, maxParallel: 1, onItemError: 'fail' },
    }),
  ]),
  pipeline(
    'stubborn',
    [
      step('each', [], {
        distribute: true,
        retry: { ...quick, maxRetries: 0 },
        foreach: { items: [1, 2, 3], maxParallel: 3, onItemError: 'fail' },
      }),
    ],
    { retry: { ...slowRetry, initialMs: 20 }, concurrency: { limit: 1 } },
  ),
];

describe.each(engineVariants)('child runs on $name', (variant) => {
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
    (await runEvents(test.db, 'default', id, { after: 0, limit: 500 })).items.map((one) => one.event);
  const childrenOf = async (id: string) =>
    (
      await test.db.query<{ id: string; state: string | null; queue: string; origin: string; open: boolean | null }>(
        statement(
          'test_children',
          'select id, state, queue, origin, child_open as open from cronwright.runs where parent_id = $1 order by id',
        ),
        [id],
      )
    ).rows;

  it('a step runs another pipeline, waits without a worker and sees what its steps gave', async () => {
    // A child that ends before its parent has let go of its worker would not have to wake it.
    const double = gate(script, 'double');
    const id = await world.start('outer');
    await double.entered;
    await world.reached(id, ['waiting']);
    double.open();
    const run = await world.reached(id);
    expect([run.state, run.error]).toEqual(['completed', null]);
    const steps = await stepsOf(id);
    const [child] = await childrenOf(id);
    expect(steps.ask?.output).toEqual({
      run_id: child?.id,
      state: 'completed',
      failed_items: 0,
      outputs: { double: { twice: 42 } },
    });
    expect(steps.use?.output).toEqual({ got: 42 });
    expect([child?.state, child?.origin, child?.open]).toEqual(['completed', 'parent', null]);
    const events = await eventsOf(id);
    expect(events).toEqual(
      expect.arrayContaining(['step.children_started', 'run.waiting', 'run.woken', 'step.children_ended']),
    );
  });

  it('goes on at once where it does not wait', async () => {
    const slow = gate(script, 'slow');
    const id = await world.start('launcher');
    expect((await world.reached(id)).state).toBe('completed');
    const [child] = await childrenOf(id);
    expect(child?.state).toBeNull();
    slow.open();
    expect((await world.reached(child?.id ?? '')).state).toBe('completed');
  });

  it('says what is wrong with what it was asked to run', async () => {
    const unknown = await world.reached(await world.start('unknown'));
    expect(unknown.error?.message).toContain('there is no pipeline "nowhere" of tenant "default"');
    const wrong = await world.reached(await world.start('wrong-inputs'));
    expect([wrong.error?.name, wrong.error?.message]).toEqual(['InvalidInput', expect.stringContaining('inputs.n')]);
  });

  it('ends a circle of pipelines at ten levels, with a reason', async () => {
    const run = await world.reached(await world.start('endless'));
    expect(run.state).toBe('failed');
    expect(run.error?.message).toContain('10 levels deep');
  });

  it('a child needs no slot that its parent holds, and others wait for both', async () => {
    const held = gate(script, 'a');
    const id = await world.start('group-outer');
    await held.entered;
    const other = await world.start('group-inner');
    await eventually(async () => expect((await world.reached(other, ['pending'])).blocked_on).toBe('group:one'));
    held.open();
    expect((await world.reached(id)).state).toBe('completed');
    expect((await world.reached(other)).state).toBe('completed');
  });

  it('runs a pipeline for each item, a few at once', async () => {
    const id = await world.start('each-run');
    const run = await world.reached(id);
    expect([run.state, run.error]).toEqual(['completed', null]);
    expect((await stepsOf(id)).last?.output).toEqual({ third: 6 });
    expect((await childrenOf(id)).length).toBe(3);
  });

  it('a step with a queue runs there, with the inputs and outputs of its parent', async () => {
    const id = await world.start('queued', { inputs: { n: 7 } });
    const run = await world.reached(id);
    expect([run.state, run.error]).toEqual(['completed', null]);
    const steps = await stepsOf(id);
    expect(steps.far?.output).toEqual({ said: 'hello 7' });
    expect(steps.after?.output).toEqual({ heard: 'hello 7' });
    const [child] = await childrenOf(id);
    expect(child?.queue).toBe('far');
    const context = script.contexts.find((one) => one.step === 'far');
    expect([context?.runId, context?.idempotencyKey]).toEqual([child?.id, `${id}/far`]);
  });

  it('items are shared out as child runs, never more at once than the step allows, and their outputs come back', async () => {
    const id = await world.start('spread');
    const run = await world.reached(id);
    expect([run.state, run.error]).toEqual(['completed', null]);
    expect((await stepsOf(id)).sum?.output).toEqual({ last: 180, size: 6 });
    expect(script.mostRunning).toBeLessThanOrEqual(2);
    const children = await childrenOf(id);
    expect(children.map((child) => [child.state, child.open])).toEqual(tens.map(() => ['completed', null]));
    expect(script.attempts.filter((one) => one.startsWith('each/')).sort()).toEqual(tens.map((_, i) => `each/${i}`));
  });

  it('a chunk of items is one child', async () => {
    script.failures.set('each/2', [fatal()]);
    const id = await world.start('chunks');
    const run = await world.reached(id);
    expect([run.state, run.failed_items]).toEqual(['completed', 1]);
    expect((await childrenOf(id)).length).toBe(2);
    const rows = await test.db.query<{ item: number; state: string }>(
      statement(
        'test_items',
        'select item, state from cronwright.step_runs where run_id = $1 and item >= 0 order by item',
      ),
      [id],
    );
    expect(rows.rows.map((row) => row.state)).toEqual(tens.map((_, i) => (i === 2 ? 'failed' : 'completed')));
  });

  it('a failed item ends the step, nothing more begins, and a retry runs only what has not completed', async () => {
    script.failures.set('each/2', [fatal('broken')]);
    const id = await world.start('strict');
    const run = await world.reached(id);
    expect(run.state).toBe('failed');
    expect(run.error?.message).toContain('broken');
    expect(script.attempts).toEqual(['each/0', 'each/1', 'each/2']);
    script.attempts.length = 0;
    const starter = createRunStarter(world.engine.control);
    const again = await retryRun(starter, id, { tenant: 'default', actor: 'tester', origin: 'api' });
    expect((await world.reached(again.id)).state).toBe('completed');
    expect(script.attempts).toEqual(['each/2', 'each/3', 'each/4', 'each/5']);
  });

  it('a retry of the whole run makes new children for failed items alone, at a limit of 1', async () => {
    script.failures.set('each/1', [transient()]);
    const id = await world.start('stubborn');
    const run = await world.reached(id);
    expect([run.state, run.attempt]).toEqual(['completed', 2]);
    expect(script.attempts.filter((one) => one === 'each/1').length).toBe(2);
    expect(script.attempts.length).toBe(4);
  });

  it('a cancel reaches the children of a run that waits, and theirs', async () => {
    const slow = gate(script, 'slow');
    const id = await world.start('waits');
    await slow.entered;
    await world.reached(id, ['waiting']);
    await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
    expect((await world.reached(id)).state).toBe('cancelled');
    const [child] = await childrenOf(id);
    expect((await world.reached(child?.id ?? '')).state).toBe('cancelled');
  });

  it('a pause reaches the children and holds back new ones; a resume lets all go on', async () => {
    const first = gate(script, 'each/0');
    const second = gate(script, 'each/1');
    const id = await world.start('spread');
    await Promise.all([first.entered, second.entered]);
    await world.reached(id, ['waiting']);
    const { control } = world.engine;
    const asked = await pauseRun(control, { tenant: 'default', id, actor: 'tester' });
    expect(asked.requested).toBe('pause');
    await world.reached(id, ['paused']);
    first.open();
    second.open();
    // What is at work comes to its end: it has no further step to stop before.
    for (const child of await childrenOf(id)) await world.reached(child.id);
    expect((await world.reached(id, ['paused'])).state).toBe('paused');
    expect(script.attempts.filter((one) => one.startsWith('each/')).sort()).toEqual(['each/0', 'each/1']);
    await resumeRun(control, { tenant: 'default', id, actor: 'tester' });
    expect((await world.reached(id)).state).toBe('completed');
    expect((await childrenOf(id)).length).toBe(6);
  });

  it('a step starts a run once a key, and goes on with what it gave', async () => {
    const first = gate(script, 'starter');
    const id = await world.start('starts');
    await first.entered;
    const wanted = { pipeline: 'inner', inputs: { n: 4 }, wait: true };
    await expect(script.contexts.at(-1)?.startRun(wanted)).rejects.toThrow('waits for a run of inner');
    const second = gate(script, 'starter');
    first.open();
    await second.entered;
    const context = script.contexts.at(-1);
    const answer = await context?.startRun(wanted);
    const [child] = await childrenOf(id);
    expect(answer).toEqual({ runId: child?.id, state: 'completed', failedItems: 0, outputs: { double: { twice: 8 } } });
    const other = { pipeline: 'inner', key: 'mine', inputs: { n: 1 } };
    const started = await context?.startRun(other);
    expect(await context?.startRun(other)).toEqual(started);
    await expect(context?.startRun({ pipeline: 'nowhere' })).rejects.toThrow('there is no pipeline "nowhere"');
    second.open();
    expect((await world.reached(id)).state).toBe('completed');
    expect((await childrenOf(id)).length).toBe(2);
  });

  it('a priority reaches the children', async () => {
    const slow = gate(script, 'slow');
    const id = await world.start('waits');
    await slow.entered;
    await setPriority(world.engine.control, { tenant: 'default', id, actor: 'tester', priority: 2 });
    const [child] = await childrenOf(id);
    expect((await world.reached(child?.id ?? '', ['running'])).priority).toBe(2);
    slow.open();
    await world.reached(id);
  });

  it('the timeout of a run ends its children', async () => {
    gate(script, 'slow');
    const id = await world.start('brief');
    const run = await world.reached(id);
    expect([run.state, run.error?.name]).toEqual(['failed', 'TimeoutError']);
    const [child] = await childrenOf(id);
    expect((await world.reached(child?.id ?? '')).state).toBe('cancelled');
  });

  it('a parent that nobody told of its child goes on all the same', async () => {
    const slow = gate(script, 'slow');
    const id = await world.start('waits');
    await slow.entered;
    await world.reached(id, ['waiting']);
    const [child] = await childrenOf(id);
    // As if the node had died between the child's end and the parent's wake-up.
    await test.db.query(statement('test_end', "update cronwright.runs set state = 'completed' where id = $1"), [
      child?.id,
    ]);
    await test.db.query(statement('test_gone', 'delete from cronwright.queue where run_id = $1'), [child?.id]);
    expect((await world.reached(id)).state).toBe('completed');
    slow.open();
  });
});
