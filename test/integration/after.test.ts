// Runs that start only after another pipeline has completed, on the embedded database and on PostgreSQL.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { announceRuns } from '../../src/control/announce-runs.ts';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { signalRun } from '../../src/control/signal-run.ts';
import type { Database } from '../../src/db/database.ts';
import { createNewRun } from '../../src/domain/new-run.ts';
import type { AfterDefinition, Pipeline } from '../../src/domain/pipeline.ts';
import { admitAfter } from '../../src/queue/admit-after.ts';
import { enqueueRuns } from '../../src/queue/enqueue-runs.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  fatal,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const hour = 3_600_000;

function pipeline(
  id: string,
  step: string,
  after: Partial<AfterDefinition>[] = [],
  more: Partial<Pipeline> = {},
): Pipeline {
  const rules = after.map((one) => ({
    pipeline: 'load',
    withinMs: hour,
    when: 'schedule' as const,
    onMissing: 'wait' as const,
    ...one,
  }));
  return testPipeline(id, {
    version: `${id}-1`,
    steps: [testStep(step, [], { uses: 'test.do' })],
    ...(rules.length > 0 ? { after: rules } : {}),
    ...more,
  });
}

const pipelines: Pipeline[] = [
  pipeline('load', 'load'),
  pipeline('other', 'other'),
  pipeline('report', 'report', [{}], { concurrency: { limit: 1 } }),
  pipeline('both', 'both', [{}, { pipeline: 'other' }]),
  pipeline('strict', 'strict', [{ onMissing: 'fail' }]),
  pipeline('easy', 'easy', [{ onMissing: 'run' }]),
  pipeline('asking', 'asking', [{ onMissing: 'fail' }], {
    onFailure: [testStep('mop', [], { uses: 'test.do' })],
  }),
  pipeline('always', 'always', [{ when: 'always' }]),
];

describe.each(engineVariants)('runs after another pipeline on $name', (variant) => {
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind);
  });
  afterAll(() => test.close());
  let count = 0;
  beforeEach(async () => {
    script = createScript();
    count += 1;
    world = await startEngineWorld({ db: test.db, script, pipelines });
  });
  afterEach(() => world.stop());

  /** What completed in another test is not recent here. */
  const forgetRuns = () =>
    test.db.query({ name: 'test_forget', text: "delete from cronwright.runs where pipeline in ('load', 'other')" });

  const queueRow = async <Row>(text: string, id: string) => (await sql<Row>(test.db, text, [id]))[0];

  /** As the scheduler makes it, for a nominal time so far from now. */
  async function scheduled(id: string, fromNowMs: number): Promise<string> {
    const { control } = world.engine;
    const found = pipelines.find((one) => one.id === id) as Pipeline;
    const run = createNewRun(found, control.pipelines.termsOf(found), {
      origin: 'schedule',
      schedule: { id: `${id}.test-${count}`, nominalAt: new Date(Date.now() + fromNowMs), exclusive: false },
    });
    await enqueueRuns(test.db, [run]);
    await announceRuns(control, [run]);
    return run.id;
  }

  it('a run waits, says for what, and starts when the pipeline has completed; a failure of it is not enough', async () => {
    await forgetRuns();
    const id = await scheduled('report', 0);
    expect((await world.reached(id, ['pending'])).blocked_on).toBe('after:load');
    script.failures.set('load', [fatal()]);
    await world.reached(await world.start('load'));
    expect((await world.reached(id, ['pending'])).blocked_on).toBe('after:load');
    await world.reached(await world.start('load'));
    expect((await world.reached(id)).state).toBe('completed');
    expect(script.attempts).toEqual(['load', 'load', 'report']);
  });

  it('looks for completions only where a run waits', async () => {
    await forgetRuns();
    const asked: string[] = [];
    const db: Database = {
      ...test.db,
      kind: test.db.kind,
      query: (statement, params) => {
        asked.push(statement.name);
        return test.db.query(statement, params);
      },
      transaction: (work, options) => test.db.transaction(work, options),
    };
    expect(await admitAfter(db, 'default', 'load')).toEqual({ ready: 0, keys: [] });
    expect(asked).toEqual(['find_run_after']);
    const id = await scheduled('report', 0);
    await world.reached(id, ['pending']);
    await admitAfter(db, 'default', 'load');
    expect(asked).toContain('find_last_completion');
    await world.reached(await world.start('load'));
    await world.reached(id, ['completed']);
  });

  it('starts at once where the pipeline has completed within the time', async () => {
    await world.reached(await world.start('load'));
    expect((await world.reached(await scheduled('report', 0))).state).toBe('completed');
  });

  it('starts once all pipelines that it names have completed', async () => {
    await forgetRuns();
    const id = await scheduled('both', 0);
    expect((await world.reached(id, ['pending'])).blocked_on).toBe('after:load');
    await world.reached(await world.start('load'));
    await eventually(async () => expect((await world.reached(id, ['pending'])).blocked_on).toBe('after:other'));
    await world.reached(await world.start('other'));
    expect((await world.reached(id)).state).toBe('completed');
  });

  it('fails with the reason, or runs, once the time has passed without it', async () => {
    await forgetRuns();
    const strict = await world.reached(await scheduled('strict', -3 * hour));
    expect([strict.state, strict.error?.name]).toEqual(['failed', 'AfterMissing']);
    expect(strict.error?.message).toContain('no run of pipeline load has completed since');
    const easy = await world.reached(await scheduled('easy', -3 * hour));
    expect(easy.state).toBe('completed');
    expect(script.attempts).toEqual(['easy']);
  });

  it('is left alone while its on_failure waits for a person, and then fails with the reason', async () => {
    await forgetRuns();
    script.runs.set('mop', async (ctx) => {
      await ctx.suspend({ kind: 'approval', message: 'seen?' });
      return null;
    });
    const id = await scheduled('asking', -3 * hour);
    await world.reached(id, ['waiting']);
    const beats = async () =>
      (await queueRow<{ beat: number }>('select beat from cronwright.nodes where id = $1', world.engine.node.id))
        ?.beat ?? 0;
    const before = await beats();
    await eventually(async () => expect(await beats()).toBeGreaterThan(before + 2));
    const row = await queueRow<{ state: string; token: number }>(
      'select state, token from cronwright.queue where run_id = $1',
      id,
    );
    expect(row).toMatchObject({ state: 'waiting', token: 1 });
    await signalRun(world.engine.control, { tenant: 'default', actor: 'ann' }, { id, decision: 'approve' });
    const end = await world.reached(id);
    expect([end.state, end.error?.name]).toEqual(['failed', 'AfterMissing']);
    expect(script.attempts).toEqual(['mop', 'mop']);
  });

  it('is cancelled by a person while its on_failure waits', async () => {
    await forgetRuns();
    script.runs.set('mop', async (ctx) => {
      await ctx.suspend({ kind: 'approval', message: 'seen?' });
      return null;
    });
    const id = await scheduled('asking', -3 * hour);
    await world.reached(id, ['waiting']);
    await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'ann' });
    expect((await world.reached(id)).state).toBe('cancelled');
  });

  it('runs that people start do not wait, unless the pipeline says always', async () => {
    await forgetRuns();
    expect((await world.reached(await world.start('report'))).state).toBe('completed');
    const id = await world.start('always');
    expect((await world.reached(id, ['pending'])).blocked_on).toBe('after:load');
    await world.reached(await world.start('load'));
    expect((await world.reached(id)).state).toBe('completed');
  });
});
