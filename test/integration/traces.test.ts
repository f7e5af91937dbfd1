// Spans of runs that do not go straight: waits, retries, shutdowns, fan-outs, failures; and what is sampled, or lost on the way.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/base/clock.ts';
import { createEnqueueBatcher } from '../../src/control/enqueue-batcher.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import { createNewRun } from '../../src/domain/new-run.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
import { createEventBus, type Events } from '../../src/observe/events.ts';
import { startTracing, type Tracing } from '../../src/observe/start-tracing.ts';
import { claimIds } from '../../src/observe/trace-ids.ts';
import { activeTraceparent } from '../../src/observe/traceparent.ts';
import { registeredTracer, withinTrace } from '../../src/observe/tracer.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  fatal,
  gate,
  type Script,
  startEngineWorld,
  transient,
} from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../support/otlp-receiver.ts';

const quick = { ...fastRetry, initialMs: 10, maxMs: 50 };
const step = (id: string, overrides: Partial<Pipeline['steps'][number]> = {}) =>
  testStep(id, [], { uses: 'test.do', retry: quick, ...overrides });

const pipelines = [
  testPipeline('line', { steps: [step('a')] }),
  testPipeline('long-wait', { steps: [step('a', { retry: { ...quick, initialMs: 60_000, maxMs: 60_000 } })] }),
  testPipeline('again', {
    steps: [step('a', { retry: { ...quick, maxRetries: 0 } })],
    retry: { ...slowRetry, initialMs: 50 },
  }),
  testPipeline('many', {
    steps: [step('each', { foreach: { items: [1, 2], maxParallel: 2, onItemError: 'continue' } })],
  }),
  testPipeline('slow', { steps: [step('a', { timeoutMs: 50, retry: { ...quick, maxRetries: 0 } })] }),
];

let test: TestDatabase;
let receiver: OtlpReceiver;
beforeAll(async () => {
  test = await createTestDatabase('postgres');
});
afterAll(() => test.close());
beforeEach(async () => {
  receiver = await startOtlpReceiver();
});
afterEach(() => receiver.close());

const failures: Events['tracing.failed'][] = [];
/** The traces that these were told in. */
const toldIn: unknown[] = [];
const caller = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

async function trace(options: Partial<Parameters<typeof startTracing>[0]> = {}): Promise<Tracing> {
  const events = createEventBus();
  failures.length = 0;
  toldIn.length = 0;
  events.on('tracing.failed', (failure) => {
    failures.push(failure);
    toldIn.push(activeTraceparent());
  });
  const url = `${receiver.url}/v1/traces`;
  return startTracing({ url, sample: 1, version: '1', nodeId: 'n1', events, clock: systemClock, ...options });
}

describe('spans of runs', () => {
  let tracing: Tracing;
  let script: Script;
  let world: EngineWorld;

  beforeEach(async () => {
    tracing = await trace();
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines });
  });
  afterEach(async () => {
    await world.stop();
    await tracing.stop();
    expect(failures).toEqual([]);
  });

  const idOf = (runId: string) => runId.replaceAll('-', '');
  const spansOf = (runId: string, count: number) =>
    receiver.received(`spans of ${runId}`, (span) => span.traceId === idOf(runId), count);
  const named = (spans: readonly ReceivedSpan[], start: string) => spans.filter((span) => span.name.startsWith(start));

  /** The claims of the run in their order; each but the first is linked to the one before. */
  async function claimsOf(runId: string, count: number): Promise<ReceivedSpan[]> {
    const isClaim = (span: ReceivedSpan) => span.traceId === idOf(runId) && span.name.startsWith('RUN');
    const claims = await receiver.received(`claims of ${runId}`, isClaim, count);
    claims.sort((a, b) => Number(a.attributes['cronwright.token']) - Number(b.attributes['cronwright.token']));
    for (const [index, claim] of claims.entries()) {
      const before = claims[index - 1];
      if (before) expect(claim.links).toContainEqual(expect.objectContaining({ spanId: before.spanId }));
      expect(claim).toMatchObject(claimIds(runId, Number(claim.attributes['cronwright.token'])));
    }
    return claims;
  }

  it('a long wait ends the span, and the claim after it is another one of the same trace', async () => {
    script.failures.set('a', [transient()]);
    const id = await world.start('long-wait');
    await world.reached(id, ['waiting']);
    const [waiting] = await claimsOf(id, 1);
    expect(waiting?.attributes).toMatchObject({
      'cronwright.released_to': 'waiting',
      'cronwright.reason': 'step_retry',
    });
    expect(waiting?.attributes).not.toHaveProperty('cicd.pipeline.result');
    await sql(test.db, 'update cronwright.step_runs set retry_at = now() where run_id = $1', [id]);
    await sql(test.db, 'update cronwright.queue set run_at = now() where run_id = $1', [id]);
    await world.reached(id);
    const [, ended] = await claimsOf(id, 2);
    expect(ended?.attributes['cicd.pipeline.result']).toBe('success');
    const attempts = named(await spansOf(id, 4), 'STEP').map((span) => span.parentSpanId);
    expect(new Set(attempts)).toEqual(new Set([waiting?.spanId, ended?.spanId]));
  });

  it('so does the wait of a whole run for its retry', async () => {
    script.failures.set('a', [transient()]);
    const run = await world.reached(await world.start('again'));
    expect(run.state).toBe('completed');
    const [first, second] = await claimsOf(run.id, 2);
    expect(first?.attributes).toMatchObject({ 'cronwright.released_to': 'retrying', 'cronwright.attempt': 1 });
    expect(second?.attributes).toMatchObject({ 'cicd.pipeline.result': 'success', 'cronwright.attempt': 2 });
  });

  it('a run that a node gives back as it leaves goes on in the same trace on the next', async () => {
    const stop = gate(script, 'a');
    const id = await world.start('line');
    await stop.entered;
    await world.stop();
    script.gates.clear();
    world = await startEngineWorld({ db: test.db, script, pipelines });
    expect((await world.reached(id)).state).toBe('completed');
    const [given] = await claimsOf(id, 2);
    expect(given?.attributes).toMatchObject({ 'cronwright.released_to': 'pending', 'cronwright.reason': 'shutdown' });
    const cut = (await spansOf(id, 4)).find((span) => span.parentSpanId === given?.spanId);
    expect(cut).toMatchObject({ name: 'STEP a', status: { code: 0 } });
    expect(cut?.attributes).toMatchObject({
      'cicd.pipeline.task.run.result': 'cancellation',
      'cronwright.reason': 'Shutdown',
    });
  });

  it('items of a fan-out have spans of their own', async () => {
    script.failures.set('each/1', [fatal('bad item')]);
    const run = await world.reached(await world.start('many'));
    const items = named(await spansOf(run.id, 3), 'STEP each');
    const results = items.map(({ attributes, status }) => [
      attributes['cronwright.item'],
      attributes['cicd.pipeline.task.run.result'],
      status.code,
    ]);
    expect(results.sort()).toEqual([
      [0, 'success', 0],
      [1, 'failure', 2],
    ]);
  });

  it('a failure is an error with its name, a timeout is called one', async () => {
    script.failures.set('a', [fatal('no such thing')]);
    const failed = await world.reached(await world.start('line'));
    for (const span of await spansOf(failed.id, 2)) {
      expect(span.status).toMatchObject({ code: 2, message: expect.stringContaining('no such thing') });
      expect(span.attributes['error.type']).toBe(failed.error?.name);
    }
    gate(script, 'a');
    const slow = await world.reached(await world.start('slow'));
    expect(slow.state).toBe('failed');
    const [attempt] = named(await spansOf(slow.id, 2), 'STEP');
    expect(attempt?.attributes).toMatchObject({
      'cicd.pipeline.task.run.result': 'timeout',
      'error.type': 'TimeoutError',
    });
  });

  it('a retried run is linked to the one it retries', async () => {
    script.failures.set('a', [fatal()]);
    const failed = await world.reached(await world.start('line'));
    const starter = createRunStarter(world.engine.control);
    const again = await retryRun(starter, failed.id, { tenant: 'default', actor: 'tester', origin: 'api' });
    await world.reached(again.id);
    const [claim] = await claimsOf(again.id, 1);
    expect(claim?.links).toMatchObject([
      { ...claimIds(failed.id, 1), attributes: { 'cronwright.link': 'parent_run' } },
    ]);
  });
});

describe('tracing', () => {
  it('that samples nothing sends nothing, and passes on that it did', async () => {
    const tracing = await trace({ sample: 0 });
    const script = createScript();
    const world = await startEngineWorld({ db: test.db, script, pipelines });
    const run = await world.reached(await world.start('line'));
    await world.stop();
    await tracing.stop();
    expect(receiver.spans).toEqual([]);
    const traceId = run.id.replaceAll('-', '');
    expect(script.contexts[0]?.traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
  });

  it('is off before it is started and after it is stopped, also where it is stopped twice', async () => {
    expect(registeredTracer()).toBeUndefined();
    const tracing = await trace();
    registeredTracer()?.startSpan('only').end();
    await Promise.all([tracing.stop(), tracing.stop()]);
    await tracing.stop();
    expect(receiver.spans.map(({ name }) => name)).toEqual(['only']);
    expect(registeredTracer()).toBeUndefined();
    const off = await startTracing({
      sample: 1,
      version: '1',
      nodeId: 'n1',
      events: createEventBus(),
      clock: systemClock,
    });
    expect(registeredTracer()).toBeUndefined();
    await off.stop();
  });

  it('leaves what many callers share out of the trace of the first', async () => {
    const tracing = await trace();
    const seen: unknown[] = [];
    const batcher = createEnqueueBatcher(async () => void seen.push(activeTraceparent()));
    const run = createNewRun(testPipeline('line'), 'light', { origin: 'api' });
    await withinTrace(caller, () => {
      seen.push(activeTraceparent());
      return batcher.enqueue(run);
    });
    expect(seen).toEqual([caller, undefined]);
    await tracing.stop();
  });

  describe('with a collector that refuses, or says nothing', () => {
    let server: Server;
    let answer: 'refuse' | 'hang';
    let requests = 0;
    beforeEach(async () => {
      server = createServer((request, response) => {
        request.resume();
        requests += 1;
        if (answer === 'refuse') response.writeHead(403).end('no key-0123 here');
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    });
    afterEach(() => {
      server.closeAllConnections();
      server.close();
    });
    const urlOf = () =>
      `http://me:pass-0123@127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces?key=key-0123`;

    it('tells it once a minute with a count, without credentials', async () => {
      answer = 'refuse';
      let monotonic = 0;
      let complaints = 0;
      const clock = {
        monotonic() {
          complaints += 1;
          return monotonic;
        },
      };
      const tracing = await trace({ url: urlOf(), headers: 'authorization=key-0123', clock });
      // A batch that is full is sent at once.
      const loseBatch = async (): Promise<void> => {
        const before = complaints;
        withinTrace(caller, () => {
          for (let i = 0; i < 512; i++) registeredTracer()?.startSpan('lost').end();
        });
        await expect.poll(() => complaints, { timeout: 10_000 }).toBeGreaterThan(before);
      };
      await loseBatch();
      await loseBatch();
      monotonic = 61_000;
      await loseBatch();
      await tracing.stop();
      expect(failures.map(({ untold }) => untold)).toEqual([0, 1]);
      expect(failures[0]).toMatchObject({ reason: expect.stringContaining('403') });
      expect(failures[0]?.endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1\/traces$/);
      expect(JSON.stringify(failures)).not.toMatch(/0123/);
      expect(toldIn).toEqual([undefined, undefined]);
    });

    it('keeps no more spans than its queue takes, and stops within its bound', async () => {
      answer = 'hang';
      requests = 0;
      const tracing = await trace({ url: urlOf() });
      for (let i = 0; i < 20_000; i++) registeredTracer()?.startSpan('lost').end();
      const from = performance.now();
      await tracing.stop();
      expect(performance.now() - from).toBeLessThan(7_000);
      expect(failures).toHaveLength(1);
      // In batches of 512: the one under way, and a full queue.
      expect(requests).toBe(1 + 8_192 / 512);
    });
  });
});
