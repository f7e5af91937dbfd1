// The steps that document a database, on a real PostgreSQL: what they read, write per layer, store as versions and take back.
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JobReport } from '../../plugins/docs/job-figures.ts';
import { type Json, type LlmAnswer, type LlmRequest, type SqlConnection, StepError } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { errorOf, type Overrides, outputOf, type Ran, runStep } from '../support/step-context.ts';

let test: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  test = await createTestDatabase('postgres');
  client = new pg.Client({ connectionString: test.url });
  await client.connect();
  await client.query(`
    create schema shop; create schema archive;
    create table shop.customers (id int primary key, email text not null);
    comment on table shop.customers is 'Who buys. See | here.';
    comment on column shop.customers.email is 'Where the bill goes.';
    create table shop.orders (id int primary key, customer_id int not null references shop.customers (id), total numeric(10, 2));
    create table archive.orders (id int);
    create view shop.order_summary as select c.id, sum(o.total) as total
      from shop.orders o join shop.customers c on c.id = o.customer_id group by c.id;
    create function shop.forecast(months int, rate numeric default 0.1) returns table (month int, total numeric)
      language sql begin atomic select g, sum(o.total) * (1 + rate) from generate_series(1, months) g, shop.orders o group by g; end;
    create function shop.tax(amount numeric) returns numeric language sql as 'select amount * 0.19';
    create function shop.tax(amount int) returns numeric language sql as 'select amount * 0.19';
  `);
});
afterAll(async () => {
  await client?.end();
  await test?.close();
});

/** As the host gives it: with `readOnly` one read-only transaction a query. */
const sql = async (_name: string, { readOnly }: { readOnly: boolean }): Promise<SqlConnection> => ({
  async query(text, params = []) {
    await client.query(readOnly ? 'begin read only' : 'begin');
    try {
      const { rows, rowCount } = await client.query<Record<string, Json>>(text, [...params]);
      await client.query('commit');
      return { rows: JSON.parse(JSON.stringify(rows)), rowCount: rowCount ?? 0 };
    } catch (error) {
      await client.query('rollback');
      throw error;
    }
  },
});

const run = (step: string, input: Record<string, unknown>, more: Overrides = {}) =>
  runStep(step, input, { sql, ...more });

interface Described {
  id: string;
  name: string;
  found: boolean;
  problem: string | null;
  object: Record<string, Json> | null;
}
const described = async (id: string) => outputOf<Described>(await run('pg.describe', { connection: 'main', id }));

describe('pg.objects', () => {
  const list = async (input: Record<string, unknown>) =>
    outputOf<{ objects: { id: string; kind: string | null }[]; missing: string[] }>(
      await run('pg.objects', { connection: 'main', ...input }),
    );

  it('lists all objects of a schema with ids that tell overloaded functions apart', async () => {
    const { objects } = await list({ schemas: ['shop'] });
    expect(objects.map(({ id, kind }) => `${kind} ${id}`)).toEqual([
      'function shop.forecast(integer, numeric)',
      'function shop.tax(integer)',
      'function shop.tax(numeric)',
      'table shop.customers',
      'table shop.orders',
      'view shop.order_summary',
    ]);
  });

  it('names a schema in which there is nothing, instead of listing nothing', async () => {
    const ran = await run('pg.objects', { connection: 'main', schemas: ['shop', 'shopp'] });
    expect(errorOf(ran)).toMatchObject({ name: 'SchemaNotFound', message: expect.stringContaining('schema shopp:') });
  });

  it('takes ids as people write them, each once in their order, and keeps those that lead nowhere', async () => {
    const { objects, missing } = await list({
      ids: ['order_summary', 'shop.nope', 'shop.customers', 'shop.order_summary'],
    });
    expect(objects.map(({ id, kind }) => [id, kind])).toEqual([
      ['shop.order_summary', 'view'],
      ['shop.nope', null],
      ['shop.customers', 'table'],
    ]);
    expect(missing).toEqual(['shop.nope']);
  });
});

describe('pg.describe', () => {
  it('tells columns, keys and what an object is connected with', async () => {
    const { object } = await described('shop.customers');
    expect(object).toMatchObject({
      id: 'shop.customers',
      kind: 'table',
      primary_key: ['id'],
      columns: [{ name: 'id' }, { name: 'email', comment: 'Where the bill goes.' }],
      related: [
        { how: 'read_by', id: 'shop.order_summary', by: null },
        { how: 'referenced_by', id: 'shop.orders', by: 'FOREIGN KEY (customer_id) REFERENCES shop.customers(id)' },
      ],
    });
    expect((await described('shop.order_summary')).object?.related).toEqual([
      { how: 'reads', id: 'shop.customers', by: null },
      { how: 'reads', id: 'shop.orders', by: null },
    ]);
  });

  it('tells the parameters of a function, the columns that it returns and the tables that it reads', async () => {
    const { id, object } = await described('forecast');
    expect(id).toBe('shop.forecast(integer, numeric)');
    expect(object).toMatchObject({
      parameters: [
        { name: 'months', type: 'integer', mode: 'in' },
        { name: 'rate', type: 'numeric', mode: 'in' },
        { name: 'month', type: 'integer', mode: 'table' },
        { name: 'total', type: 'numeric', mode: 'table' },
      ],
      related: [{ how: 'reads', id: 'shop.orders', by: null }],
    });
  });

  it('says why there is no object: none has the name, or several have', async () => {
    expect(await described('shop.nope')).toMatchObject({
      found: false,
      object: null,
      problem: /no object "shop\.nope"/,
    });
    expect((await described('orders')).problem).toMatch(
      /any of archive\.orders, shop\.orders: expected one of these ids/,
    );
    expect((await described('shop.tax')).problem).toMatch(/shop\.tax\(integer\), shop\.tax\(numeric\)/);
    expect((await described('shop.tax(integer)')).found).toBe(true);
  });
});

const store = { connection: 'docs', table: 'documentation.pages' };
interface Page {
  layers: { name: string; generated_by: string; prompt_tokens: number; duration_ms: number }[];
  markdown: string;
  usd: number;
  stored: { version: number; is_new: boolean } | null;
}

const answer = (text: string, usage = { promptTokens: 100, completionTokens: 20, cachedTokens: 0 }): LlmAnswer => ({
  ...{ text, data: null, provider: 'stub', model: 'm', usage, usd: 0.1, cached: false, promptHash: 'x' },
});
const rows = async (text: string) => (await client.query(text)).rows;
const versions = (id: string) =>
  rows(`select version, current, run_id from documentation.pages where object_id = '${id}' order by version`);

describe('docs.describe_object', () => {
  it('writes the same page from the catalogue alone each time, in three layers at no cost', async () => {
    const object = await described('shop.customers');
    const [first, second] = [
      await run('docs.describe_object', { object }),
      await run('docs.describe_object', { object }),
    ];
    const { layers, markdown, usd, stored } = outputOf<Page>(first);
    expect(markdown).toBe(outputOf<Page>(second).markdown);
    expect(markdown).toContain('# customers\n\n`shop.customers`, a table.\n\n## Summary\n\nWho buys. See \\| here.');
    expect(markdown).toContain('| `email` | `text` | no | Where the bill goes. |');
    expect(markdown).toContain('- Is referred to by `shop.orders`: `FOREIGN KEY');
    expect(layers.map(({ name, generated_by: by }) => [name, by])).toEqual([
      ['summary', 'template'],
      ['columns', 'template'],
      ['relations', 'template'],
    ]);
    expect([usd, stored]).toEqual([0, null]);
    expect(first.recorded.events.map(({ type }) => type)).toEqual(Array(3).fill('layer_completed'));
  });

  it('shows the parameters and the definition of a function', async () => {
    const { markdown } = outputOf<Page>(await run('docs.describe_object', { object: await described('forecast') }));
    expect(markdown).toContain('## Parameters and results\n\n| name | type | nullable | meaning |');
    expect(markdown).toContain('| `total` | `numeric` |  | column of the result |');
    expect(markdown).toContain('```sql\nCREATE OR REPLACE FUNCTION shop.forecast');
  });

  it('asks for each layer with a fixed system text and the facts, and adds up what the layers took', async () => {
    const object = await described('shop.order_summary');
    const llm = (request: LlmRequest) => answer(`about ${request.system.length}`);
    const ran = await run('docs.describe_object', { object, max_tokens: 500 }, { llm });
    const { llmRequests } = ran.recorded;
    expect(outputOf<Page>(ran)).toMatchObject({
      prompt_tokens: 300,
      completion_tokens: 60,
      usd: 0.3,
      generated_by: 'stub/m',
    });
    expect(new Set(llmRequests.map(({ system }) => system)).size).toBe(3);
    for (const { system, messages, maxTokens } of llmRequests) {
      expect(system).toMatch(/Never invent data/);
      expect(system).not.toContain('order_summary');
      expect(JSON.parse(messages[0]?.content ?? '')).toMatchObject({ id: 'shop.order_summary', kind: 'view' });
      expect(maxTokens).toBe(500);
    }
  });

  it('goes on at the layer that a crash or a rate limit cut off, and does not pay again for those before it', async () => {
    const object = await described('shop.customers');
    let calls = 0;
    const failing = () => {
      calls += 1;
      if (calls === 2) throw new StepError('rate_limited', 'too many', { name: 'RateLimited', retryAfterMs: 7_000 });
      return answer('first');
    };
    const cut = await run('docs.describe_object', { object }, { llm: failing });
    expect(cut.result).toMatchObject({ kind: 'failed', error: { class: 'rate_limited', retryAfterMs: 7_000 } });
    expect(cut.recorded.events.map(({ type, data }) => [type, (data as { layer?: string }).layer])).toEqual([
      ['layer_completed', undefined],
      ['layer_failed', 'columns'],
    ]);
    const checkpoint = cut.recorded.checkpoint as Json;
    const ran = await run('docs.describe_object', { object }, { checkpoint, llm: () => answer('second') });
    expect(ran.recorded.llmRequests).toHaveLength(2);
    expect(outputOf<Page>(ran).markdown).toMatch(/## Summary\n\nfirst\n\n## Columns\n\nsecond/);
  });

  it('gives one object up after its retries, and leaves other errors as they are', async () => {
    const object = await described('shop.customers');
    const down = () => {
      throw new StepError('transient', 'the model is down', { name: 'ServerError' });
    };
    const input = { object, max_retries: 1 };
    const first = await run('docs.describe_object', input, { llm: down });
    expect(errorOf(first)).toMatchObject({ class: 'transient', message: 'the model is down' });
    const last = await run('docs.describe_object', input, { llm: down, checkpoint: first.recorded.checkpoint as Json });
    expect(errorOf(last)).toMatchObject({ class: 'item', name: 'ServerError', message: /^given up after 1 retries/ });
    const keyless = () => {
      throw new StepError('fatal', 'No API key configured for provider stub', { name: 'MissingApiKey' });
    };
    const missing = await run('docs.describe_object', input, { llm: keyless });
    expect(errorOf(missing)).toMatchObject({ class: 'fatal', name: 'MissingApiKey' });
    const unknown = await run('docs.describe_object', { object: await described('shop.nope') });
    expect(errorOf(unknown)).toMatchObject({ class: 'item', name: 'ObjectNotFound' });
  });

  it('is tried three times again unless told otherwise', async () => {
    const object = await described('shop.customers');
    const llm = () => {
      throw new StepError('transient', 'the model is down', { name: 'ServerError' });
    };
    const classes: string[] = [];
    let checkpoint: Json | undefined;
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      const ran = await run('docs.describe_object', { object }, { llm, ...(checkpoint && { checkpoint }) });
      classes.push(errorOf(ran).class);
      checkpoint = ran.recorded.checkpoint as Json;
    }
    expect(classes).toEqual(['transient', 'transient', 'transient', 'item']);
  });

  it('neither asks nor stores in a dry run', async () => {
    const object = await described('shop.customers');
    const llm = () => {
      throw new Error('asked');
    };
    const given = { object, store: { connection: 'docs', table: 'dry.pages' } };
    const ran = await run('docs.describe_object', given, { llm, dryRun: true });
    expect(outputOf<Page>(ran)).toMatchObject({ usd: 0, stored: null, layers: [{ status: 'dry_run' }, {}, {}] });
    expect(await rows("select to_regclass('dry.pages') as there")).toEqual([{ there: null }]);
  });
});

describe('documents in a table', () => {
  beforeEach(() => client.query('drop schema if exists documentation cascade'));
  const [one, two] = ['0190a0a0-0000-7000-8000-000000000001', '0190a0a0-0000-7000-8000-000000000002'];
  const keep = async (runId: string, text: string): Promise<Ran> => {
    const object = await described('shop.customers');
    return run('docs.describe_object', { object, store }, { runId, llm: () => answer(text) });
  };

  it('are made a new version only where the content differs, and one version is current', async () => {
    expect(outputOf<Page>(await keep(one, 'a')).stored).toEqual({ version: 1, is_new: true });
    expect(outputOf<Page>(await keep(one, 'a')).stored).toEqual({ version: 1, is_new: true });
    expect(outputOf<Page>(await keep(two, 'a')).stored).toEqual({ version: 1, is_new: false });
    expect(outputOf<Page>(await keep(two, 'b')).stored).toEqual({ version: 2, is_new: true });
    expect(await versions('shop.customers')).toEqual([
      { version: 1, current: false, run_id: one },
      { version: 2, current: true, run_id: two },
    ]);
    const [row] = await rows(
      'select title, generated_by, usd::float8, length(sha256) as hex from documentation.pages where current',
    );
    expect(row).toEqual({ title: 'customers', generated_by: 'stub/m', usd: 0.3, hex: 64 });
  });

  it('go back to the version before where the run that stored them is undone', async () => {
    const object = await described('shop.customers');
    await keep(one, 'a');
    await keep(two, 'b');
    const undo = (reason: 'failed' | 'rollback' = 'rollback', more = {}) => {
      const compensation = { reason, output: undefined };
      return run('docs.describe_object', { object, store, ...more }, { runId: two, compensation });
    };
    await undo('failed', { keep_after_failure: true });
    expect(await versions('shop.customers')).toHaveLength(2);
    expect((await undo()).result.kind).toBe('completed');
    expect((await undo()).result.kind).toBe('completed');
    expect(await versions('shop.customers')).toEqual([{ version: 1, current: true, run_id: one }]);
  });

  it('come from elsewhere, too, by docs.store, whose compensation takes them back', async () => {
    const input = { store, object_id: 'x.y', title: 'y', body: 'text' };
    expect(outputOf(await run('docs.store', input, { runId: one }))).toMatchObject({ version: 1, is_new: true });
    expect(outputOf(await run('docs.store', { ...input, body: 'more' }, { runId: two }))).toMatchObject({ version: 2 });
    await run('docs.store', input, { runId: two, compensation: { reason: 'failed', output: undefined } });
    expect(await versions('x.y')).toEqual([{ version: 1, current: true, run_id: one }]);
    const dry = await run('docs.store', { ...input, body: 'dry' }, { runId: two, dryRun: true });
    expect(outputOf(dry)).toMatchObject({ version: null, is_new: false });
    expect(await versions('x.y')).toHaveLength(1);
  });

  it('keep an object from being documented again, unless all are to be', async () => {
    const objects = [
      { id: 'shop.orders', name: 'orders', kind: 'table' },
      { id: 'shop.customers', name: 'customers', kind: 'table' },
    ];
    const split = async (mode: string) => outputOf(await run('docs.pending', { store, objects, mode }));
    expect(await split('skip_existing')).toMatchObject({ total: 2, todo: [{ id: 'shop.orders' }, {}], skipped: [] });
    await keep(one, 'a');
    expect(await split('skip_existing')).toEqual({
      mode: 'skip_existing',
      total: 2,
      todo: [{ id: 'shop.orders', name: 'orders' }],
      skipped: [{ id: 'shop.customers', name: 'customers' }],
    });
    expect(await split('regenerate_all')).toMatchObject({ todo: [{}, {}], skipped: [] });
  });

  it('name a table only as schema.table', async () => {
    const input = { store: { connection: 'docs', table: 'a.b; drop table x' }, object_id: 'x', title: 'x', body: 'x' };
    expect(errorOf(await run('docs.store', input))).toMatchObject({ message: /expected schema\.table in lower case/ });
  });
});

describe('docs.job_report', () => {
  const textOf = (kept: Ran['recorded']['artifacts'][number] | undefined) =>
    Buffer.from(kept?.content ?? []).toString();
  const runId = '0190a0a0-0000-7000-8000-00000000000a';
  const layer = (name: string, n: number) => ({
    name,
    duration_ms: 10 * n,
    prompt_tokens: 100 * n,
    completion_tokens: 10 * n,
    usd: 0.01 * n,
  });
  const put = (item: number, state: string, more: { output?: Json; checkpoint?: Json; error?: Json } = {}) =>
    client.query(
      `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, checkpoint, error,
        started_at, finished_at, rate_limited_ms)
      values ($1, 'document', $2::int4, 'default', $3, 1, 0, 1, $4, $5, $6, timestamptz '2026-01-01 00:00Z' + $2::int4 * interval '20 s',
        timestamptz '2026-01-01 00:00:15Z' + $2::int4 * interval '20 s', 0)`,
      [runId, item, state, json(more.output), json(more.checkpoint), json(more.error)],
    );
  const json = (value: Json | undefined) => (value === undefined ? null : JSON.stringify(value));

  it('tells totals, times, tokens and money, also of what failed, as Markdown and as JSON', async () => {
    await put(-1, 'completed');
    await put(0, 'completed', {
      output: { layers: [layer('summary', 1), layer('columns', 2)], stored: { version: 4, is_new: true } },
    });
    await put(1, 'failed', {
      checkpoint: { layers: [layer('summary', 3)] },
      error: { name: 'ServerError', message: 'it | is down' },
    });
    const objects = {
      total: 4,
      todo: ['a', 'b', 'c'].map((name) => ({ id: `s.${name}`, name })),
      skipped: [{ id: 's.d', name: 'd' }],
    };
    const given = { objects, user_id: 'u-7', user_email: 'ada@example.org' };
    // The ledger has more than the layers: attempts that failed cost, too.
    const units = { prompt_tokens: 700, completion_tokens: 14 };
    const costs = [{ what: 'llm', usd: 0.06, units, id: 'a', state: 'spent' as const }];
    const ran = await run('docs.job_report', given, { runId, costs, expectedUsd: 0.15 });
    const report = outputOf<JobReport>(ran);
    expect(report).toMatchObject({
      job_id: runId,
      status: 'completed',
      started_by: { user_id: 'u-7', user_email: 'ada@example.org' },
      ...{ total: 4, processed: 1, failed: 1, skipped: 1, success_rate: 50, duration_ms: 35_000, average_ms: 15_000 },
      ...{ prompt_tokens: 700, completion_tokens: 14, total_tokens: 714, usd: 0.06, estimate_usd: 0.15, ratio: 0.4 },
      errors: [{ object_id: 's.b', name: 'ServerError', message: 'it | is down', attempts: 1 }],
    });
    expect(report.objects.map(({ id, status, version }) => [id, status, version])).toEqual([
      ['s.a', 'completed', 4],
      ['s.b', 'failed', null],
      ['s.c', 'not_processed', null],
      ['s.d', 'skipped', null],
    ]);
    expect(report.layers.map(({ name, objects: n, usd }) => [name, n, usd])).toEqual([
      ['summary', 2, 0.04],
      ['columns', 1, 0.02],
    ]);
    const [page, data] = ran.recorded.artifacts;
    expect(page?.artifact).toMatchObject({ name: 'db-docs-report.md', mediaType: 'text/markdown' });
    expect(textOf(page)).toContain('| Average per object | 15.00 s |');
    expect(textOf(page)).toContain('| Cost by estimate | 0.4 |');
    expect(textOf(page)).toContain('| `s.b` | failed |  | 15.00 s | 300 | 30 | $0.0300 | it \\| is down |');
    expect(JSON.parse(textOf(data))).toMatchObject({ processed: 1, started_by: { user_id: 'u-7' } });
  });

  it('tells of a run that failed what stays and what was undone', async () => {
    const failed = '0190a0a0-0000-7000-8000-00000000000b';
    await client.query(
      `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, error, rate_limited_ms)
      values ($1, 'document', -1, 'default', 'compensated', 1, 0, 1, null, 0),
        ($1, 'document', 0, 'default', 'compensated', 1, 0, 1, null, 0),
        ($1, 'document', 1, 'default', 'compensated', 1, 0, 1, '{"name": "MissingApiKey", "message": "no key"}', 0)`,
      [failed],
    );
    const todo = ['a', 'b', 'c'].map((name) => ({ id: `s.${name}`, name }));
    const given = { objects: { total: 3, todo, skipped: [] } };
    const statuses = async (more: object) => {
      const report = outputOf<JobReport>(await run('docs.job_report', { ...given, ...more }, { runId: failed }));
      return [report.status, ...report.objects.map(({ status }) => status)];
    };
    expect(await statuses({})).toEqual(['failed', 'undone', 'failed', 'not_processed']);
    expect(await statuses({ keep_after_failure: true })).toEqual(['failed', 'completed', 'failed', 'not_processed']);
  });
});
