// The figures of slow retries in an engine: 1, 2 and 4 minutes, each passed over by setting the clock of the run on; then it has failed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
import { runEvents } from '../../src/reads/run-events.ts';
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
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const passOver = `update cronwright.queue q set run_at = now() from (
    select run_id, extract(epoch from run_at - now())::float8 / 60 as minutes from cronwright.queue
  ) was
  where q.run_id = $1 and was.run_id = q.run_id and q.state = 'retrying' and q.run_at > now() + interval '30 seconds'
  returning was.minutes`;
const once = { ...fastRetry, maxRetries: 0 };
const retry = { ...slowRetry, on: ['TimeoutError', 'TransientError'] };
const pipelines = [
  testPipeline('backup', {
    retry,
    steps: [
      testStep('dump', [], { uses: 'test.do', retry: once }),
      testStep('tell', ['dump'], { uses: 'test.do', retry: once }),
    ],
  }),
];

describe('a run that is retried as a whole, slowly', () => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines });
  });
  afterAll(async () => {
    await world?.stop();
    await test?.close();
  });

  /** Minutes that it waits, each time until its retry; `times` of them. */
  async function delays(id: string, times: number): Promise<number[]> {
    const found: number[] = [];
    while (found.length < times) {
      // One whose time was set on already is on its way.
      const row = await eventually(async () => {
        const [moved] = await sql(test.db, passOver, [id]);
        if (!moved) throw new Error(`the run ${id} does not wait for its retry`);
        return moved;
      });
      found.push(Number(row.minutes));
    }
    return found;
  }

  it('waits 1, 2 and 4 minutes, and has failed after the third retry', async () => {
    script.failures.set('tell', [transient(), transient(), transient(), transient('still away')]);
    const id = await world.start('backup');
    const found = await delays(id, 3);
    expect(found.map(Math.round)).toEqual([1, 2, 4]);
    const run = await world.reached(id);
    expect(run).toMatchObject({ state: 'failed', attempt: 4, error: { class: 'transient' } });
    expect(script.attempts).toEqual(['dump', 'tell', 'tell', 'tell', 'tell']);
    const { items } = await runEvents(test.db, 'default', id, { after: 0, limit: 100 });
    expect(items.filter(({ event }) => event === 'run.retrying')).toHaveLength(3);
  });

  it('is not retried for an error that the list does not name', async () => {
    script.failures.set('dump', [fatal('no such database')]);
    const id = await world.start('backup');
    expect(await world.reached(id)).toMatchObject({ state: 'failed', attempt: 1 });
  });
});
