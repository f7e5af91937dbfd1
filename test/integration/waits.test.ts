// Runs that ask people, and sleep: durable questions, one answer each, and the run goes on from it, on any node.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { uuidv7 } from 'uuidv7';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { signalRun } from '../../src/control/signal-run.ts';
import type { Database } from '../../src/db/database.ts';
import { createNewRun } from '../../src/domain/new-run.ts';
import type { Pipeline, StepDefinition } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { listOpenWaits } from '../../src/reads/list-waits.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { type Json, type StepContext, StepError, type Suspension } from '../../src/steps/api.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
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

const quick = { ...fastRetry, initialMs: 10, maxMs: 20, jitter: 0 };

function step(id: string, needs: string[] = [], overrides: Partial<StepDefinition> = {}): StepDefinition {
  return testStep(id, needs, { uses: 'test.do', retry: quick, ...overrides });
}

function pipeline(id: string, steps: StepDefinition[], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

const items = (onItemError: 'continue' | 'fail') => ({ items: ['x', 'y', 'z'], maxParallel: 1, onItemError });
const repair = { uses: 'test.fix', with: { text: '${{ input.text }}', why: '${{ error.message }}' }, max: 2 };
const manual = { onExhausted: 'wait_manual' as const };
const doomed = { retry: { ...quick, maxRetries: 1 } };
const compile = (choose: ('manual_edit' | 'ai_fix')[]) => ({
  with: { text: 'a', keep: 1 },
  onError: { CompileError: { choose, ...(choose.includes('ai_fix') ? { aiFix: repair } : {}) } },
});

const pipelines: Pipeline[] = [
  pipeline('ask', [step('ask'), step('then', ['ask'], { with: { got: '${{ steps.ask.output }}' } })]),
  pipeline('timed', [step('ask')], { timeoutMs: 600 }),
  pipeline('fork', [step('left'), step('right'), step('last', ['left', 'right'])]),
  pipeline('each', [step('each', [], { foreach: items('continue'), with: { got: '${{ item }}' } })]),
  pipeline('exhausted', [step('a', [], { ...doomed, ...manual, with: { text: 'wrong', keep: 1 } }), step('b', ['a'])]),
  pipeline('exhausted-each', [
    step('each', [], { foreach: items('fail'), ...doomed, ...manual, with: { got: '${{ item }}' } }),
    step('all', ['each'], { with: { got: '${{ steps.each.output }}' } }),
  ]),
  pipeline('exhausted-all', [step('a', [], { ...doomed, continueOnError: true }), step('b', ['a'], doomed)], {
    onExhausted: 'wait_manual',
  }),
  pipeline('dead', [step('a', [], { ...doomed, onExhausted: 'dead_letter' })], { onFailure: [step('tell')] }),
  pipeline('secretive', [
    step('a', [], { ...doomed, ...manual, with: { text: 'plain', token: 'key ${{ secrets.API_KEY }}' } }),
  ]),
  pipeline('compile', [step('compile', [], compile(['manual_edit', 'ai_fix']))]),
  pipeline('compile-alone', [step('compile', [], compile(['ai_fix']))]),
  pipeline(
    'effect',
    [step('a', [], { uses: 'test.effect' }), step('b', ['a'], { with: { got: '${{ steps.a.output }}' } })],
    {
      onInterrupted: 'wait_manual',
    },
  ),
  pipeline('swept', [step('ask')], { finally: [step('sweep')] }),
];

const approval: Suspension = { kind: 'approval', message: 'publish?' };
const asks =
  (question: Suspension) =>
  async (ctx: StepContext): Promise<Json> =>
    ({ ...(await ctx.suspend(question)), at: null }) as unknown as Json;

describe.each(databaseVariants)('waits on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  let world: Promise<EngineWorld> | undefined;
  let script: Script;
  let dataDir: string;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, variant.isolation ? { isolation: variant.isolation } : {});
    db = test.db;
    dataDir = mkdtempSync(join(tmpdir(), 'cronwright-waits-'));
  });
  afterAll(async () => {
    await test.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  beforeEach(() => {
    script = createScript();
  });
  afterEach(async () => {
    await down();
  });

  async function start(id: string, request = {}): Promise<string> {
    return (await up()).start(id, request);
  }
  function up(): Promise<EngineWorld> {
    world ??= startEngineWorld({
      db,
      script,
      pipelines,
      dataDir,
      timing: { leaseMs: 15_000 },
      env: { CRONWRIGHT_SECRET_API_KEY: 's3cret-value' },
    });
    return world;
  }
  async function down(): Promise<void> {
    const running = await world;
    world = undefined;
    await running?.stop();
  }
  /** As a killed node leaves a run: one step had begun, and nobody is there. */
  async function abandoned(id: string, begun: string): Promise<string> {
    const found = pipelines.find((one) => one.id === id);
    if (!found) throw new Error(`there is no pipeline ${id}`);
    await down();
    const run = createNewRun(found, 'light', { origin: 'api', actor: 'tester' });
    await enqueueRuns(db, [run]);
    await sql(
      db,
      `update cronwright.queue set state = 'running', token = 1, claims = 1, node = $2, started_at = now(),
        attempt_started_at = now(), lease_until = now() - interval '1 minute' where run_id = $1 and state = 'pending'`,
      [run.id, uuidv7()],
    );
    await sql(
      db,
      `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, started_at, rate_limited_ms)
      values ($1, $2, -1, 'default', 'running', 1, 0, 1, now(), 0)`,
      [run.id, begun],
    );
    return run.id;
  }
  const waiting = async (id: string) => (await up()).reached(id, ['waiting']);
  const ended = async (id: string) => (await up()).reached(id);
  const signal = async (id: string, answer: object = {}, actor = 'maria', idempotencyKey?: string) =>
    signalRun((await up()).engine.control, { tenant: 'default', actor, idempotencyKey }, { id, ...answer });
  const eventNames = async (id: string) =>
    (await runEvents(db, 'default', id, { after: 0, limit: 500 })).items.map(({ event }) => event);
  const stepOf = async (id: string, name: string) =>
    (await runSteps(db, 'default', id)).find((one) => one.step === name);
  const open = async (id: string) =>
    (await (await up()).reached(id, ['waiting'])).waits.filter((w) => w.state === 'open');

  it('gives the worker back while it asks, and runs the step again with the answer', async () => {
    script.runs.set('ask', asks(approval));
    const id = await start('ask');
    const run = await waiting(id);
    expect(run).toMatchObject({ wait_kind: 'approval', wakes_at: null, node: null });
    expect(run.waits).toMatchObject([
      {
        step: 'ask',
        item: null,
        key: 'approval/1',
        message: 'publish?',
        choices: ['approve', 'reject'],
        state: 'open',
      },
    ]);
    expect(await stepOf(id, 'ask')).toMatchObject({ state: 'waiting', attempts: 0, retries: 0 });
    expect(await signal(id, { decision: 'approve', data: { note: 'fine' } })).toMatchObject({ state: 'pending' });
    expect(await ended(id)).toMatchObject({ state: 'completed' });
    const said = { decision: 'approve', data: { note: 'fine' }, by: 'maria', at: null, timedOut: false };
    expect(await stepOf(id, 'then')).toMatchObject({ output: { got: said } });
    expect(await stepOf(id, 'ask')).toMatchObject({ state: 'completed', attempts: 1, retries: 0 });
    expect(script.attempts).toEqual(['ask', 'ask', 'then']);
    const names = await eventNames(id);
    for (const name of ['wait.opened', 'run.waiting', 'run.woken', 'wait.answered']) expect(names).toContain(name);
    expect(names.filter((name) => name === 'wait.answered')).toHaveLength(1);
  });

  it('goes on after a restart in the middle of the wait, without asking again', async () => {
    script.runs.set('ask', asks(approval));
    const id = await start('ask');
    await waiting(id);
    await down();
    script.attempts.length = 0;
    await signal(id, { decision: 'reject' });
    await ended(id);
    expect(script.attempts).toEqual(['ask', 'then']);
    expect(await stepOf(id, 'ask')).toMatchObject({ output: { decision: 'reject' } });
  });

  it('counts an attempt that catches the marker as a wait all the same', async () => {
    script.runs.set('ask', async (ctx) => {
      const answer = await ctx.suspend(approval).catch(() => undefined);
      return { decision: answer?.decision ?? 'went on' };
    });
    const id = await start('ask');
    await waiting(id);
    await signal(id, { decision: 'approve' });
    await ended(id);
    expect(await stepOf(id, 'ask')).toMatchObject({ output: { decision: 'approve' } });
  });

  it('asks several questions of one step one after another, by their order', async () => {
    script.runs.set('ask', async (ctx) => {
      const first = await ctx.suspend({ kind: 'manual_edit', choices: ['left', 'right'] });
      const second = await ctx.suspend({ kind: 'manual_edit', key: 'again' });
      return [first.decision, second.data];
    });
    const id = await start('ask');
    expect(await open(id)).toMatchObject([{ key: 'manual_edit/1', choices: ['left', 'right'] }]);
    await expect(signal(id, { decision: 'up' })).rejects.toMatchObject({ code: 'invalid_input' });
    await signal(id, { decision: 'left' });
    await eventually(async () => expect(await open(id)).toMatchObject([{ key: 'again' }]));
    await signal(id, { data: [1] });
    await ended(id);
    expect(await stepOf(id, 'ask')).toMatchObject({ output: ['left', [1]] });
  });

  it('does not count the wait for people to the timeout of the run', async () => {
    script.runs.set('ask', asks(approval));
    const id = await start('timed');
    await waiting(id);
    await sql(
      db,
      "update cronwright.queue set clock_stopped_at = clock_stopped_at - interval '1 hour', " +
        "attempt_started_at = attempt_started_at - interval '1 hour' where run_id = $1",
      [id],
    );
    await signal(id, { decision: 'approve' });
    expect(await ended(id)).toMatchObject({ state: 'completed' });
  });

  it.each([
    ['approve', 'completed', { decision: 'approve', by: null, timedOut: true }],
    ['reject', 'completed', { decision: 'reject', timedOut: true }],
    ['continue', 'completed', { decision: 'continue', timedOut: true }],
    ['fail', 'failed', undefined],
  ] as const)('lets time answer with %s where nobody did, also when no node was up', async (onTimeout, state, output) => {
    script.runs.set('ask', asks({ ...approval, timeoutMs: 3_600_000, onTimeout }));
    const id = await start('ask');
    const { wakes_at } = await waiting(id);
    expect(wakes_at?.getTime()).toBeGreaterThan(Date.now() + 3_000_000);
    await down();
    await sql(db, "update cronwright.waits set timeout_at = now() - interval '1 second' where run_id = $1", [id]);
    await sql(db, "update cronwright.queue set run_at = now() - interval '1 second' where run_id = $1", [id]);
    const run = await ended(id);
    expect(run.state).toBe(state);
    if (output) expect(await stepOf(id, 'ask')).toMatchObject({ output });
    else expect(run.error).toMatchObject({ name: 'WaitTimedOut' });
    expect(await eventNames(id)).toContain('wait.timed_out');
    expect(run.waits).toMatchObject([{ state: 'timed_out' }]);
  });

  it('refuses an answer that comes after the time, before anybody noticed', async () => {
    script.runs.set('ask', asks({ ...approval, timeoutMs: 3_600_000, onTimeout: 'reject' }));
    const id = await start('ask');
    await waiting(id);
    await sql(db, "update cronwright.waits set timeout_at = now() - interval '1 second' where run_id = $1", [id]);
    await expect(signal(id, { decision: 'approve' })).rejects.toMatchObject({ code: 'conflict' });
  });

  it('sleeps for a time as a timer, and wakes by itself', async () => {
    script.runs.set('ask', asks({ kind: 'timer', timeoutMs: 300 }));
    const id = await start('ask');
    expect(await waiting(id)).toMatchObject({ wait_kind: 'timer' });
    await expect(signal(id)).rejects.toMatchObject({ code: 'conflict' });
    await ended(id);
    expect(await stepOf(id, 'ask')).toMatchObject({ output: { decision: 'continue', timedOut: true } });
  });

  it('keeps two questions of parallel branches apart, and says which there are where it is not clear', async () => {
    script.runs.set('left', asks(approval));
    script.runs.set('right', asks({ ...approval, message: 'and this?' }));
    const id = await start('fork');
    await waiting(id);
    await expect(signal(id, { decision: 'approve' })).rejects.toMatchObject({
      code: 'conflict',
      details: {
        open: expect.arrayContaining([
          expect.objectContaining({ step: 'left' }),
          expect.objectContaining({ step: 'right', message: 'and this?' }),
        ]),
      },
    });
    await signal(id, { step: 'left', decision: 'approve' });
    await eventually(async () => expect(await open(id)).toMatchObject([{ step: 'right' }]));
    await eventually(async () => expect((await stepOf(id, 'left'))?.state).toBe('completed'));
    await waiting(id);
    await signal(id, { decision: 'reject' });
    await ended(id);
    expect(await stepOf(id, 'right')).toMatchObject({ output: { decision: 'reject' } });
    // The one that was still open did not run for the other's answer.
    expect(script.attempts.filter((name) => name === 'right')).toHaveLength(2);
  });

  it('hears an answer that comes while another branch still runs', async () => {
    script.runs.set('left', asks(approval));
    const right = gate(script, 'right');
    const id = await start('fork');
    await right.entered;
    await eventually(async () =>
      expect((await listOpenWaits(db, { tenant: null, limit: 50 })).items.map((w) => w.run_id)).toContain(id),
    );
    expect(await signal(id, { decision: 'approve' })).toMatchObject({ state: 'running' });
    right.open();
    expect(await ended(id)).toMatchObject({ state: 'completed' });
  });

  it('takes one of many answers given at once, wherever the run is just then', async () => {
    script.runs.set('ask', asks(approval));
    const ids = await Promise.all(Array.from({ length: 10 }, () => start('ask')));
    const answers = ids.flatMap((id) => ['approve', 'reject', 'approve'].map((decision) => ({ id, decision })));
    const said = await Promise.all(
      answers.map(async ({ id, decision }) => {
        // From the moment the question is there: the worker may still be letting go of the run.
        await eventually(async () => {
          const rows = await sql(db, 'select 1 from cronwright.waits where run_id = $1', [id]);
          if (rows.length === 0) throw new Error('not asked yet');
        });
        return signal(id, { decision }).then(
          () => ({ id, decision }),
          (error) => {
            expect(error).toMatchObject({ code: 'conflict' });
          },
        );
      }),
    );
    for (const id of ids) {
      expect(await ended(id)).toMatchObject({ state: 'completed' });
      const counted = said.filter((one) => one?.id === id);
      expect(counted).toHaveLength(1);
      expect(await stepOf(id, 'ask')).toMatchObject({ output: { decision: counted[0]?.decision } });
    }
  });

  it('answers a repeated key as before, and refuses the key for another answer', async () => {
    script.runs.set('ask', asks(approval));
    const id = await start('ask');
    await waiting(id);
    const first = await signal(id, { decision: 'approve' }, 'maria', `key-${id}`);
    await ended(id);
    expect(await signal(id, { decision: 'approve' }, 'maria', `key-${id}`)).toEqual(first);
    await expect(signal(id, { decision: 'reject' }, 'maria', `key-${id}`)).rejects.toMatchObject({ code: 'conflict' });
    await expect(signal(id, { decision: 'approve' })).rejects.toMatchObject({ code: 'conflict' });
  });

  it('lets only approvers answer, and not whoever started the run where it says so', async () => {
    script.runs.set('ask', asks({ ...approval, approvers: ['maria', 'tester'], startedByMayAnswer: false }));
    const id = await start('ask');
    await waiting(id);
    await expect(signal(id, { decision: 'approve' }, 'joe')).rejects.toMatchObject({ code: 'forbidden' });
    await expect(signal(id, { decision: 'approve' }, 'tester')).rejects.toMatchObject({ code: 'forbidden' });
    await signal(id, { decision: 'approve' }, 'maria');
    expect(await ended(id)).toMatchObject({ state: 'completed' });
  });

  it('asks for single items of a fan-out while the others go on', async () => {
    script.runs.set('each', async (ctx, input) => {
      if (ctx.item === 1) return (await ctx.suspend(approval)).decision;
      return input as Json;
    });
    const id = await start('each');
    expect(await open(id)).toMatchObject([{ step: 'each', item: 1, key: 'approval/1' }]);
    expect(script.attempts).toEqual(['each/0', 'each/1', 'each/2']);
    await signal(id, { item: 1, decision: 'approve' });
    await ended(id);
    expect(await stepOf(id, 'each')).toMatchObject({ state: 'completed', items: { completed: 3 } });
    expect(script.attempts).toEqual(['each/0', 'each/1', 'each/2', 'each/1']);
  });

  it('waits for a person after the last retry, and runs again with the fields they gave', async () => {
    script.failures.set('a', [transient('no'), transient('never')]);
    const id = await start('exhausted');
    const [asked] = await open(id);
    expect(asked).toMatchObject({
      kind: 'manual_edit',
      asked_by: 'exhausted',
      choices: ['retry', 'skip', 'fail'],
      form: { error: { message: 'never' }, input: { text: 'wrong', keep: 1 } },
    });
    await expect(signal(id, { data: { with: [1] } })).rejects.toMatchObject({ code: 'invalid_input' });
    await signal(id, { data: { with: { text: 'right' } } });
    const run = await ended(id);
    expect(run).toMatchObject({ state: 'completed' });
    expect(run.waits).toMatchObject([{ decision: 'retry', data: { with: { text: 'right' } }, answered_by: 'maria' }]);
    expect(await stepOf(id, 'a')).toMatchObject({
      state: 'completed',
      output: { text: 'right', keep: 1 },
      attempts: 3,
    });
  });

  it('has all its retries again after a person said so, and asks again when they are used up', async () => {
    script.failures.set(
      'a',
      [1, 2, 3, 4].map((n) => transient(`no ${n}`)),
    );
    const id = await start('exhausted');
    await open(id);
    await signal(id, { decision: 'retry' });
    await eventually(async () => expect(await open(id)).toMatchObject([{ key: 'exhausted/2' }]));
    await signal(id, { decision: 'skip', data: { mine: true } });
    expect(await ended(id)).toMatchObject({ state: 'completed' });
    expect(await stepOf(id, 'a')).toMatchObject({ state: 'skipped', output: { mine: true }, attempts: 4 });
  });

  it('fails where a person says so, with the error that was', async () => {
    script.failures.set('a', [fatal('broken for good')]);
    const id = await start('exhausted');
    await open(id);
    await signal(id, { decision: 'fail' });
    expect(await ended(id)).toMatchObject({ state: 'failed', error: { message: 'step a: broken for good' } });
  });

  it('keeps what a person gave through a crash of the node that went on with it', async () => {
    script.failures.set('a', [fatal('no')]);
    const id = await start('exhausted');
    await open(id);
    const { entered } = gate(script, 'a');
    await signal(id, { data: { with: { text: 'right' } } });
    await entered;
    await down();
    script.gates.clear();
    await ended(id);
    expect(await stepOf(id, 'a')).toMatchObject({ output: { text: 'right', keep: 1 } });
  });

  it('waits for a person for single items that have failed for good', async () => {
    script.failures.set('each/1', [fatal('bad item')]);
    const id = await start('exhausted-each');
    expect(await open(id)).toMatchObject([{ step: 'each', item: 1 }]);
    await signal(id, { item: 1, decision: 'skip', data: 'instead' });
    expect(await ended(id)).toMatchObject({ state: 'completed' });
    expect(await stepOf(id, 'all')).toMatchObject({ output: { got: [{ got: 'x' }, 'instead', { got: 'z' }] } });
    expect(await eventNames(id)).toContain('item.skipped');
  });

  it('follows the word of the pipeline, but not where a failure is tolerated', async () => {
    script.failures.set('a', [fatal()]);
    script.failures.set('b', [fatal()]);
    const id = await start('exhausted-all');
    expect(await open(id)).toMatchObject([{ step: 'b' }]);
    await signal(id, { decision: 'retry' });
    expect(await ended(id)).toMatchObject({ state: 'completed' });
  });

  it('ends as a dead letter where the step says so, after its clean-up', async () => {
    script.failures.set('a', [transient(), transient()]);
    const id = await start('dead');
    expect(await ended(id)).toMatchObject({ state: 'dead_letter' });
    expect(script.attempts).toEqual(['a', 'a', 'tell']);
    expect(await eventNames(id)).toContain('run.dead_lettered');
  });

  it('shows and stores secrets as references, and uses them in the attempts after an edit', async () => {
    script.failures.set('a', [fatal()]);
    const seen: unknown[] = [];
    script.runs.set('a', async (_ctx, input) => {
      seen.push(input);
      return null;
    });
    const id = await start('secretive');
    expect(await open(id)).toMatchObject([{ form: { input: { text: 'plain', token: 'key ${{ secrets.API_KEY }}' } } }]);
    await signal(id, { data: { with: { text: 'edited' } } });
    await ended(id);
    expect(seen).toEqual([{ text: 'edited', token: 'key s3cret-value' }]);
    const stored = await sql(db, 'select w::text as row from cronwright.waits w where run_id = $1', [id]);
    expect(JSON.stringify(stored)).not.toContain('s3cret-value');
  });

  const broken = (why: string) => new StepError('fatal', why, { name: 'CompileError' });

  it('lets people choose after an error of a name: an edit by hand', async () => {
    script.failures.set('compile', [broken('line 3')]);
    const id = await start('compile');
    expect(await open(id)).toMatchObject([
      { asked_by: 'error', choices: ['manual_edit', 'ai_fix', 'fail'], form: { error: { name: 'CompileError' } } },
    ]);
    await signal(id, { decision: 'manual_edit', data: { with: { text: 'b' } } });
    await ended(id);
    expect(await stepOf(id, 'compile')).toMatchObject({ output: { text: 'b', keep: 1 } });
  });

  it('repairs as often as it may once that was chosen, then asks for an edit by hand, and loses nothing', async () => {
    script.failures.set('compile', [broken('line 1'), broken('line 2'), broken('line 3')]);
    const given: unknown[] = [];
    script.fixes.push(
      async (input) => {
        given.push(input);
        return { text: 'a1', cost: 5 };
      },
      async (input) => {
        given.push(input);
        return { text: 'a2' };
      },
    );
    const id = await start('compile');
    await open(id);
    await signal(id, { decision: 'ai_fix' });
    await eventually(async () =>
      expect(await open(id)).toMatchObject([{ key: 'error/2', choices: ['manual_edit', 'fail'] }]),
    );
    expect(given).toEqual([
      { text: 'a', why: 'line 1' },
      { text: 'a1', why: 'line 2' },
    ]);
    expect(await open(id)).toMatchObject([{ form: { error: { message: 'line 3' }, input: { text: 'a2', keep: 1 } } }]);
    await signal(id, { decision: 'manual_edit', data: { with: { text: 'mine' } } });
    await ended(id);
    expect(await stepOf(id, 'compile')).toMatchObject({ output: { text: 'mine', keep: 1 } });
  });

  it('repairs without asking where nothing else can be chosen, and asks when that has failed too', async () => {
    script.failures.set('compile', [broken('line 1'), broken('line 2')]);
    script.fixes.push(
      async () => {
        throw fatal('no credit');
      },
      async () => ({ text: 'better' }),
    );
    const id = await start('compile-alone');
    const [asked] = await open(id);
    expect(asked).toMatchObject({ choices: ['manual_edit', 'fail'], form: { input: { text: 'better' } } });
    const { waits } = await waiting(id);
    expect(waits.filter((one) => one.asked_by === 'fix').map((one) => one.decision)).toEqual(['fixed', 'failed']);
    await signal(id, { decision: 'fail' });
    expect(await ended(id)).toMatchObject({ state: 'failed', error: { name: 'CompileError' } });
  });

  it.each([
    ['retry', {}, { state: 'completed', attempts: 2 }],
    ['happened', { data: { id: 7 } }, { state: 'completed', attempts: 1, output: { id: 7 } }],
    ['fail', {}, { state: 'failed', error: { name: 'Interrupted' } }],
  ])('asks what became of a step that a crash interrupted: %s', async (decision, answer, expected) => {
    const id = await abandoned('effect', 'a');
    expect(await open(id)).toMatchObject([{ asked_by: 'interrupted', choices: ['retry', 'happened', 'fail'] }]);
    await signal(id, { decision, ...answer });
    await ended(id);
    expect(await stepOf(id, 'a')).toMatchObject(expected);
  });

  it('carries out the clean-up of a waiting run that is cancelled, and its questions end with it', async () => {
    script.runs.set('ask', asks(approval));
    const id = await start('swept');
    await waiting(id);
    const { control } = (await up()).engine;
    const cancelled = await cancelRun(control, { tenant: 'default', id, actor: 'maria', reason: 'enough' });
    expect(cancelled).toMatchObject({ requested: 'cancel' });
    const run = await ended(id);
    expect(run).toMatchObject({ state: 'cancelled', error: { message: 'cancelled by maria: enough' } });
    expect(script.attempts).toEqual(['ask', 'sweep']);
    await eventually(async () => expect((await ended(id)).waits).toMatchObject([{ state: 'cancelled' }]));
  });

  it('cancels a waiting run without clean-up at once, with its questions', async () => {
    script.runs.set('ask', asks(approval));
    const id = await start('ask');
    await waiting(id);
    const { control } = (await up()).engine;
    expect(await cancelRun(control, { tenant: 'default', id, actor: 'maria' })).toMatchObject({ state: 'cancelled' });
    expect((await ended(id)).waits).toMatchObject([{ state: 'cancelled' }]);
    await expect(signal(id, { decision: 'approve' })).rejects.toMatchObject({ code: 'conflict' });
  });
});
