// Rollbacks as people and programs ask for them: over HTTP and by the command line, with steps in processes of their own.
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import type { HttpServer } from '../../src/http/create-http-server.ts';
import { createRescuer } from '../../src/maintenance/rescuer.ts';
import { createEventBus } from '../../src/observe/events.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  gate,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import { enqueueRun, sql, testPipeline, testStep } from '../support/http-world.ts';
import { createWorldServer } from '../support/world-server.ts';
import { cronwright } from '../unit/cli/memory-context.ts';

const once = { ...fastRetry, maxRetries: 0 };
const step = (id: string, needs: string[] = [], overrides: Partial<Pipeline['steps'][number]> = {}) =>
  testStep(id, needs, { uses: 'test.undo', retry: once, compensate: { timeoutMs: 5_000, retry: once }, ...overrides });

let folder: string;
const pipelines: Pipeline[] = [
  testPipeline('line', { version: 'line-1', steps: [step('a'), step('b', ['a'])] }),
  testPipeline('apart', {
    version: 'apart-1',
    inputs: { file: { type: 'string', required: true } },
    steps: [
      // A process takes its time to start on a busy machine.
      step('made', [], {
        uses: 'apart.put',
        with: { file: '${{ inputs.file }}' },
        compensate: { timeoutMs: 60_000, retry: once },
      }),
      testStep('boom', ['made'], { uses: 'test.do', retry: once }),
    ],
  }),
];

/** As somebody outside would write it: it runs in a process of its own. */
const pluginText = `import { rmSync, writeFileSync } from 'node:fs';
import { definePlugin, defineStep, type StepContext } from 'cronwright/plugin';
const any = { '~standard': { version: 1 as const, vendor: 'own', validate: (value: any) => ({ value }) } };
export default definePlugin({ name: 'apart', version: '1.0.0', apiVersion: 1, steps: { put: defineStep({
  input: any, output: any,
  async run(ctx: StepContext, { file }: any) {
    await ctx.checkpoint.save({ writing: file });
    writeFileSync(file, String(process.pid));
    return { file };
  },
  async compensate(ctx: StepContext, input: any, output: any) {
    rmSync(output.file);
    ctx.log.info('undone ' + JSON.stringify([await ctx.checkpoint.load(), ctx.compensation?.reason, ctx.idempotencyKey]));
  },
}) } });
`;

describe('a rollback that is asked for', () => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;
  let server: HttpServer;
  let url: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cronwright-apart-'));
    writeFileSync(join(folder, 'apart.ts'), pluginText);
    test = await createTestDatabase('postgres');
  });
  afterAll(async () => {
    await test.close();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines, listed: [join(folder, 'apart.ts')] });
    server = createWorldServer({ db: test.db, engine: world.engine, events: world.events });
    await server.start();
    url = server.url;
  });
  afterEach(async () => {
    await server.stop();
    await world.stop();
  });

  const post = async (path: string, body: object = {}) => {
    const answer = await fetch(`${url}/api/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const get = async (path: string) => (await fetch(`${url}/api/v1${path}`)).json() as Promise<Record<string, unknown>>;
  const run = (args: string[]) => cronwright([...args, '--url', url], { env: {}, now: new Date().toISOString() });

  it('answers over HTTP what it will do, and where it cannot, why', async () => {
    const b = gate(script, 'b');
    const undo = gate(script, 'undo b');
    const id = await world.start('line');
    await b.entered;
    expect(await post(`/runs/${id}/rollback`, { to: 'nobody' })).toMatchObject({ status: 400 });
    expect(await post(`/runs/${id}/rollback`, { to: 'b' })).toMatchObject({ status: 409 });
    expect(await post(`/runs/${id}/rollback`, { until: 'b' })).toMatchObject({ status: 400 });
    expect(await post(`/runs/${id}/cancel`, { rollback: true })).toEqual({
      status: 202,
      body: { id, state: 'running', requested: 'rollback' },
    });
    await undo.entered;
    // What it is at comes with a heartbeat.
    await eventually(async () =>
      expect(await get(`/runs/${id}`)).toMatchObject({ state: 'rolling_back', requested: null, message: 'undoing b' }),
    );
    expect(await get('/runs?state=rolling_back')).toMatchObject({ items: [{ id }] });
    expect(await get('/queue')).toMatchObject({ by_state: { rolling_back: 1 } });
    expect(await post(`/runs/${id}/rollback`)).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('is rolling_back and cannot become rolling_back: it is that already') },
    });
    undo.open();
    await world.reached(id, ['rolled_back']);
    expect(await post(`/runs/${id}/rollback`)).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('none of its steps left something behind that can be undone') },
    });
    expect(await post(`/runs/${randomUUID()}/rollback`)).toMatchObject({ status: 404 });
    const steps = (await get(`/runs/${id}/steps`)) as { items: unknown[] };
    expect(steps.items).toMatchObject([
      { step: 'a', state: 'compensated', compensation: { state: 'completed', attempts: 1, error: null } },
      { step: 'b', state: 'compensated', compensation: { state: 'completed' } },
    ]);
  });

  it('answers at the command line, and shows what could not be undone', async () => {
    script.failures.set('undo a', [fatal('the peer is away')]);
    const metrics = createMetrics({ events: world.events, clock: systemClock, version: '0', database: 'postgres' });
    const ended = await world.start('line');
    await world.reached(ended);
    const asked = await run(['rollback', ended, '--json']);
    const { id, parent_id: parent } = JSON.parse(asked.out) as { id: string; parent_id: string };
    expect([asked.code, parent]).toEqual([0, ended]);
    await world.reached(id, ['rollback_failed']);
    const shown = (await run(['show', id])).out;
    expect(shown).toContain('could not undo a: StepError: the peer is away');
    expect(shown).toContain('not undone: StepError: the peer is away');
    const rendered = (await metrics.render()).body;
    expect(rendered).toContain('cronwright_rollbacks_failed_total 1');
    expect(rendered).toContain('cronwright_compensations_total{step_type="test.undo",result="failure"} 1');
    expect((await run(['rollback', id])).out).toBe(`${id}: goes on with its rollback.\n`);
    await world.reached(id, ['rolled_back']);
    expect((await run(['rollback', ended])).code).toBe(1);
    expect((await run(['retry', ended])).code).toBe(1);

    const b = gate(script, 'b');
    const live = await world.start('line');
    await b.entered;
    expect((await run(['rollback', live, '--to', 'a'])).out).toBe(
      `${live}: rollback to a requested; it is paused there.\n`,
    );
    await world.reached(live, ['paused']);
    expect((await run(['cancel', live, '--rollback'])).out).toBe(
      `${live}: rollback requested; what it did is undone.\n`,
    );
    await world.reached(live, ['rolled_back']);
  });

  it('reaches steps in a process of their own', async () => {
    const file = join(folder, 'made');
    script.failures.set('boom', [fatal()]);
    const id = await world.start('apart', { inputs: { file } });
    const ended = await eventually(() => world.reached(id), 40_000);
    expect([ended.state, existsSync(file)]).toEqual(['failed', false]);
    const said = `[{"writing":"${file}"},"failed","${id}/made/compensate"]`;
    const rows = await sql<{ lines: { text: string }[] }>(
      test.db,
      'select lines from cronwright.logs where run_id = $1',
      [id],
    );
    expect(rows.flatMap(({ lines }) => lines.map(({ text }) => text))).toContain(`undone ${said}`);
  });

  it('that ends its process three times fails, and can be asked for again', async () => {
    await world.stop();
    const made = await enqueueRun(test.db, pipelines[0] as Pipeline);
    await sql(test.db, 'update cronwright.queue set rolls_back = true where run_id = $1', [made.id]);
    const bus = createEventBus();
    const told: unknown[] = [];
    bus.on('run.rollback_failed', (event) => told.push(event));
    const rescuer = createRescuer({
      db: test.db,
      clock: systemClock,
      events: bus,
      node: randomUUID(),
      home: randomUUID(),
      holds: () => false,
      everyMs: 20,
      leaseMs: 1_000,
      isAlone: true,
      onRescued: () => {},
      noticesOf: () => [],
    });
    await rescuer.start();
    try {
      for (let claims = 1; claims <= 3; claims += 1) {
        const options = { routes: ['default'], weight: 'light', limit: 1, node: randomUUID(), leaseMs: -1 } as const;
        await eventually(async () => expect(await claimRuns(test.db, options)).toHaveLength(1));
      }
      await world.reached(made.id, ['rollback_failed']);
      const error = 'undoing it ends its process';
      await eventually(async () => expect(told).toMatchObject([{ runId: made.id, pipeline: 'line', error }]));
    } finally {
      await rescuer.stop();
    }
    const events = (await runEvents(test.db, 'default', made.id, { after: 0, limit: 20 })).items;
    expect(events.at(-1)).toMatchObject({ event: 'run.rollback_failed', from: 'rolling_back', to: 'rollback_failed' });
    world = await startEngineWorld({ db: test.db, script, pipelines });
    expect(await rollbackOver(world, made.id)).toBe('rolled_back');
  });

  async function rollbackOver(on: EngineWorld, id: string): Promise<string> {
    await server.stop();
    server = createWorldServer({ db: test.db, engine: on.engine, events: on.events });
    await server.start();
    url = server.url;
    expect(await post(`/runs/${id}/rollback`)).toMatchObject({ status: 202, body: { state: 'rolling_back' } });
    return (await on.reached(id)).state;
  }
});
