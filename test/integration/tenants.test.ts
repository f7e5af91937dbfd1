// Summaries of tenants, and the views for people who look with SQL, on both databases.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { getTenant, listTenants } from '../../src/reads/tenants.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, fatal, gate, startEngineWorld, transient } from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const retry = { initialMs: 60_000, multiplier: 2, maxMs: 3_600_000, jitter: 0, maxRetries: 2, on: ['transient'] };
const step = (id: string) => testStep(id, [], { uses: 'test.do', retry: { ...retry, maxRetries: 0 } });
const pipelines: Pipeline[] = [
  testPipeline('backup', { steps: [step('dump')] }),
  testPipeline('report', { steps: [step('send')] }),
  testPipeline('held', { steps: [step('wait')] }),
  testPipeline('slow', { steps: [step('again')], retry }),
  testPipeline('idle', { tenant: 'other', steps: [step('x')] }),
];

describe.each(engineVariants)('tenants on $name', ({ kind }) => {
  let test: TestDatabase;
  let world: EngineWorld;
  const ids: Record<string, string> = {};
  let open = () => {};

  beforeAll(async () => {
    test = await createTestDatabase(kind);
    const script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines });
    for (const name of ['good', 'good2']) {
      ids[name] = await world.start('backup');
      await world.reached(ids[name]);
    }
    script.failures.set('send', [fatal('no such mailbox')]);
    ids.bad = await world.start('report');
    await world.reached(ids.bad);
    script.failures.set('again', [transient('busy')]);
    ids.again = await world.start('slow');
    await world.reached(ids.again, ['retrying']);
    const stop = gate(script, 'wait');
    ids.held = await world.start('held');
    await stop.entered;
    open = stop.open;
    ids.later = await world.start('backup', { runAt: new Date(Date.now() + 3_600_000), priority: 2 });
  });
  afterAll(async () => {
    open();
    await world?.stop();
    await test?.close();
  });

  it('are all listed, with how they are doing', async () => {
    const list = await listTenants(test.db, new Date(Date.now() - 3_600_000));
    expect(list.map(({ tenant }) => tenant)).toEqual(['default', 'other']);
    expect(list[0]).toMatchObject({
      pipelines: 4,
      schedules: 0,
      runs: 6,
      completed: 2,
      failed: 1,
      success_rate: 2 / 3,
      live: 3,
      live_by_state: { running: 1, retrying: 1, scheduled: 1 },
      queue_depth: 1,
      usd: 0,
      sla_missed: 0,
      capped: false,
    });
    expect(list[0]?.average_wait_ms).toBeGreaterThanOrEqual(0);
    expect(list[1]).toMatchObject({ pipelines: 1, runs: 0, success_rate: null, average_wait_ms: null });
    expect((await listTenants(test.db, new Date(Date.now() + 3_600_000)))[0]).toMatchObject({ runs: 0, live: 3 });
  });

  it('tell of each pipeline when it last went well and when and why it did not', async () => {
    const one = await getTenant(test.db, 'default', new Date(Date.now() - 3_600_000));
    const [backup, , report] = one.by_pipeline;
    expect(one.by_pipeline.map(({ pipeline }) => pipeline)).toEqual(['backup', 'held', 'report', 'slow']);
    expect(backup).toMatchObject({
      runs: 3,
      completed: 2,
      live: 1,
      last_success: { run_id: ids.good2 },
      last_failure: null,
    });
    expect(report).toMatchObject({
      failed: 1,
      last_success: null,
      last_failure: { run_id: ids.bad, error: 'step send: no such mailbox' },
    });
    await expect(getTenant(test.db, 'nobody', new Date())).rejects.toMatchObject({ code: 'not_found' });
  });

  it('are found in the view scheduled_runs under the words of older schedulers', async () => {
    const rows = await sql(test.db, 'select * from cronwright.scheduled_runs order by run_id');
    const columns = [
      'run_id',
      'state',
      'scheduled_time',
      'tenant_id',
      'config_id',
      'pipeline_logging_id',
      'duration',
      'error',
      'retry_count',
    ];
    expect(Object.keys(rows[0] ?? {})).toEqual(expect.arrayContaining(columns));
    expect(Object.keys(rows[0] ?? {}).length).toBeGreaterThanOrEqual(11);
    const by = (name: string) => rows.find((row) => row.run_id === ids[name]);
    expect(by('good')).toMatchObject({
      state: 'COMPLETED',
      tenant_id: 'default',
      config_id: 'backup',
      error: null,
      pipeline_logging_id: ids.good,
    });
    expect(Number(by('good')?.duration)).toBeGreaterThanOrEqual(0);
    expect(by('bad')).toMatchObject({ state: 'FAILED', error: 'step send: no such mailbox', run_state: 'failed' });
    expect(by('again')).toMatchObject({ state: 'PENDING', run_state: 'retrying', max_retries: 2 });
    expect(by('again')?.next_retry_at).toBeInstanceOf(Date);
    expect(by('held')).toMatchObject({ state: 'RUNNING' });
    expect(by('later')).toMatchObject({ state: 'SCHEDULED', priority: 2 });
  });

  it('are found in the view pipeline_queue as long as they live', async () => {
    const rows = await sql(test.db, 'select * from cronwright.pipeline_queue order by queue_id');
    const columns = ['queue_id', 'status', 'priority', 'created_at', 'tenant_id', 'config_id', 'worker', 'error'];
    expect(Object.keys(rows[0] ?? {})).toEqual(expect.arrayContaining(columns));
    expect(Object.keys(rows[0] ?? {}).length).toBeGreaterThanOrEqual(9);
    expect(rows.map(({ queue_id, status }) => [queue_id, status])).toEqual([
      [ids.again, 'error'],
      [ids.held, 'processing'],
      [ids.later, 'queued'],
    ]);
    expect(rows[1]?.worker).toEqual(expect.any(String));
  });

  it('has an index for whoever asks for the newest run of a pipeline of a tenant', async () => {
    const rows = await sql(
      test.db,
      `explain select run_id, state from cronwright.scheduled_runs
      where tenant_id = 'default' and config_id = 'backup' order by run_id desc limit 1`,
    );
    const plan = rows.map((row) => Object.values(row)[0]).join('\n');
    expect(plan).toContain('runs_of_pipeline');
    expect(plan).not.toContain('Sort');
  });

  it('has an index for whoever asks the queue what comes next', async () => {
    const rows = await sql(
      test.db,
      `explain select queue_id, tenant_id, config_id from cronwright.pipeline_queue
      where state = 'pending' and blocked_on is null and queue = 'default' and weight = 'light'
      order by priority, fair, queue_id limit 1`,
    );
    const plan = rows.map((row) => Object.values(row)[0]).join('\n');
    expect(plan).toContain('queue_ready');
    expect(plan).not.toContain('Sort');
    expect(plan).not.toContain('Seq Scan');
  });
});
