// Ten thousand items in one step: what a node keeps in memory of them, in one run and shared out as child runs.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statement } from '../../src/db/database.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, startEngineWorld } from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';

const count = 10_000;
/** Of one output: all of them together are 40 MB. */
const pad = 'x'.repeat(4_096);
const inputs = { pad: { type: 'string', required: true } } as const;

function many(id: string, more: Partial<Pipeline['steps'][number]>, maxParallel: number, items = count): Pipeline {
  const list = Array.from({ length: items }, (_, i) => `${i}`);
  const each = testStep('each', [], {
    uses: 'test.do',
    with: { text: '${{ item + inputs.pad }}' },
    foreach: { items: list, maxParallel, onItemError: 'continue' },
    ...more,
  });
  return testPipeline(id, { version: `${id}-1`, inputs, steps: [each] });
}

const read = many('read', {}, 50, 2_500);
const pipelines: Pipeline[] = [
  many('local', {}, 100),
  many('shared', { distribute: true, chunk: 20 }, 50),
  {
    ...read,
    steps: [
      ...read.steps,
      testStep('use', ['each'], { uses: 'test.do', with: { n: '${{ size(steps.each.output) }}' } }),
    ],
  },
];

const look = statement(
  'test_look',
  `select (select count(*) from cronwright.queue)::int4 as live, state is not null as over
  from cronwright.runs where id = $1`,
);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapMb(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1_048_576;
}

describe('ten thousand items', () => {
  let test: TestDatabase;
  let world: EngineWorld;
  const script = createScript();
  let finished = 0;
  let mostLive = 0;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    world = await startEngineWorld({ db: test.db, script, pipelines });
    world.events.on('step.finished', () => {
      finished += 1;
      // What the test itself would keep.
      script.attempts.length = 0;
      script.contexts.length = 0;
    });
  });
  afterAll(async () => {
    await world.stop();
    await test.close();
  });

  /** Megabytes of heap more than before, at most, at every thousandth item. */
  async function growthOf(pipeline: string): Promise<{ growth: number; id: string }> {
    finished = 0;
    const before = heapMb();
    let most = 0;
    const stop = world.events.on('step.finished', () => {
      if (finished % 1_000 === 0) most = Math.max(most, heapMb());
    });
    const id = await world.start(pipeline, { inputs: { pad } });
    for (let isOver = false; !isOver; ) {
      const { rows } = await test.db.query<{ live: number; over: boolean }>(look, [id]);
      mostLive = Math.max(mostLive, rows[0]?.live ?? 0);
      isOver = rows[0]?.over ?? false;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    stop();
    return { growth: most - before, id };
  }

  it.each([
    ['local', 20],
    ['shared', 20],
  ])(
    '%s: every item is on record, and the heap grows by less than half of what they gave',
    { timeout: 120_000 },
    async (pipeline, bound) => {
      mostLive = 0;
      const { growth, id } = await growthOf(pipeline);
      const run = await world.reached(id);
      expect([run.state, run.failed_items]).toEqual(['completed', 0]);
      const { rows } = await test.db.query<{ items: number; bytes: number }>(
        statement(
          'test_sum',
          "select count(*)::int4 as items, sum(length(output ->> 'text'))::int8 as bytes from cronwright.step_runs where run_id = $1 and item >= 0 and state = 'completed'",
        ),
        [id],
      );
      expect(rows[0]?.items).toBe(count);
      expect(rows[0]?.bytes).toBeGreaterThan(40_000_000);
      expect(growth).toBeLessThan(bound);
      expect(mostLive).toBeLessThanOrEqual(51);
      if (process.env.SHOW_FIGURES) console.log(pipeline, growth.toFixed(1), 'MB', mostLive, 'live');
    },
  );

  it('outputs that expressions read are kept, up to 8 MB, and then the step says what to do', async () => {
    const run = await world.reached(await world.start('read', { inputs: { pad } }));
    expect([run.state, run.error?.name]).toEqual(['failed', 'OutputTooLarge']);
    expect(run.error?.message).toContain('larger than 8 MB: let the items put artifacts');
    const small = await world.reached(await world.start('read', { inputs: { pad: 'x' } }));
    expect(small.state).toBe('completed');
  });
});
