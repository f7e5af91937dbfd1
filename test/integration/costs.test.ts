// Money and words of runs on a whole engine: budgets that fail or wait, what a crash leaves held, and threads that go along.
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { estimateRun } from '../../src/control/estimate-run.ts';
import { forkRun } from '../../src/control/fork-run.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { signalRun } from '../../src/control/signal-run.ts';
import { createRunStarter, requirePipeline } from '../../src/control/start-run.ts';
import { diffRuns } from '../../src/reads/diff-runs.ts';
import { runConversations } from '../../src/reads/run-conversations.ts';
import { runCosts } from '../../src/reads/run-costs.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { sumCosts } from '../../src/reads/sum-costs.ts';
import { definePlugin, defineStep, type StepContext } from '../../src/steps/api.ts';
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
import { sql, startDaemon, testPipeline, testStep } from '../support/http-world.ts';
import { cronwright } from '../unit/cli/memory-context.ts';

const once = { initialMs: 0, multiplier: 1, maxMs: 0, jitter: 0, maxRetries: 1, on: ['transient'] } as const;
const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;

/** Knows what it takes: 0.10 an attempt. */
const priced = definePlugin({
  name: 'priced',
  version: '1.0.0',
  apiVersion: 1,
  steps: {
    do: defineStep({
      input: z.strictObject({ pages: z.int() }),
      output: z.any(),
      isolation: 'inline',
      weight: 'light',
      run: () => null,
      estimate: (_ctx, { pages }) => ({ usd: 0.1 * pages, durationMs: 2_000 }),
    }),
  },
});

const pipelines = [
  testPipeline('spend', { steps: [testStep('ask', [], { uses: 'test.do', retry: once })] }),
  testPipeline('thrifty', {
    budget: { perRun: 1, onExceeded: 'fail' },
    steps: [testStep('ask', [], { uses: 'test.do', retry: once })],
  }),
  testPipeline('asking', {
    budget: { perRun: 1, onExceeded: 'wait' },
    steps: [testStep('ask', [], { uses: 'test.do', retry: once })],
  }),
  testPipeline('items', {
    budget: { perRun: 1, onExceeded: 'fail' },
    steps: [
      testStep('ask', [], {
        uses: 'test.do',
        foreach: { items: Array.from({ length: 32 }, (_, i) => i), maxParallel: 32, onItemError: 'continue' },
        retry: { ...once, maxRetries: 0 },
      }),
    ],
  }),
  testPipeline('few', {
    steps: [
      testStep('ask', [], {
        uses: 'test.do',
        foreach: { items: ['a', 'b', 'c', 'd'], maxParallel: 1, onItemError: 'continue' },
        retry: { ...once, maxRetries: 0 },
      }),
    ],
  }),
  testPipeline('talk', {
    steps: [
      testStep('plan', [], { uses: 'test.do' }),
      testStep('write', ['plan'], { uses: 'test.do', retry: once }),
      testStep('check', ['write'], { uses: 'test.do', retry: { ...once, maxRetries: 0 } }),
    ],
  }),
  testPipeline('report', {
    steps: [
      testStep('estimate', [], { uses: 'cost.estimate', with: { items: 3 } }),
      testStep('ask', ['estimate'], { uses: 'test.do' }),
      testStep('cost', ['ask'], { uses: 'cost.report', with: {} }),
    ],
  }),
  testPipeline('priced', {
    inputs: { pages: { type: 'array', required: true } },
    steps: [
      testStep('fetch', [], { uses: 'test.do' }),
      testStep('write', ['fetch'], {
        uses: 'priced.do',
        with: { pages: '${{ item }}' },
        foreach: { items: '${{ inputs.pages }}', maxParallel: 2, onItemError: 'continue' },
      }),
      testStep('last', ['write'], { uses: 'priced.do', with: { pages: '${{ steps.fetch.output.n }}' } }),
    ],
  }),
];

describe('the money of runs', () => {
  let test: TestDatabase;
  let script: Script;
  let world: EngineWorld;
  let said: { event: string; budget: string }[];
  /** Statements, by name. */
  const asked: string[] = [];

  beforeEach(async () => {
    test ??= await createTestDatabase('postgres', { onQuery: (operation) => void asked.push(operation) });
    for (const table of ['costs', 'cost_totals', 'conversations'])
      await sql(test.db, `delete from cronwright.${table}`);
    script = createScript();
    world = await startWorld();
    said = [];
    for (const event of ['budget.near', 'budget.exceeded'] as const) {
      world.events.on(event, ({ budget }) => said.push({ event, budget }));
    }
  });
  afterEach(() => world.stop());
  afterAll(() => test.close());

  const startWorld = (options: Partial<Parameters<typeof startEngineWorld>[0]> = {}) =>
    startEngineWorld({
      db: test.db,
      script,
      pipelines,
      inFlight: 100,
      plugins: [priced],
      budgets: { rich: { perMonth: 100, onExceeded: 'fail' } },
      ...options,
    });
  const costsOf = async (id: string) => (await runCosts(test.db, 'default', id, { limit: 100 })).items;
  const heldBy = (id: string) =>
    eventually(async () => {
      const [row] = await costsOf(id);
      if (row?.state !== 'unknown') throw new Error(`it is ${row?.state}`);
      return row;
    });
  const spend =
    (usd: number, actual = usd) =>
    async (ctx: StepContext) => {
      const { id } = await ctx.cost.reserve({ what: 'llm', usd });
      await ctx.cost.settle(id, { what: 'llm', usd: actual, units: { calls: 1 } });
      return null;
    };

  it('is added up for each attempt, and a retry keeps what the attempt before it spent', async () => {
    script.runs.set('ask', async (ctx) => {
      await ctx.cost.add({ what: 'api:maps', usd: 0.25, units: { calls: 2 } });
      if (ctx.attempt === 1) throw transient();
      return null;
    });
    const id = await world.start('spend');
    expect((await world.reached(id)).cost).toMatchObject({ usd: 0.5, held_usd: 0, ratio: null });
    expect(await costsOf(id)).toMatchObject([
      { step: 'ask', attempt: 1, usd: 0.25, state: 'spent', units: { calls: 2 } },
      { step: 'ask', attempt: 2, usd: 0.25, state: 'spent' },
    ]);
    const sums = await sumCosts(test.db, { tenant: 'default', pipeline: 'spend', group: 'pipeline', limit: 10 });
    expect(sums).toMatchObject({ items: [{ key: 'spend', usd: 0.5, runs: 1, entries: 2 }], total: { usd: 0.5 } });
  });

  it('costs a run that spends nothing not one statement', async () => {
    asked.length = 0;
    const state = () => sql<{ state: string | null }>(test.db, `select state from cronwright.runs where id = '${id}'`);
    const id = await world.start('spend');
    await eventually(async () => expect((await state())[0]?.state).toBe('completed'));
    expect(asked.length).toBeGreaterThan(0);
    // Upkeep looks whatever runs.
    const upkeep = ['find_lost_costs', 'prune_costs'];
    expect(asked.filter((name) => /cost|budget|conversation/.test(name) && !upkeep.includes(name))).toEqual([]);
    expect(await sql(test.db, 'select * from cronwright.cost_totals')).toEqual([]);
  });

  it('fails a step whose budget has no room, and says which, how much is spent and held', async () => {
    script.runs.set('ask', async (ctx) => {
      await ctx.cost.add({ what: 'llm', usd: 0.7 });
      await ctx.cost.reserve({ what: 'llm', usd: 0.2 });
      await ctx.cost.reserve({ what: 'llm', usd: 0.2 });
      return null;
    });
    const run = await world.reached(await world.start('thrifty'));
    expect(run).toMatchObject({ state: 'failed', error: { name: 'BudgetExceeded', class: 'fatal' } });
    expect(run.error?.message).toBe(
      'step ask: llm needs $0.20, which passes the budget of the run ($1.00): $0.70 spent, $0.20 held',
    );
    expect(said).toEqual([
      { event: 'budget.near', budget: 'run' },
      { event: 'budget.exceeded', budget: 'run' },
    ]);
    const told = await runEvents(test.db, 'default', run.id, { after: 0, limit: 100 });
    expect(told.items.map(({ event }) => event)).toEqual(expect.arrayContaining(['budget.near', 'budget.exceeded']));
  });

  it('holds a budget under a fan-out of 32 items at once', async () => {
    script.runs.set('ask', spend(0.3, 0.25));
    const run = await world.reached(await world.start('items'));
    const spent = (await costsOf(run.id)).length;
    expect(run.cost.usd).toBe(spent * 0.25);
    expect(run.cost.usd).toBeLessThanOrEqual(1);
    expect(run.failed_items).toBe(32 - spent);
  });

  it('tells how far a fan-out is with each item, and what a run has cost with its end', async () => {
    script.runs.set('ask', spend(0.3, 0.25));
    script.failures.set('ask/1', [fatal()]);
    const eventsOf = async (id: string) => (await runEvents(test.db, 'default', id, { after: 0, limit: 100 })).items;
    const events = await eventsOf((await world.reached(await world.start('few'))).id);
    const items = events.filter(({ event }) => event.startsWith('item.'));
    expect(items.map(({ event, item, data }) => [event, item, data])).toEqual([
      ['item.completed', 0, { done: 1, total: 4, progress: 25 }],
      ['item.failed', 1, { done: 2, total: 4, progress: 50 }],
      ['item.completed', 2, { done: 3, total: 4, progress: 75 }],
      ['item.completed', 3, { done: 4, total: 4, progress: 100 }],
    ]);
    const cost = { usd: 0.75, estimated_usd: null, prompt_tokens: 0, completion_tokens: 0 };
    expect(events.at(-1)).toMatchObject({ event: 'run.completed', data: { cost } });

    script.runs.set('ask', async (ctx) => {
      await ctx.cost.add({ what: 'llm', usd: 0.4 });
      throw fatal('the model is gone');
    });
    const failed = await eventsOf((await world.reached(await world.start('spend'))).id);
    expect(failed.at(-1)).toMatchObject({
      ...{ event: 'run.failed', reason: expect.stringContaining('the model is gone'), data: { cost: { usd: 0.4 } } },
    });
    script.runs.set('ask', async () => null);
    const free = await eventsOf((await world.reached(await world.start('spend'))).id);
    expect(free.at(-1)).toMatchObject({ event: 'run.completed', data: null });
  });

  it('waits for people where a budget says so, and goes beyond by what they allow', async () => {
    script.runs.set('ask', async (ctx) => {
      await spend(0.8)(ctx);
      return null;
    });
    const ask = script.runs.get('ask');
    script.runs.set('ask', async (ctx, input) => {
      if (ctx.token > 1) await ctx.cost.reserve({ what: 'llm', usd: 0.5 });
      else await ask?.(ctx, input);
      await ctx.cost.reserve({ what: 'llm', usd: 0.5 });
      return null;
    });
    const id = await world.start('asking');
    const waiting = await world.reached(id, ['waiting']);
    const [wait] = waiting.waits;
    expect(wait).toMatchObject({ kind: 'budget', key: 'budget/1/$0.50', state: 'open' });
    expect(wait?.form).toMatchObject({ wanted_usd: 0.5, budgets: [{ budget: 'run', limit_usd: 1, spent_usd: 0.8 }] });
    await signalRun(world.engine.control, caller, { id, decision: 'approve' });
    // What was allowed is used up by the first: for the second they are asked again.
    const again = await eventually(async () => {
      const run = await world.reached(id, ['waiting']);
      expect(run.waits.filter(({ state }) => state === 'open')).toMatchObject([{ key: 'budget/2/$0.50' }]);
      return run;
    });
    expect(again.cost).toMatchObject({ usd: 0.8, held_usd: 0.5 });
    await signalRun(world.engine.control, caller, { id, decision: 'reject' });
    const run = await world.reached(id);
    expect(run).toMatchObject({ state: 'failed', error: { name: 'BudgetExceeded' } });
  });

  it("is bounded by a tenant's month over all its runs", async () => {
    await world.stop();
    world = await startWorld({ budgets: { '*': { perMonth: 1, onExceeded: 'fail' } } });
    script.runs.set('ask', spend(0.6));
    const first = await world.reached(await world.start('spend'));
    const second = await world.reached(await world.start('spend'));
    expect([first.state, second.state]).toEqual(['completed', 'failed']);
    expect(second.error?.message).toMatch(/passes the budget of \d{4}-\d\d \(\$1.00\): \$0.60 spent, \$0.00 held/);
  });

  it('that a dead worker held counts at its estimate, as unknown, and the next attempt reserves anew', async () => {
    let holds = () => {};
    const held = new Promise<void>((resolve) => {
      holds = resolve;
    });
    script.runs.set('ask', async (ctx) => {
      const { id } = await ctx.cost.reserve({ what: 'llm', usd: 0.4 });
      if (ctx.token === 1) {
        holds();
        await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason)));
      }
      await ctx.cost.settle(id, { what: 'llm', usd: 0.3 });
      return null;
    });
    const id = await world.start('spend');
    await held;
    // As after kill -9: nobody beats for the run any more, and another claim takes it.
    await sql(
      test.db,
      `update cronwright.queue set state = 'pending', node = null, lease_until = null where run_id = '${id}'`,
    );
    const run = await world.reached(id);
    expect(run.state).toBe('completed');
    await heldBy(id);
    expect(await costsOf(id)).toMatchObject([
      { state: 'unknown', usd: 0.4, held_usd: 0.4 },
      { state: 'spent', usd: 0.3 },
    ]);
    expect((await world.reached(id)).cost).toMatchObject({ usd: 0.7, unknown_usd: 0.4, held_usd: 0 });
  });

  it('is estimated and reported within a pipeline', async () => {
    script.runs.set('ask', async (ctx) => {
      await ctx.cost.add({ what: 'llm', usd: 0.1623, units: { prompt_tokens: 13_800, completion_tokens: 5_700 } });
      return null;
    });
    const run = await world.reached(await world.start('report'));
    expect(run.cost).toMatchObject({ usd: 0.1623, estimated_usd: 0.15, ratio: 1.082, total_tokens: 19_500 });
    const outputs = Object.fromEntries(
      (await runSteps(test.db, 'default', run.id)).map((one) => [one.step, one.output]),
    );
    expect(outputs.estimate).toEqual({ items: 3, per_item_usd: 0.05, low: 0.15, high: 0.3, text: '$0.15 - $0.30' });
    expect(outputs.cost).toMatchObject({ estimated: 0.15, actual: 0.1623, ratio: 1.082, by_step: [{ step: 'ask' }] });
  });

  it('is estimated before a run: by its steps, else by earlier runs', async () => {
    const pipeline = requirePipeline(world.engine.control, 'default', 'priced');
    script.runs.set('fetch', async (ctx) => {
      await ctx.cost.add({ what: 'api', usd: 0.05 });
      return { n: 1 };
    });
    const first = await estimateRun(world.engine.control, pipeline, { pages: [1, 2, 3] });
    expect(first).toMatchObject({ usd_low: 0.6, usd_high: 1.2, duration_ms: null });
    await world.reached(await world.start('priced', { inputs: { pages: [1] } }));
    const estimate = await estimateRun(world.engine.control, pipeline, { pages: [1, 2, 3] });
    expect(estimate).toMatchObject({
      usd_low: 0.65,
      steps: [
        { step: 'fetch', usd_low: 0.05, usd_from: 'history' },
        { step: 'write', items: 3, usd_low: 0.6, usd_high: 1.2, usd_from: 'step', duration_ms: 4_000 },
        { step: 'last', usd_low: 0, usd_from: 'none' },
      ],
    });
  });

  it('is shown over HTTP, on the command line and on the page of the run', async () => {
    script.runs.set('ask', async (ctx) => {
      await ctx.cost.add({ what: 'llm', usd: 0.1623, units: { prompt_tokens: 13_800, completion_tokens: 5_700 } });
      await ctx.conversation.append([{ role: 'user', content: 'first line\nsecond <b>line</b>' }]);
      return null;
    });
    const woken = { workers: 0, scheduler: 0, timers: 0, requests: 0 };
    const daemon = await startDaemon({
      ...{ db: test.db, control: world.engine.control, heard: [], served: [], woken },
    });
    try {
      const started = await daemon.post<{ id: string }>('/pipelines/priced/runs', {
        inputs: { pages: [3] },
        estimate: true,
      });
      expect(started).toMatchObject({ status: 202 });
      expect((await world.reached(started.body.id)).cost).toMatchObject({ estimated_usd: 0.3 });
      expect(await daemon.post('/pipelines/priced/estimate', { inputs: { pages: 3 } })).toMatchObject({ status: 400 });
      const id = await world.start('spend');
      await world.reached(id);
      const { body } = await daemon.get(`/runs/${id}/costs`);
      expect(body).toMatchObject({ items: [{ what: 'llm', usd: 0.1623, prompt_tokens: 13_800, state: 'spent' }] });
      expect(await daemon.get(`/runs/${id}/costs`, { 'cronwright-tenant': 'acme' })).toMatchObject({ status: 404 });
      expect(await daemon.get(`/runs/${id}/conversations`, { 'cronwright-tenant': 'acme' })).toMatchObject({
        status: 404,
      });
      expect((await daemon.get('/costs?group=step')).body).toMatchObject({ items: [{ key: 'spend/ask', runs: 1 }] });
      expect((await daemon.get('/costs', { 'cronwright-tenant': 'acme' })).body).toMatchObject({ items: [] });
      const show = await cronwright(['show', id, '--url', daemon.url]);
      expect(show.out).toContain('$0.1623, 13800 + 5700 tokens');
      const costs = await cronwright(['costs', '--by', 'run', '--url', daemon.url]);
      expect(costs.out).toContain(id);
      const page = await (await fetch(`${daemon.url}/runs/${id}`)).text();
      expect(page).toContain('first line\nsecond &lt;b&gt;line&lt;/b&gt;');
      expect(page).toContain('$0.1623');
    } finally {
      await daemon.stop();
    }
  });

  describe('and their words', () => {
    const say = (text: string) => async (ctx: StepContext) => {
      const before = (await ctx.conversation.load()).map(({ content }) => content);
      await ctx.conversation.append([{ role: 'user', content: text }]);
      return before;
    };
    const heard = async (id: string) =>
      (await runConversations(test.db, 'default', id, { limit: 100 })).items.map(({ content }) => content);
    const outputOf = async (id: string, step: string) =>
      (await runSteps(test.db, 'default', id)).find((one) => one.step === step)?.output;

    beforeEach(() => {
      for (const step of ['plan', 'write', 'check']) script.runs.set(step, say(step));
    });

    it('are said once however often a step is tried, and seen by each try alike', async () => {
      script.runs.set('write', async (ctx) => {
        const before = await say(`write ${ctx.attempt}`)(ctx);
        if (ctx.attempt === 1) throw transient();
        return before;
      });
      const id = await world.start('talk');
      await world.reached(id);
      expect(await heard(id)).toEqual(['plan', 'write 2', 'check']);
      expect(await outputOf(id, 'write')).toEqual(['plan']);
    });

    it('go along to a retry and to a fork, as far as their steps are kept', async () => {
      script.failures.set('check', [fatal(), fatal()]);
      const id = await world.start('talk');
      await world.reached(id);
      const { id: retried } = await retryRun(createRunStarter(world.engine.control), id, caller);
      await world.reached(retried);
      expect(await heard(retried)).toEqual(['plan', 'write']);
      const forked = await forkRun(createRunStarter(world.engine.control), id, { from: 'write' }, caller);
      await world.reached(forked.id);
      expect(await heard(forked.id)).toEqual(['plan', 'write', 'check']);
      expect(await outputOf(forked.id, 'write')).toEqual(['plan']);
      const { before, after } = await diffRuns(test.db, 'default', forked.id, undefined);
      expect([before.cost.usd, after.cost.usd]).toEqual([0, 0]);
    });
  });
});
