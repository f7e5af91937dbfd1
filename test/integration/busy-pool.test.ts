// Leases and a pool that has no connection left: heartbeats have a connection of their own and never wait behind others.
import { afterEach, expect, it } from 'vitest';
import { statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, gate, startEngineWorld } from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';

let test: TestDatabase | undefined;
const worlds: EngineWorld[] = [];

afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
  await test?.close();
});

it('keeps its leases while every connection of the pool is taken for longer than a lease', async () => {
  const leaseMs = 2_000;
  test = await createTestDatabase('postgres');
  const busy = createPostgres({ url: test.url ?? '', maxConnections: 3 });
  const scripts = [createScript(), createScript()] as const;
  const steps = [testStep('a', [], { uses: 'test.do' }), testStep('b', ['a'], { uses: 'test.do' })];
  const pipelines = [testPipeline('line', { steps })];
  const holder = await startEngineWorld({ db: busy, script: scripts[0], pipelines, timing: { leaseMs } });
  worlds.push(holder);
  const lost: string[] = [];
  holder.events.on('run.lease_lost', ({ runId }) => lost.push(runId));
  const a = gate(scripts[0], 'a');
  const id = await holder.start('line');
  await a.entered;
  const observer = await startEngineWorld({ db: test.db, script: scripts[1], pipelines, timing: { leaseMs } });
  worlds.push(observer);
  // More than the pool has, so that others queue for it as well.
  const sleeping = statement('sleep', 'select pg_sleep($1::float8)', { timeoutMs: 0 });
  await Promise.all(Array.from({ length: 6 }, () => busy.query(sleeping, [leaseMs / 1_000])));
  a.open();
  expect((await observer.reached(id)).state).toBe('completed');
  expect(lost).toEqual([]);
  expect([scripts[0].attempts, scripts[1].attempts]).toEqual([['a', 'b'], []]);
  await observer.stop();
  await holder.stop();
  worlds.length = 0;
  await busy.close();
}, 30_000);
