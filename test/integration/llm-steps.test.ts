// Steps that ask language models, on a whole engine against a real server: cache, keys, threads, failures, and a ledger that is exact.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LlmProvider } from '../../src/config/llm-settings.ts';
import { announceRuns } from '../../src/control/announce-runs.ts';
import { newRunOf, requirePipeline } from '../../src/control/start-run.ts';
import { statement } from '../../src/db/database.ts';
import type { Pipeline, StepDefinition } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { isTerminal } from '../../src/domain/run.ts';
import type { EventName } from '../../src/observe/events.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { getRun, type RunDetail } from '../../src/reads/get-run.ts';
import type { Json, LlmAnswer, LlmRequest, StepContext } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, eventually, startEngineWorld, transient } from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';
import { type LlmStub, startLlmStub } from '../support/llm-stub.ts';

const key = 'sk-hunter2-default';
const acmeKey = 'sk-hunter2-acme';
const price = { prompt: 2, cached: 0.5, completion: 10 };
const quick = { ...fastRetry, initialMs: 10, maxMs: 50, jitter: 0, maxRetries: 6 };

function step(id: string, needs: readonly string[] = [], overrides: Partial<StepDefinition> = {}): StepDefinition {
  return testStep(id, needs, { uses: 'test.do', retry: quick, with: { text: '${{ inputs.text }}' }, ...overrides });
}

const text = { text: { type: 'string', required: true } } as const;
const items = Array.from({ length: 100 }, (_, n) => `item ${n}`);
const each = (overrides: Partial<StepDefinition> = {}) =>
  step('each', [], {
    with: { text: '${{ item }}' },
    foreach: { items, maxParallel: 8, onItemError: 'continue' },
    ...overrides,
  });

function pipeline(id: string, steps: StepDefinition[], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, inputs: text, steps, ...overrides });
}

const pipelines: Pipeline[] = [
  pipeline('one', [step('ask')]),
  pipeline('one', [step('ask')], { tenant: 'acme' }),
  pipeline('two', [step('first'), step('second', ['first'])]),
  pipeline('many', [each()]),
  pipeline('shared', [
    each({ distribute: true, chunk: 10, foreach: { items, maxParallel: 2, onItemError: 'continue' } }),
  ]),
  pipeline('hurried', [step('ask', [], { timeoutMs: 1_500, retry: { ...quick, maxRetries: 0 } })]),
];

let test: TestDatabase;
let world: EngineWorld;
let stub: LlmStub;
const script = createScript();
const heard: { name: EventName; data: unknown }[] = [];

beforeAll(async () => {
  test = await createTestDatabase('postgres');
  stub = await startLlmStub({ keys: [key, acmeKey], cacheFrom: 1 });
  const provider = (more: Partial<LlmProvider> = {}): LlmProvider => ({
    baseUrl: stub.url,
    apiKey: 'KEY',
    tenantApiKeys: { acme: 'ACME' },
    model: 'stub-1',
    maxTokens: 200,
    timeoutMs: 10_000,
    headers: {},
    stream: true,
    json: 'schema',
    maxTokensField: 'max_tokens',
    omit: [],
    prices: { 'stub-1': price },
    ...more,
  });
  world = await startEngineWorld({
    db: test.db,
    script,
    pipelines,
    env: { CRONWRIGHT_SECRET_KEY: key, CRONWRIGHT_SECRET_ACME: acmeKey, CRONWRIGHT_SECRET_WRONG: 'sk-hunter2-wrong' },
    llm: {
      default: 'stub',
      keepAnswersMs: 60_000,
      estimatePerItem: 0.05,
      providers: {
        stub: provider(),
        keyless: provider({ apiKey: 'NOBODY_HAS_IT' }),
        wrong: provider({ apiKey: 'WRONG' }),
        free: provider({ prices: {} }),
      },
    },
  });
  for (const name of ['llm.called', 'llm.unpriced', 'rate_limit.closed', 'step.retried'] as const) {
    world.events.on(name, (data) => heard.push({ name, data }));
  }
});
afterAll(async () => {
  await world?.stop();
  await stub?.stop();
  await test?.close();
});
beforeEach(() => {
  Object.assign(stub.counts, { promptTokens: 0, completionTokens: 0, cachedTokens: 0, answered: 0, cut: 0 });
  stub.requests.length = 0;
  script.attempts.length = 0;
  heard.length = 0;
});
afterEach(() => script.runs.clear());

const ask =
  (more: Partial<LlmRequest> = {}, then?: (ctx: StepContext, answer: LlmAnswer) => Json) =>
  async (ctx: StepContext, input: unknown): Promise<Json> => {
    const content = (input as { text: string }).text;
    const answer = await ctx.llm.ask({ system: 'Be brief.', messages: [{ role: 'user', content }], ...more });
    return then ? then(ctx, answer) : (answer as unknown as Json);
  };

/** Runs a pipeline of the tenant to its end. */
async function run(id: string, given: string, tenant = 'default', dryRun = false): Promise<RunDetail> {
  return ended(await start(id, given, tenant, dryRun), tenant);
}

async function start(id: string, given: string, tenant = 'default', dryRun = false): Promise<string> {
  const { control } = world.engine;
  const caller = { tenant, actor: 'tester', origin: 'api' } as const;
  const made = newRunOf(control, requirePipeline(control, tenant, id), { inputs: { text: given }, dryRun }, caller);
  await enqueueRuns(test.db, [made]);
  await announceRuns(control, [made]);
  return made.id;
}

const ended = (id: string, tenant = 'default') =>
  eventually(async () => {
    const found = await getRun(test.db, tenant, id);
    if (!isTerminal(found.state)) throw new Error(`run ${id} is ${found.state}`);
    return found;
  }, 60_000);

interface Sums {
  rows: number;
  prompt: number;
  completion: number;
  cached: number;
  usd: number;
  open: number;
}

const sums = statement(
  'test_ledger_sums',
  `select count(*)::int4 as rows, coalesce(sum(prompt_tokens), 0)::int4 as prompt,
    coalesce(sum(completion_tokens), 0)::int4 as completion, coalesce(sum(cached_tokens), 0)::int4 as cached,
    coalesce(sum(usd), 0)::float8 as usd, (count(*) filter (where state <> 'spent'))::int4 as open
  from cronwright.costs where whole_id = $1`,
);
const ledgerOf = async (runId: string): Promise<Sums> =>
  (await test.db.query<Sums & Record<string, unknown>>(sums, [runId])).rows[0] as Sums;

/** What the stub has charged since the test began. */
function charged(): Pick<Sums, 'prompt' | 'completion' | 'cached'> {
  const { promptTokens: prompt, completionTokens: completion, cachedTokens: cached } = stub.counts;
  return { prompt, completion, cached };
}

const outputs = statement('test_outputs', 'select output from cronwright.step_runs where run_id = $1 and step = $2');
const outputOf = async (id: string, name = 'ask') =>
  (await test.db.query<{ output: Record<string, unknown> }>(outputs, [id, name])).rows[0]?.output;
const thread = statement(
  'test_thread',
  'select role, content, step from cronwright.conversations where run_id = $1 order by thread, seq',
);
const threadOf = async (id: string) => (await test.db.query<Record<string, string>>(thread, [id])).rows;

describe('a step that asks a model', () => {
  it('has its tokens and its money in the ledger, and is answered from there the next time', async () => {
    script.runs.set('ask', ask());
    const first = await run('one', 'What is a cron?');
    expect(first.state).toBe('completed');
    const ledger = await ledgerOf(first.id);
    const usd = (charged().prompt * price.prompt + charged().completion * price.completion) / 1e6;
    expect(ledger).toMatchObject({ rows: 1, open: 0, ...charged() });
    expect(ledger.usd).toBeCloseTo(usd, 6);
    expect(await outputOf(first.id)).toMatchObject({
      provider: 'stub',
      model: 'stub-1',
      cached: false,
      usd: ledger.usd,
    });

    const second = await run('one', 'What is a cron?');
    expect(stub.requests).toHaveLength(1);
    expect(await ledgerOf(second.id)).toMatchObject({ rows: 0 });
    const { text: answer } = (await outputOf(first.id)) ?? {};
    expect(await outputOf(second.id)).toMatchObject({ text: answer, cached: true, usd: 0 });
    expect(heard.map(({ data }) => (data as { result?: string }).result)).toEqual(['success', 'cached']);
  });

  it('is asked anew where it wants that, and for another tenant, with that tenant’s key', async () => {
    script.runs.set('ask', ask());
    await run('one', 'Whose key?');
    await run('one', 'Whose key?', 'acme');
    script.runs.set('ask', ask({ cache: false }));
    await run('one', 'Whose key?');
    expect(stub.requests.map((request) => request.key)).toEqual([key, acmeKey, key]);
  });

  it('says once that a model has no price, and costs nothing then', async () => {
    script.runs.set('ask', ask({ provider: 'free' }));
    const first = await run('one', 'Is it free?');
    await run('one', 'Is it really free?');
    expect(await ledgerOf(first.id)).toMatchObject({ usd: 0, ...{ prompt: expect.any(Number), rows: 1 } });
    expect((await ledgerOf(first.id)).prompt).toBeGreaterThan(0);
    expect(heard.filter(({ name }) => name === 'llm.unpriced')).toHaveLength(1);
  });

  it('shows how far the answer is while it comes in', async () => {
    script.runs.set('ask', ask());
    stub.next({ kind: 'stall', afterTokens: 8 });
    const id = await start('one', 'Tell me slowly');
    const seen = await eventually(async () => {
      const found = world.engine && (await getRun(test.db, 'default', id));
      if (!found.message?.includes('about')) throw new Error(`the run says ${found.message}`);
      return found;
    });
    expect(seen.message).toMatch(/^ask: stub-1: about \d+ tokens$/);
    stub.release();
    expect((await ended(id)).state).toBe('completed');
  });

  it('shows it beside what the step says of itself, and is no further by it', async () => {
    script.runs.set('ask', async (ctx, input) => {
      ctx.progress({ done: 1, total: 4, message: 'page 2' });
      return ask()(ctx, input);
    });
    stub.next({ kind: 'stall', afterTokens: 8 });
    const id = await start('one', 'Tell me slowly, page by page');
    const seen = await eventually(async () => {
      const found = await getRun(test.db, 'default', id);
      if (!found.message?.includes('about')) throw new Error(`the run says ${found.message}`);
      return found;
    });
    expect([seen.message, seen.progress]).toEqual([
      expect.stringMatching(/^ask: page 2 \(stub-1: about \d+ tokens\)$/),
      25,
    ]);
    stub.release();
    expect((await ended(id)).state).toBe('completed');
  });

  it('pays for an answer that does not fit, and asks again', async () => {
    const schema = {
      name: 'count',
      schema: { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] },
    };
    script.runs.set('ask', ask({ schema }));
    stub.next({ kind: 'text', text: '{"n":"many"}' }, { kind: 'text', text: 'Here you are:\n```json\n{"n":3}\n```\n' });
    const done = await run('one', 'How many?');
    expect(await outputOf(done.id)).toMatchObject({ data: { n: 3 }, cached: false });
    expect(await ledgerOf(done.id)).toMatchObject({ rows: 2, ...charged() });
    const retried = heard.find(({ name }) => name === 'step.retried')?.data as { error: string };
    expect(retried.error).toMatch(
      /^InvalidAnswer: the answer of stub does not fit the schema count: n: .*expected (number|int)/,
    );
  });

  it('pays for what came of an answer that its time-out cut', async () => {
    script.runs.set('ask', ask({ cache: false }));
    stub.next({ kind: 'stall', afterTokens: 8 });
    const failed = await run('hurried', 'Never mind');
    expect(failed).toMatchObject({ state: 'failed', error: { name: 'TimeoutError' } });
    await eventually(async () => expect(await ledgerOf(failed.id)).toMatchObject({ rows: 1, open: 0, completion: 8 }));
    await eventually(async () => expect(await ledgerOf(failed.id)).toMatchObject(charged()));
  });
});

describe('a step that asks nobody', () => {
  it('goes on with its template in a dry run, and says so where it has none', async () => {
    script.runs.set('ask', ask({ template: 'from the input', conversation: 'main' }));
    const dry = await run('one', 'Dry', 'default', true);
    expect(await outputOf(dry.id)).toMatchObject({ text: 'from the input', provider: 'template', usd: 0 });
    expect(await threadOf(dry.id)).toEqual([]);
    script.runs.set('ask', ask());
    expect(await run('one', 'Dry', 'default', true)).toMatchObject({ state: 'failed', error: { name: 'NoTemplate' } });
    expect(stub.requests).toEqual([]);
  });

  it('keeps its thread with the provider `template`, too', async () => {
    script.runs.set('ask', ask({ provider: 'template', template: 'from the input', conversation: 'main' }));
    const done = await run('one', 'Offline');
    expect((await threadOf(done.id)).map(({ content }) => content)).toEqual(['Offline', 'from the input']);
    expect(await ledgerOf(done.id)).toMatchObject({ rows: 0 });
  });
});

describe('a step that is tried again', () => {
  it('finds the answer of its first attempt, pays nothing, and says nothing twice in its thread', async () => {
    let failures = 2;
    script.runs.set(
      'ask',
      ask({ conversation: 'main' }, (_, answer) => {
        failures -= 1;
        if (failures >= 0) throw transient('after the answer');
        return answer as unknown as Json;
      }),
    );
    const done = await run('one', 'Once only');
    expect(script.attempts).toHaveLength(3);
    expect(stub.requests).toHaveLength(1);
    expect(await ledgerOf(done.id)).toMatchObject({ rows: 1, ...charged() });
    expect(await outputOf(done.id)).toMatchObject({ cached: true, usd: 0 });
    expect((await threadOf(done.id)).map(({ role }) => role)).toEqual(['user', 'assistant']);
  });

  it('says nothing twice in several threads, in whatever order it puts its questions to them', async () => {
    let attempts = 0;
    script.runs.set('ask', async (ctx) => {
      attempts += 1;
      const request = { system: 'Be brief.', messages: [{ role: 'user' as const, content: 'Again?' }] };
      for (const conversation of attempts === 1 ? ['one', 'two'] : ['two', 'one']) {
        await ctx.llm.ask({ ...request, conversation });
      }
      if (attempts === 1) throw transient('after both');
      return null;
    });
    const done = await run('one', 'Twice');
    expect(attempts).toBe(2);
    expect((await threadOf(done.id)).map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant']);
  });

  it('goes on with what earlier steps have said', async () => {
    script.runs.set('first', ask({ conversation: 'main' }));
    script.runs.set('second', ask({ conversation: 'main', messages: [{ role: 'user', content: 'And then?' }] }));
    const done = await run('two', 'A story');
    expect(done.state).toBe('completed');
    const said = await threadOf(done.id);
    expect(said.map(({ role, step: by }) => `${by} ${role}`)).toEqual([
      'first user',
      'first assistant',
      'second user',
      'second assistant',
    ]);
    const contents = said.slice(0, 3).map(({ content }) => content);
    expect(stub.requests[1]?.body.messages.map(({ content }) => content)).toEqual(['Be brief.', ...contents]);
  });
});

describe('a provider that fails', () => {
  it('ends the whole run where its key is missing: no other item is tried', async () => {
    script.runs.set('each', ask({ provider: 'keyless' }));
    const failed = await run('many', '');
    expect(failed.state).toBe('failed');
    expect(failed.error).toMatchObject({ name: 'MissingApiKey', class: 'fatal', scope: 'run' });
    expect(failed.error?.message).toContain('No API key configured for provider keyless');
    expect(script.attempts.length).toBeLessThanOrEqual(8);
    expect(stub.requests).toEqual([]);
  });

  it('ends it also where the items are shared out', async () => {
    script.runs.set('each', ask({ provider: 'keyless' }));
    const failed = await run('shared', '');
    expect(failed).toMatchObject({ state: 'failed', error: { name: 'MissingApiKey', scope: 'run' } });
    expect(script.attempts.length).toBeLessThanOrEqual(4);
  });

  it('is left alone by other runs while it asks for quiet', async () => {
    script.runs.set('ask', ask({ cache: false }));
    stub.next({ kind: 'rate_limited', retryAfterMs: 1_200 });
    const first = await start('one', 'First');
    await eventually(async () => expect(heard.some(({ name }) => name === 'rate_limit.closed')).toBe(true));
    const told = performance.now();
    const second = await run('one', 'Second');
    expect(second.state).toBe('completed');
    expect(performance.now() - told).toBeGreaterThan(1_000);
    expect((await ended(first)).state).toBe('completed');
    expect(stub.requests).toHaveLength(3);
    expect(heard.find(({ name }) => name === 'rate_limit.closed')?.data).toMatchObject({ key: 'llm:stub/KEY' });
  });

  it('leaves what was held as unknown where it never answered', async () => {
    const provider = world.settings.llm.providers.stub as LlmProvider;
    Object.assign(provider, { timeoutMs: 300 });
    script.runs.set('ask', ask({ cache: false }));
    stub.next({ kind: 'hang' });
    const id = await start('one', 'Are you there?');
    await eventually(async () => expect(stub.requests).toHaveLength(1));
    Object.assign(provider, { timeoutMs: 10_000 });
    const done = await ended(id);
    stub.release();
    expect(done.state).toBe('completed');
    expect(await ledgerOf(done.id)).toMatchObject({ rows: 2, open: 1, completion: stub.counts.completionTokens });
  });

  it('has its key nowhere in what is kept, whatever it repeats', async () => {
    script.runs.set('ask', ask({ provider: 'wrong' }));
    expect(await run('one', 'Say my key')).toMatchObject({ state: 'failed', error: { name: 'InvalidApiKey' } });
    script.runs.set('ask', ask({ conversation: 'main' }));
    stub.next({ kind: 'status', status: 503, message: `busy: ${key}` }, { kind: 'text', text: `it is ${key}` });
    expect(await run('one', 'Say it')).toMatchObject({ state: 'completed' });
    for (const table of [
      'runs',
      'step_runs',
      'history',
      'logs',
      'costs',
      'llm_responses',
      'conversations',
      'rate_limits',
    ]) {
      const all = statement(`test_all_${table}`, `select t::text as row from cronwright.${table} t`);
      const rows = (await test.db.query<{ row: string }>(all, [])).rows.map(({ row }) => row).join('\n');
      expect(rows, table).not.toContain('hunter2');
    }
    expect(JSON.stringify(heard)).not.toContain('hunter2');
  });

  it('changes nothing in the sums: of 100 items with 429, 503 and cut streams each completes, and the ledger is exact', async () => {
    const faulty = await startLlmStub({
      port: 0,
      faults: { seed: 11, rateLimited: 0.1, unavailable: 0.05, cut: 0.02, retryAfterMs: 20 },
      cacheFrom: 1,
    });
    const provider = world.settings.llm.providers.stub as LlmProvider;
    const url = provider.baseUrl;
    Object.assign(provider, { baseUrl: faulty.url });
    try {
      script.runs.set('each', ask());
      const done = await run('many', '');
      expect(done).toMatchObject({ state: 'completed', failed_items: 0 });
      const { counts } = faulty;
      expect(counts).toMatchObject({ answered: 100 });
      for (const fault of ['rateLimited', 'errors', 'cut'] as const) expect(counts[fault], fault).toBeGreaterThan(0);
      expect(await ledgerOf(done.id)).toMatchObject({
        rows: 100 + counts.cut,
        open: 0,
        prompt: counts.promptTokens,
        completion: counts.completionTokens,
        cached: counts.cachedTokens,
      });
    } finally {
      Object.assign(provider, { baseUrl: url });
      await faulty.stop();
    }
  });
});
