// A peer that asks for quiet is left alone by all runs of all nodes; thousands that fail together do not come back together.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { announceRuns } from '../../src/control/announce-runs.ts';
import { newRunOf, requirePipeline } from '../../src/control/start-run.ts';
import type { Database } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry } from '../../src/domain/retry-policy.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { StepError } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, eventually, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

/** 0…1, the same for the same seed (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const seed = Number(process.env.RETRY_SEED ?? Math.floor(Math.random() * 2 ** 31));

describe('rate limits', () => {
  let test: TestDatabase;
  let other: Database;
  let worlds: EngineWorld[];
  let peer: Server;
  let url: string;
  /** Times of the peer's calls, by `performance.now()`. */
  let calls: number[];
  /** What it still answers with 429. */
  let refusals: { retryAfterSeconds: number }[];
  let refusedAt: number;

  beforeEach(async () => {
    test = await createTestDatabase('postgres');
    other = createPostgres({ url: test.url ?? '' });
    worlds = [];
    calls = [];
    refusals = [];
    peer = createServer((_request, response) => {
      calls.push(performance.now());
      const refusal = refusals.shift();
      if (!refusal) return void response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      refusedAt = performance.now();
      response.writeHead(429, { 'retry-after': String(refusal.retryAfterSeconds) }).end();
    });
    await new Promise<void>((resolve) => peer.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(peer.address() as AddressInfo).port}/`;
  });
  afterEach(async () => {
    for (const world of worlds) await world.stop();
    peer.close();
    await other.close();
    await test.close();
  });

  async function startBoth(pipelines: readonly Pipeline[]): Promise<void> {
    for (const db of [test.db, other]) worlds.push(await startEngineWorld({ db, script: createScript(), pipelines }));
  }

  function calling(): Pipeline {
    return testPipeline('p', { steps: [testStep('call', [], { uses: 'http.request', with: { url } })] });
  }

  it('nobody calls a peer before the time that one run was told, on any node, and no retry is used up', async () => {
    await startBoth([calling()]);
    const [first, second] = worlds as [EngineWorld, EngineWorld];
    refusals.push({ retryAfterSeconds: 2 });
    const ids = [await first.start('p')];
    await eventually(async () => expect(await sql(test.db, 'select key from cronwright.rate_limits')).toHaveLength(1));
    for (let i = 1; i < 50; i += 1) ids.push(await (i % 2 === 0 ? first : second).start('p'));
    for (const id of ids) await first.reached(id, ['completed']);
    // Each node has its own estimate of the database's clock, which is off by some of a heartbeat's way on a busy machine.
    const inWindow = calls.filter((at) => at > refusedAt && at < refusedAt + 1_800).map((at) => at - refusedAt);
    expect(inWindow).toEqual([]);
    expect(calls).toHaveLength(51);
    // They come back spread over a part of the wait, not in one moment.
    const back = calls.filter((at) => at > refusedAt).map((at) => at - refusedAt);
    expect(Math.max(...back) - Math.min(...back)).toBeGreaterThan(100);
    const used = await sql<{ attempts: number; retries: number }>(
      test.db,
      'select max(attempts) as attempts, max(retries) as retries from cronwright.step_runs',
    );
    expect(used[0]).toEqual({ attempts: 2, retries: 0 });
  });

  it('a longer quiet gives the worker back, and the run says what it waits for', async () => {
    await startBoth([calling()]);
    const [first, second] = worlds as [EngineWorld, EngineWorld];
    refusals.push({ retryAfterSeconds: 60 });
    const told = await first.start('p');
    await first.reached(told, ['waiting']);
    const held = await second.start('p');
    const run = await second.reached(held, ['waiting']);
    expect(run.wait_kind).toBe('rate_limit');
    expect(run.wakes_at?.getTime()).toBeGreaterThan(Date.now() + 50_000);
    expect(run.wakes_at?.getTime()).toBeLessThan(Date.now() + 75_000);
    expect(calls).toHaveLength(1);
  });

  it('steps say what they are limited with: by the pipeline, or by the error itself', async () => {
    const script = createScript();
    const pipelines = [
      testPipeline('named', {
        inputs: { account: { type: 'string', required: true } },
        steps: [testStep('a', [], { uses: 'test.do', rateLimitKey: 'api:${{ inputs.account }}' })],
      }),
      testPipeline('alone', { steps: [testStep('a', [], { uses: 'test.do' })] }),
    ];
    worlds.push(await startEngineWorld({ db: test.db, script, pipelines }));
    const world = worlds[0] as EngineWorld;
    const limited = (key?: string) =>
      new StepError('rate_limited', 'too often', { retryAfterMs: 60_000, ...(key === undefined ? {} : { key }) });
    script.failures.set('a', [limited()]);
    await world.reached(await world.start('named', { inputs: { account: 'x' } }), ['waiting']);
    await world.reached(await world.start('named', { inputs: { account: 'y' } }), ['completed']);
    await world.reached(await world.start('named', { inputs: { account: 'x' } }), ['waiting']);
    script.failures.set('a', [limited('api:y')]);
    await world.reached(await world.start('alone'), ['waiting']);
    await world.reached(await world.start('named', { inputs: { account: 'y' } }), ['waiting']);
    expect(script.attempts).toHaveLength(3);
    const rows = await sql<{ key: string }>(test.db, 'select key from cronwright.rate_limits order by key');
    expect(rows.map((row) => row.key)).toEqual(['api:x', 'api:y']);
  });

  it('10,000 runs that fail together come back spread evenly over the jitter, in no larger wave', async () => {
    console.log(`RETRY_SEED=${seed}`);
    const script = createScript();
    script.runs.set('a', () => Promise.reject(new StepError('transient', 'all at once')));
    const retry = { ...fastRetry, initialMs: 60_000, jitter: 0.2 };
    const pipelines = [testPipeline('p', { steps: [testStep('a', [], { uses: 'test.do', retry })] })];
    const random = seededRandom(seed);
    worlds.push(await startEngineWorld({ db: test.db, script, pipelines, random }));
    const { control } = (worlds[0] as EngineWorld).engine;
    const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;
    const runs = Array.from({ length: 10_000 }, () =>
      newRunOf(control, requirePipeline(control, 'default', 'p'), {}, caller),
    );
    await enqueueRuns(test.db, runs);
    await announceRuns(control, runs);
    const rows = await eventually(async () => {
      const waiting = await sql<{ failed_ms: number; back_ms: number }>(
        test.db,
        `select (extract(epoch from q.run_at) * 1000)::float8 as back_ms,
          (select (t->>'at')::float8 from cronwright.history h, jsonb_array_elements(h.transitions::jsonb) t
            where h.run_id = q.run_id and t->>'event' = 'step.retried' limit 1) as failed_ms
        from cronwright.queue q where q.state = 'waiting'`,
      );
      expect(waiting).toHaveLength(10_000);
      return waiting;
    }, 60_000);
    const sample = rows.map((row) => (row.back_ms - row.failed_ms - 60_000) / 12_000).sort((a, b) => a - b);
    // Kolmogorov-Smirnov against the uniform distribution: a greater distance has a chance of one in a million.
    const distance = Math.max(
      ...sample.map((value, i) =>
        Math.max(Math.abs((i + 1) / sample.length - value), Math.abs(value - i / sample.length)),
      ),
    );
    expect(distance).toBeLessThan(2.69 / Math.sqrt(sample.length));
    const largestWave = (times: readonly number[]) => {
      const seconds = new Map<number, number>();
      for (const time of times) {
        const second = Math.floor(time / 1_000);
        seconds.set(second, (seconds.get(second) ?? 0) + 1);
      }
      return Math.max(...seconds.values());
    };
    const [failed, back] = [largestWave(rows.map((row) => row.failed_ms)), largestWave(rows.map((row) => row.back_ms))];
    console.log(
      `distance ${distance.toFixed(4)}; at most ${failed} failed within a second, ${back} come back within one`,
    );
    expect(back).toBeLessThanOrEqual(failed);
  }, 120_000);
});
