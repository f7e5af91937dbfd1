// Several nodes on one PostgreSQL: labels, files and plugins decide who carries a run out, and no run waits for a dead node.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { retryRun } from '../../src/control/retry-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import type { Database } from '../../src/db/database.ts';
import { createPostgres } from '../../src/db/postgres.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { fastRetry, slowRetry } from '../../src/domain/retry-policy.ts';
import type { Events } from '../../src/observe/events.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runSteps, type StepView } from '../../src/reads/run-steps.ts';
import { workspacePath } from '../../src/worker/attempt-host.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  gate,
  type Script,
  startEngineWorld,
  transient,
} from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const never = { ...fastRetry, maxRetries: 0 };
const again = (ms: number) => ({ ...slowRetry, initialMs: ms });
const write = testStep('write', [], {
  uses: 'file.write',
  with: { path: 'note.txt', content: 'for ${{ run.id }}' },
});
const stop = testStep('stop', ['write'], { uses: 'test.do', retry: never });
const read = testStep('read', ['stop'], { uses: 'file.read', with: { path: 'note.txt' } });
const shell = testStep('write', [], { uses: 'shell.run', with: { script: 'echo heavy > note.txt' } });

function pipeline(id: string, steps: Pipeline['steps'], overrides: Partial<Pipeline> = {}): Pipeline {
  return testPipeline(id, { version: `${id}-1`, steps, ...overrides });
}

const pipelines: Pipeline[] = [
  pipeline('plain', [testStep('a', [], { uses: 'test.do' })]),
  pipeline('labelled', [testStep('a', [], { uses: 'test.do' })], { runsOn: ['gpu', 'linux'] }),
  pipeline('files', [write, stop, read], { retry: again(100) }),
  // What it wrote stays when it fails, for its retry.
  pipeline('once', [{ ...write, compensate: false }, stop, read]),
  pipeline(
    'chain',
    [
      write,
      stop,
      testStep('more', ['stop'], { uses: 'file.write', with: { path: 'more.txt', content: 'second' } }),
      testStep('later', ['more'], { uses: 'test.do', retry: never }),
      testStep('read', ['later'], { uses: 'file.read', with: { path: 'more.txt' } }),
    ],
    { retry: again(1_500) },
  ),
  pipeline('files-later', [write, stop, read], { retry: again(1_500) }),
  pipeline('heavy', [shell, stop, read], { retry: again(100) }),
  pipeline('blocker', [testStep('wait', [], { uses: 'test.do' }), shell], { runsOn: ['gpu'] }),
];

interface Node {
  world: EngineWorld;
  script: Script;
  db: Database;
  claimed: string[];
  refused: Events['version.refused'][];
  unservable: Events['run.unservable'][];
  /** As a kill does: it writes nothing more, and nobody hears of it. */
  kill(): Promise<void>;
}

describe('several nodes on one PostgreSQL', () => {
  let test: TestDatabase;
  let nodes: Node[];

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    nodes = [];
    for (const table of ['queue', 'runs', 'step_runs', 'history', 'slots', 'nodes']) {
      await sql(test.db, `delete from cronwright.${table}`);
    }
  });
  afterEach(async () => {
    for (const node of nodes) {
      await node.world.stop();
      await node.db.close();
    }
  });

  async function start(options: Partial<Parameters<typeof startEngineWorld>[0]> = {}): Promise<Node> {
    const db = createPostgres({ url: test.url ?? '' });
    const script = createScript();
    const world = await startEngineWorld({ db, script, pipelines, ...options });
    const node: Node = { world, script, db, claimed: [], refused: [], unservable: [], kill: () => db.close() };
    world.events.on('run.claimed', ({ runId }) => node.claimed.push(runId));
    world.events.on('version.refused', (event) => node.refused.push(event));
    world.events.on('run.unservable', (event) => node.unservable.push(event));
    nodes.push(node);
    return node;
  }

  const stepsOf = async (id: string): Promise<Record<string, StepView>> =>
    Object.fromEntries((await runSteps(test.db, 'default', id)).map((one) => [one.step, one]));
  const eventsOf = async (id: string): Promise<string[]> =>
    (await runEvents(test.db, 'default', id, { after: 0, limit: 100 })).items.map((one) => one.event);

  it('runs what asks for labels where they are, however idle the others', async () => {
    const bare = await start({ labels: ['gpu'] });
    const able = await start({ labels: ['linux', 'gpu', 'big'] });
    const ids: string[] = [];
    for (let i = 0; i < 10; i += 1) ids.push(await bare.world.start('labelled'));
    for (const id of ids) expect((await bare.world.reached(id)).state).toBe('completed');
    expect([...able.claimed].sort()).toEqual([...ids].sort());
    expect(bare.claimed).toEqual([]);
    // A node with labels is there for others, too.
    await bare.world.stop();
    expect((await able.world.reached(await able.world.start('plain'))).state).toBe('completed');
  });

  it('says that no living node has the labels, and runs the run once one comes', async () => {
    const bare = await start();
    const id = await bare.world.start('labelled');
    await eventually(async () => expect(bare.unservable).toHaveLength(1));
    expect(bare.unservable[0]).toMatchObject({ queue: 'default', labels: ['gpu', 'linux'] });
    expect(bare.unservable[0]?.reason).toContain('gpu, linux');
    const able = await start({ labels: ['gpu', 'linux'] });
    expect((await able.world.reached(id)).state).toBe('completed');
    expect(bare.unservable).toHaveLength(1);
  });

  it('goes on after a wait at the node that has the files', async () => {
    const both = [await start(), await start()];
    for (const { script } of both)
      script.failures.set(
        'stop',
        Array.from({ length: 12 }, () => transient()),
      );
    const ids: string[] = [];
    for (let i = 0; i < 12; i += 1) ids.push(await (both[i % 2] as Node).world.start('files'));
    // Each fails at least once on the node it came to; then they may go on.
    await eventually(async () => {
      const seen = both.flatMap((node) => node.claimed);
      for (const id of ids) expect(seen).toContain(id);
    });
    await eventually(async () => expect(both.flatMap((node) => node.claimed).length).toBeGreaterThan(ids.length));
    for (const { script } of both) script.failures.clear();
    for (const id of ids) {
      expect((await both[0]?.world.reached(id))?.state).toBe('completed');
      const holders = both.filter((node) => node.claimed.includes(id));
      expect(holders).toHaveLength(1);
      const steps = await stepsOf(id);
      expect([steps.write?.attempts, steps.read?.state]).toEqual([1, 'completed']);
    }
  });

  it('goes on elsewhere when the node that has the files is killed while the run waits, and makes the files again', async () => {
    const first = await start();
    first.script.failures.set('stop', [transient()]);
    const id = await first.world.start('files-later');
    await first.world.reached(id, ['retrying']);
    const second = await start();
    await first.kill();
    const run = await second.world.reached(id);
    expect([run.state, second.claimed]).toEqual(['completed', [id]]);
    expect(second.script.attempts).toEqual(['stop']);
    expect((await stepsOf(id)).read?.output).toMatchObject({ content: `for ${id}` });
    expect(await eventsOf(id)).toContain('run.reopened');
  });

  it('goes on elsewhere when the node that runs it is killed, from the first step that wrote files', async () => {
    const first = await start();
    gate(first.script, 'stop');
    const id = await first.world.start('files');
    await eventually(async () => expect((await stepsOf(id)).write?.state).toBe('completed'));
    await eventually(async () => expect(first.script.attempts).toEqual(['stop']));
    const second = await start();
    await first.kill();
    const run = await second.world.reached(id);
    expect([run.state, second.claimed]).toEqual(['completed', [id]]);
    expect((await stepsOf(id)).read?.output).toMatchObject({ content: `for ${id}` });
  });

  it('makes again all that was made on the dead node, however often it has to stop on the way', async () => {
    const first = await start();
    first.script.failures.set('later', [transient()]);
    const id = await first.world.start('chain');
    await first.world.reached(id, ['retrying']);
    const dataDir = mkdtempSync(join(tmpdir(), 'cronwright-routes-'));
    const second = await start({ dataDir });
    const hold = gate(second.script, 'stop');
    await first.kill();
    await hold.entered;
    await second.world.stop();
    const third = await start({ dataDir });
    const run = await third.world.reached(id);
    rmSync(dataDir, { recursive: true });
    expect([run.state, run.error]).toEqual(['completed', null]);
    expect(third.script.attempts).toEqual(['stop', 'later']);
    expect((await stepsOf(id)).read?.output).toMatchObject({ content: 'second' });
  });

  it('does not take files for the newest that another node went on from', async () => {
    const first = await start();
    first.script.failures.set('stop', [transient()]);
    const id = await first.world.start('files-later');
    await first.world.reached(id, ['retrying']);
    const { dataDir } = first.world.settings;
    expect(existsSync(workspacePath(dataDir, id))).toBe(true);
    // Another node carried it out meanwhile and is gone: what this one has is old.
    await sql(test.db, `update cronwright.queue set home = gen_random_uuid() where run_id = $1`, [id]);
    expect((await first.world.reached(id)).state).toBe('completed');
    expect(await eventsOf(id)).toContain('run.reopened');
  });

  it('knows its files after a restart on the same data directory', async () => {
    const first = await start();
    first.script.failures.set('stop', [transient()]);
    const id = await first.world.start('files-later');
    await first.world.reached(id, ['retrying']);
    const { dataDir } = first.world.settings;
    await first.kill();
    const second = await start({ dataDir });
    expect((await second.world.reached(id)).state).toBe('completed');
    expect(await eventsOf(id)).not.toContain('run.reopened');
  });

  it('does not retry a run with files that were not the newest', async () => {
    const first = await start();
    const second = await start();
    first.script.failures.set('stop', [fatal()]);
    second.script.failures.set('stop', [fatal()]);
    const failed = await first.world.reached(await first.world.start('once'));
    expect(failed.state).toBe('failed');
    const [holder, other] = first.claimed.includes(failed.id) ? [first, second] : [second, first];
    // The other has files of it, too, from before; and it takes the retry, for the holder is away.
    const stale = workspacePath(other.world.settings.dataDir, failed.id);
    await mkdir(stale, { recursive: true });
    await writeFile(join(stale, 'note.txt'), 'stale');
    await holder.world.stop();
    for (const { script } of [first, second]) script.failures.clear();
    const starter = createRunStarter(other.world.engine.control);
    const retried = await retryRun(starter, failed.id, { tenant: 'default', actor: 'ada', origin: 'retry' });
    expect((await other.world.reached(retried.id)).state).toBe('completed');
    expect(await eventsOf(retried.id)).toContain('run.reopened');
    expect((await stepsOf(retried.id)).read?.output).toMatchObject({ content: `for ${retried.id}` });
  });

  it('does not let a run wait without end for a node that has its files and is busy', async () => {
    const busy = await start({ workers: 1, labels: ['gpu'] });
    busy.script.failures.set('stop', [transient()]);
    const hold = gate(busy.script, 'wait');
    const id = await busy.world.start('heavy');
    await busy.world.start('blocker');
    await busy.world.reached(id, ['retrying', 'pending']);
    await hold.entered;
    const other = await start();
    const run = await other.world.reached(id);
    expect([run.state, other.claimed]).toEqual(['completed', [id]]);
    const waits = (await runEvents(test.db, 'default', id, { after: 0, limit: 100 })).items;
    const at = (event: string) => Date.parse(String(waits.findLast((one) => one.event === event)?.at));
    expect(at('run.claimed') - at('run.woken')).toBeGreaterThan(busy.world.settings.timing.leaseMs - 100);
    hold.open();
  });

  it('leaves a version to nodes that have its step types, tells it once, and fails nothing', async () => {
    const lacking = await start({ scripted: false });
    const ids: string[] = [];
    for (let i = 0; i < 5; i += 1) ids.push(await lacking.world.start('plain'));
    await eventually(async () => expect(lacking.unservable).toHaveLength(1));
    expect(lacking.refused).toMatchObject([{ pipeline: 'plain', version: 'plain-1', missing: 'test.do' }]);
    expect(lacking.unservable[0]?.reason).toContain('test.do');
    const rows = () =>
      sql<{ state: string; claims: number; token: number }>(
        test.db,
        'select state, claims, token from cronwright.queue order by run_id',
      );
    expect(await rows()).toEqual(ids.map(() => ({ state: 'pending', claims: 0, token: 1 })));
    expect(await sql(test.db, 'select lacks from cronwright.nodes')).toEqual([{ lacks: ['plain-1'] }]);

    // A second one that lacks it, too, finds out by one claim, and neither asks again.
    const alsoLacking = await start({ scripted: false });
    await eventually(async () => expect(alsoLacking.refused).toHaveLength(1));
    await eventually(async () => expect((await rows()).map((row) => row.state)).toEqual(ids.map(() => 'pending')));
    const before = await rows();
    for (const row of before) expect(row).toMatchObject({ state: 'pending', claims: 0 });
    expect(Math.max(...before.map((row) => row.token))).toBeLessThanOrEqual(2);
    const beats = async () =>
      (await sql<{ beat: number }>(test.db, 'select max(beat) as beat from cronwright.nodes'))[0];
    const from = (await beats())?.beat ?? 0;
    await eventually(async () => expect((await beats())?.beat ?? 0).toBeGreaterThan(from + 5));
    expect(await rows()).toEqual(before);

    const able = await start();
    for (const id of ids) {
      const run = await able.world.reached(id);
      expect([run.state, run.attempt]).toEqual(['completed', 1]);
    }
    expect([...able.claimed].sort()).toEqual([...ids].sort());
    expect([lacking.refused.length, alsoLacking.refused.length, able.refused.length]).toEqual([1, 1, 0]);

    // Beside one that can, a node that cannot is in nobody's way.
    const more: string[] = [];
    for (let i = 0; i < 5; i += 1) more.push(await lacking.world.start('plain'));
    for (const id of more) expect((await able.world.reached(id)).state).toBe('completed');
    expect(lacking.claimed).toEqual([]);
  });
});
