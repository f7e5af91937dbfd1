// Two nodes whose files differ: the last apply is in force on both, and a difference that lasts is told.
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPipelinesInForce } from '../../src/app/pipelines-in-force.ts';
import { createSharedConfig } from '../../src/app/shared-config.ts';
import type { Database, Statement } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { createEventBus, type Events } from '../../src/observe/events.ts';
import { configInForce } from '../../src/reads/config-in-force.ts';
import { listNodes } from '../../src/reads/list-nodes.ts';
import { createRegistry } from '../../src/steps/registry.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, eventually, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testSchedule, testStep } from '../support/http-world.ts';

/** A pipeline whose schedule fires every second. */
function ticking(id: string, version: string): Pipeline {
  return testPipeline(id, {
    version,
    schedules: [testSchedule(id, 'always', { cron: '* * * * * *', overlap: 'allow' })],
    steps: [testStep('do', [], { uses: 'test.do' })],
  });
}

describe('two nodes with files of their own', () => {
  let test: TestDatabase;
  let other: Database;
  let worlds: EngineWorld[] = [];

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
  });
  beforeEach(async () => {
    for (const table of ['config_applies', 'pipelines', 'schedules', 'queue', 'runs', 'nodes']) {
      await sql(test.db, `delete from cronwright.${table}`);
    }
    other = createPostgres({ url: test.url ?? '' });
    worlds = [];
  });
  afterEach(async () => {
    for (const world of worlds) await world.stop();
    await other.close();
  });
  afterAll(() => test.close());

  /** The first node has a connection of its own, every other one shares the second. */
  async function startNode(
    hash: string,
    pipelines: readonly Pipeline[],
    options: { isDeaf?: boolean; heartbeatMs?: number; divergedAfterMs?: number } = {},
  ): Promise<EngineWorld> {
    const { isDeaf = false, heartbeatMs = 200, divergedAfterMs } = options;
    const db = worlds.length === 0 ? test.db : other;
    const world = await startEngineWorld({
      db: isDeaf ? Object.create(db, { hints: { value: undefined } }) : db,
      script: createScript(),
      pipelines,
      hash,
      timing: { heartbeatMs, leaseMs: Math.max(2_000, heartbeatMs * 3) },
      ...(divergedAfterMs === undefined ? {} : { divergedAfterMs }),
    });
    worlds.push(world);
    return world;
  }

  function listen<Name extends 'config.adopted' | 'config.applied' | 'config.diverged' | 'config.converged'>(
    world: EngineWorld,
    name: Name,
  ): Events[Name][] {
    const heard: Events[Name][] = [];
    world.events.on(name, (payload) => heard.push(payload));
    return heard;
  }

  const versionsOf = (world: EngineWorld) => world.engine.catalog.list().map((one) => `${one.id} ${one.version}`);

  it.each([
    { how: 'by a hint', isDeaf: false, heartbeatMs: 20_000 },
    { how: 'by looking', isDeaf: true, heartbeatMs: 300 },
  ])('the first takes over what the second applies, $how, and keeps to its own files', async (options) => {
    const first = await startNode('a', [ticking('p', 'v1')], options);
    if (!options.isDeaf) {
      await eventually(async () =>
        expect(await sql(test.db, `select 1 from pg_stat_activity where query = 'listen cronwright'`)).toHaveLength(1),
      );
    }
    const adopted = listen(first, 'config.adopted');
    const second = await startNode('b', [ticking('p', 'v2'), ticking('q', 'v1')], options);
    await eventually(async () => expect(first.engine.catalog.hash).toBe('b'), 3_000);
    expect(versionsOf(first)).toEqual(['p v2', 'q v1']);
    expect(first.engine.ownHash()).toBe('a');
    expect(adopted).toEqual([
      { hash: 'b', node: second.engine.node.name, pipelines: 2, appliedAt: expect.any(Number) },
    ]);
    expect(await configInForce(test.db)).toMatchObject({ hash: 'b', node: second.engine.node.id });
    const nodes = await listNodes(test.db);
    expect(nodes.map((one) => [one.config_hash, one.config_differs]).sort()).toEqual([
      ['a', true],
      ['b', false],
    ]);
  });

  it('the last apply wins, and says whose configuration it replaces', async () => {
    const first = await startNode('a', [ticking('p', 'v1')]);
    const second = await startNode('b', [ticking('p', 'v2')]);
    await eventually(async () => expect(first.engine.catalog.hash).toBe('b'));
    const applied = listen(first, 'config.applied');
    await first.engine.apply({ hash: 'c', pipelines: [ticking('p', 'v3')] });
    expect(applied).toEqual([
      {
        hash: 'c',
        pipelines: 1,
        schedules: 1,
        changed: 0,
        replaces: 'b',
        replacesNode: second.engine.node.name,
      },
    ]);
    await eventually(async () => expect(versionsOf(second)).toEqual(['p v3']));
    expect(await sql(test.db, 'select seq, hash from cronwright.config_applies order by seq')).toEqual([
      { seq: 1, hash: 'a' },
      { seq: 2, hash: 'b' },
      { seq: 3, hash: 'c' },
    ]);
  });

  it('files that become what is in force already apply nothing', async () => {
    const first = await startNode('a', [ticking('p', 'v1')]);
    await startNode('b', [ticking('p', 'v2')]);
    await eventually(async () => expect(first.engine.catalog.hash).toBe('b'));
    await first.engine.apply({ hash: 'b', pipelines: [ticking('p', 'v2')] });
    expect(await configInForce(test.db)).toMatchObject({ hash: 'b', node: worlds[1]?.engine.node.id });
    await eventually(async () => {
      expect((await listNodes(test.db)).map((one) => one.config_hash)).toEqual(['b', 'b']);
    });
  });

  it('a node that has heard of nothing fires the schedules of the last apply with the definitions of the last apply', async () => {
    // Neither hints nor a look within the test: only what the scheduler itself reads.
    const first = await startNode('a', [ticking('p', 'v1')], { isDeaf: true, heartbeatMs: 60_000 });
    const broken: string[] = [];
    first.events.on('schedule.broken', ({ error }) => broken.push(error));
    const second = await startNode('b', [ticking('p', 'v2'), ticking('q', 'v1')], { isDeaf: true });
    await second.stop();
    const { at } = (await sql<{ at: Date }>(test.db, 'select clock_timestamp() as at'))[0] as { at: Date };
    const fired = () =>
      sql<{ pipeline: string; pipeline_version: string }>(
        test.db,
        `select distinct pipeline, pipeline_version from cronwright.runs
        where created_at > $1 and origin = 'schedule' order by 1, 2`,
        [at],
      );
    await eventually(async () => expect((await fired()).map((row) => row.pipeline)).toContain('q'));
    expect(await fired()).toEqual([
      { pipeline: 'p', pipeline_version: 'v2' },
      { pipeline: 'q', pipeline_version: 'v1' },
    ]);
    expect(broken).toEqual([]);
  });

  it('a difference that lasts is told once, and once that it is over', async () => {
    const first = await startNode('a', [ticking('p', 'v1')], { divergedAfterMs: 600 });
    const diverged = listen(first, 'config.diverged');
    const converged = listen(first, 'config.converged');
    const counted: number[] = [];
    first.events.on('nodes.counted', ({ hashes }) => counted.push(hashes));
    const from = performance.now();
    await startNode('b', [ticking('p', 'v2')]);
    await eventually(async () => expect(diverged).toHaveLength(1));
    expect(performance.now() - from).toBeGreaterThan(600);
    expect(Object.values(diverged[0]?.hashes ?? {}).sort()).toEqual(['a', 'b']);
    const looks = counted.length;
    await eventually(async () => expect(counted.length).toBeGreaterThan(looks + 3));
    expect(diverged).toHaveLength(1);
    expect(counted.at(-1)).toBe(2);
    expect(converged).toEqual([]);

    await first.engine.apply({ hash: 'b', pipelines: [ticking('p', 'v2')] });
    await eventually(async () => expect(converged).toEqual([{ hash: 'b' }]));
    expect(counted.at(-1)).toBe(1);
  });

  it('a node that is slow leaves the schedules of who applied after it', async () => {
    const events = createEventBus();
    const configOf = (db: Database, name: string) => {
      const inForce = createPipelinesInForce(createRegistry([]), { limitsOf: () => [], order: { tagOf: () => 0 } });
      const quiet = { onRecorded: () => {}, onSchedules: () => {}, onAdopted: async () => {}, slotsFor: () => [] };
      const config = createSharedConfig({ db, inForce, events, node: { id: randomUUID(), name }, ...quiet });
      return { config, inForce };
    };
    let reached = () => {};
    const isReached = new Promise<void>((resolve) => {
      reached = resolve;
    });
    let goOn = () => {};
    const mayGoOn = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    // Its configuration is recorded, its schedules are not yet written.
    const query = async (asked: Statement, params: readonly unknown[]) => {
      if (asked.name === 'load_schedules') {
        reached();
        await mayGoOn;
      }
      return other.query(asked, params);
    };
    const slow = configOf(Object.create(other, { query: { value: query } }), 'slow');
    const fast = configOf(test.db, 'fast');
    const applying = slow.config.apply({ hash: 'a', pipelines: [ticking('p', 'v1'), ticking('x', 'v1')] });
    await isReached;
    await fast.config.apply({ hash: 'b', pipelines: [ticking('p', 'v2'), ticking('y', 'v2')] });
    goOn();
    await applying;
    expect([slow.inForce.hash, fast.inForce.hash]).toEqual(['b', 'b']);
    const kept = await sql<{ id: string }>(test.db, 'select id from cronwright.schedules where removed_at is null');
    expect(kept.map((row) => row.id).sort()).toEqual(['p.always', 'y.always']);
  });

  it('what several put in force at the same time ends with one configuration everywhere, schedules and all', async () => {
    const first = await startNode('a', [ticking('p', 'v1')]);
    const second = await startNode('b', [ticking('p', 'v2')]);
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([
        first.engine.apply({ hash: `a${round}`, pipelines: [ticking('p', `a${round}`), ticking('x', `a${round}`)] }),
        second.engine.apply({ hash: `b${round}`, pipelines: [ticking('p', `b${round}`), ticking('y', `b${round}`)] }),
      ]);
      const inForce = await configInForce(test.db);
      const letter = inForce?.hash.charAt(0);
      await eventually(async () => {
        expect([first.engine.catalog.hash, second.engine.catalog.hash]).toEqual([inForce?.hash, inForce?.hash]);
        expect(
          (
            await sql<{ id: string }>(
              test.db,
              'select id from cronwright.schedules where removed_at is null order by id',
            )
          ).map((row) => row.id),
        ).toEqual(letter === 'a' ? ['p.always', 'x.always'] : ['p.always', 'y.always']);
      });
    }
  });
});
