// Two nodes share the items of one step, and one of them dies: every item is done, and counted once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { retryRun } from '../../src/control/retry-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import { type Database, statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, eventually, fatal, gate, startEngineWorld } from '../support/engine-world.ts';
import { testPipeline, testStep } from '../support/http-world.ts';

const items = Array.from({ length: 40 }, (_, i) => i);
const shared = testPipeline('shared', {
  version: 'shared-1',
  concurrency: { limit: 1 },
  steps: [
    testStep('each', [], {
      uses: 'test.do',
      distribute: true,
      with: { n: '${{ item }}' },
      foreach: { items, maxParallel: 10, onItemError: 'continue' },
    }),
    testStep('sum', ['each'], { uses: 'test.do', with: { all: '${{ steps.each.output.map(one, one.n) }}' } }),
  ],
});
const far = testPipeline('far', {
  version: 'far-1',
  steps: [testStep('there', [], { uses: 'test.do', queue: 'far' }), testStep('here', ['there'], { uses: 'test.do' })],
});

const rows = statement(
  'test_shared_items',
  `select item, state, (output ->> 'n')::int4 as n from cronwright.step_runs where run_id = $1 and item >= 0 order by item`,
);
const nodes = statement(
  'test_nodes_of_children',
  'select distinct node::text as node from cronwright.runs where parent_id = $1 and node is not null',
);

describe('items on two nodes', () => {
  let test: TestDatabase;
  const scripts = [createScript(), createScript()] as const;
  let worlds: EngineWorld[];
  let second: Database;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    second = createPostgres({ url: test.url ?? '' });
    worlds = [
      await startEngineWorld({ db: test.db, script: scripts[0], pipelines: [shared, far], queues: ['default'] }),
      await startEngineWorld({ db: second, script: scripts[1], pipelines: [shared, far], workers: 2 }),
    ];
  });
  afterAll(async () => {
    await one().stop();
    await test.close();
  });

  const one = () => worlds[0] as EngineWorld;
  const two = () => worlds[1] as EngineWorld;

  it('share them, and the step goes on with all outputs in order', async () => {
    // The first node takes some, and leaves the rest to the other.
    two().engine.pauseClaims(true);
    const stop = one().events.on('step.finished', () => {
      one().engine.pauseClaims(true);
      two().engine.pauseClaims(false);
    });
    const id = await one().start('shared');
    const run = await one().reached(id);
    stop();
    one().engine.pauseClaims(false);
    expect([run.state, run.failed_items]).toEqual(['completed', 0]);
    expect((await test.db.query(rows, [id])).rows).toEqual(items.map((n) => ({ item: n, state: 'completed', n })));
    const all = [...scripts[0].attempts, ...scripts[1].attempts].filter((name) => name.startsWith('each/'));
    expect(all.sort()).toEqual(items.map((n) => `each/${n}`).sort());
    expect((await test.db.query(nodes, [id])).rows.length).toBe(2);
  });

  it('a step with a queue runs on the node that serves it', async () => {
    scripts[0].attempts.length = 0;
    scripts[1].attempts.length = 0;
    const id = await one().start('far');
    expect((await one().reached(id)).state).toBe('completed');
    expect(scripts[0].attempts).not.toContain('there');
    expect(scripts[1].attempts).toContain('there');
  });

  it('what a dead node had of them is done by the other, once', async () => {
    for (const script of scripts) script.attempts.length = 0;
    // The second node takes all there is, and hangs in some of it.
    one().engine.pauseClaims(true);
    const stuck = [13, 15, 17].map((n) => gate(scripts[1], `each/${n}`));
    const id = await one().start('shared');
    await Promise.all(stuck.map((held) => held.entered));
    one().engine.pauseClaims(false);
    // It neither beats nor gives anything back: to the other it is dead.
    await second.close();
    const run = await one().reached(id);
    expect([run.state, run.failed_items]).toEqual(['completed', 0]);
    expect((await test.db.query(rows, [id])).rows).toEqual(items.map((n) => ({ item: n, state: 'completed', n })));
    const left = await test.db.query(statement('test_left', 'select run_id from cronwright.queue'));
    expect(left.rows).toEqual([]);
  });

  it('a part cannot be retried by itself: its run can', async () => {
    scripts[0].failures.set('each/0', [fatal()]);
    const id = await one().start('shared');
    await one().reached(id);
    const failed = await eventually(async () => {
      const found = await test.db.query<{ id: string }>(
        statement('test_part', "select id from cronwright.runs where parent_id = $1 and (child ->> 'from') = '0'"),
        [id],
      );
      expect(found.rows.length).toBe(1);
      return found.rows[0]?.id ?? '';
    });
    await test.db.query(statement('test_fail', "update cronwright.runs set state = 'failed' where id = $1"), [failed]);
    const starter = createRunStarter(one().engine.control);
    const caller = { tenant: 'default', actor: 'tester', origin: 'api' } as const;
    await expect(retryRun(starter, failed, caller)).rejects.toThrow(`is a part of run "${id}"`);
  });
});
