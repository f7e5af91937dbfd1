// Why a run does not run: each reason is told with the rows that are it, first in a sentence.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { pauseRun } from '../../src/control/pause-run.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import type { Database } from '../../src/db/database.ts';
import { explainRun } from '../../src/reads/explain-run.ts';
import { explanation } from '../../src/reads/explain-view.ts';
import { StepError } from '../../src/steps/api.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, type EngineWorld, gate, type Script, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testStep } from '../support/http-world.ts';

const steps = [testStep('a', [], { uses: 'test.do' })];
const pipelines = [
  testPipeline('single', { steps, concurrency: { limit: 1, group: 'one' } }),
  testPipeline('plain', { steps }),
  testPipeline('gpu', { steps, runsOn: ['gpu'] }),
  testPipeline('limited', { steps: [testStep('a', [], { uses: 'test.do', rateLimitKey: 'api' })] }),
  testPipeline('narrow', { steps, queue: 'narrow' }),
  ...(['wait', 'run', 'fail'] as const).map((onMissing) =>
    testPipeline(`after_${onMissing}`, {
      steps,
      after: [{ pipeline: 'never', withinMs: 7_200_000, when: 'always', onMissing }],
    }),
  ),
];

describe.each(['postgres', 'pglite'] as const)('explain on %s', (kind) => {
  let test: TestDatabase;
  let db: Database;
  let script: Script;
  let world: EngineWorld;

  beforeAll(async () => {
    test = await createTestDatabase(kind);
    db = test.db;
    script = createScript();
    world = await startEngineWorld({
      db,
      script,
      pipelines,
      inFlight: 3,
      sharedLimits: { tenants: {}, queues: { narrow: { concurrency: 1 } } },
    });
  });
  afterAll(async () => {
    await world.stop();
    await test.close();
  });
  beforeEach(() => {
    script.gates.clear();
    script.failures.clear();
  });

  async function explain(id: string) {
    const answer = await explainRun(db, 'default', id);
    expect(explanation.safeParse(answer).error).toBeUndefined();
    return answer;
  }

  it('names the slot, who holds it and since when, the place in line, and when it comes free', async () => {
    for (let i = 0; i < 3; i += 1) await world.reached(await world.start('single'));
    const first = gate(script, 'a');
    const holder = await world.start('single');
    await first.entered;
    const [next, last] = [await world.start('single'), await world.start('single')];
    const answer = await explain(last);
    expect(answer.state).toBe('pending');
    expect(answer.blocked_on).toMatchObject({ key: 'group:one', limit: 1, free: 0 });
    expect(answer.blocked_on?.held_by).toHaveLength(1);
    expect(answer.blocked_on?.held_by[0]).toMatchObject({
      run_id: holder,
      node: world.engine.node.name,
      state: 'running',
    });
    expect(answer.line).toMatchObject({ queue: 'default', ahead: 1, priority: 5, asked_priority: 5 });
    expect(answer.summary).toContain(`a slot of group one: 1 of 1 are taken, held by run ${holder}`);
    expect(answer.summary).toContain('with 1 run ahead of it');
    expect(answer.predicted_start).not.toBeNull();
    expect((await explain(next)).line?.ahead).toBe(0);
    const running = await explain(holder);
    expect(running.summary).toContain(`It runs on ${world.engine.node.name}`);
    first.open();
    script.gates.clear();
    await world.reached(last);
    const ended = await explain(last);
    expect(ended.summary).toMatch(/^It ended as completed at /);
    expect(ended.ended).toMatchObject({ error: null, claims: 1 });
    expect(ended.nodes).toEqual([]);
  });

  it('counts those ahead of a ready run while all places are taken', async () => {
    const full = gate(script, 'a');
    const running = [await world.start('plain'), await world.start('plain'), await world.start('plain')];
    for (const id of running) await world.reached(id, ['running']);
    const first = await world.start('plain');
    const second = await world.start('plain');
    const urgent = await world.start('plain', { priority: 1 });
    const answer = await explain(second);
    expect(answer.line).toMatchObject({ ahead: 2, ahead_is_more: false });
    expect(answer.nodes).toEqual([
      {
        name: world.engine.node.name,
        can_take: false,
        why_not: ['all its 3 places for light runs are taken'],
        free_places: 0,
      },
    ]);
    expect(answer.summary).toContain('all places for light runs are taken');
    expect((await explain(urgent)).line?.ahead).toBe(0);
    full.open();
    script.gates.clear();
    for (const id of [first, second, urgent]) await world.reached(id);
  });

  it('says which nodes cannot take it, and why', async () => {
    const id = await world.start('gpu');
    const answer = await explain(id);
    expect(answer.nodes).toHaveLength(1);
    expect(answer.nodes[0]).toMatchObject({ can_take: false, why_not: ['it lacks the label gpu'] });
    expect(answer.predicted_start).toBeNull();
    expect(answer.summary).toContain('no living node can take it');
    await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
    expect((await explain(id)).summary).toContain('It ended as cancelled');
  });

  it('tells of a time it waits for, of a queue that is full, and of a peer that asked for quiet', async () => {
    const later = await world.start('plain', { runAt: new Date(Date.now() + 3_600_000) });
    const scheduled = await explain(later);
    expect(scheduled.summary).toMatch(/^It is not to start before 20/);
    expect(scheduled.predicted_start).toEqual(scheduled.run_at);

    const busy = gate(script, 'a');
    const holder = await world.start('narrow');
    await busy.entered;
    const second = await world.start('narrow');
    const waits = await explain(second);
    expect(waits.blocked_on).toMatchObject({ key: 'queue:narrow', limit: 1, held_by: [{ run_id: holder }] });
    busy.open();
    script.gates.clear();
    for (const id of [holder, second]) await world.reached(id);

    script.failures.set('a', [new StepError('rate_limited', 'too often', { retryAfterMs: 60_000 })]);
    const told = await world.start('limited');
    await world.reached(told, ['waiting']);
    const held = await world.start('limited');
    await world.reached(held, ['waiting']);
    const quiet = await explain(held);
    expect(quiet.rate_limits).toMatchObject([{ key: 'api', told_to: told }]);
    expect(quiet.summary).toMatch(new RegExp(`^It does not call api before .*: run ${told} was told to wait`));
  });

  it.each([
    ['wait', /however long\./],
    ['run', /where none has by 20.* UTC, it runs all the same\./],
    ['fail', /where none has by 20.* UTC, it fails\./],
  ] as const)('tells of the pipeline that has to complete first, and what happens without: %s', async (missing, end) => {
    const id = await world.start(`after_${missing}`);
    const answer = await explain(id);
    const [made] = await sql<{ ms: number }>(
      db,
      'select (extract(epoch from created_at) * 1000)::float8 as ms from cronwright.runs where id = $1',
      [id],
    );
    const since = answer.after?.since?.getTime() ?? 0;
    expect(Math.abs(since - ((made?.ms ?? 0) - 7_200_000))).toBeLessThan(2);
    expect(answer.after).toMatchObject({ pipeline: 'never', within_ms: 7_200_000, on_missing: missing });
    expect(answer.after?.decided_at?.getTime()).toBe(missing === 'wait' ? undefined : since + 14_400_000);
    expect([answer.blocked_on?.key, answer.slots, answer.predicted_start]).toEqual(['after:never', [], null]);
    expect(answer.summary).toMatch(/^It waits until a run of pipeline never has completed: one since 20.* is enough/);
    expect(answer.summary).toMatch(end);
    expect(answer.summary).toContain('When it starts cannot be told: it depends on when a run of never completes.');
    expect(answer.summary).not.toContain('slot');
    await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
  });

  it('tells of the time that a run waits for which was paused and resumed before it', async () => {
    const id = await world.start('plain', { runAt: new Date(Date.now() + 3_600_000) });
    await pauseRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
    await resumeRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
    const answer = await explain(id);
    expect(answer.blocked_on?.key).toBe('run_at');
    expect(answer.predicted_start).toEqual(answer.run_at);
    expect(answer.run_at).not.toBeNull();
    expect(answer.summary).toMatch(/^It is not to start before 20.* UTC\. It is likely to start at 20/);
    expect(answer.summary).not.toContain('slot');
    await cancelRun(world.engine.control, { tenant: 'default', id, actor: 'tester' });
  });

  it('a priority raised by waiting is told with what was asked for', async () => {
    world.engine.pauseClaims(true);
    const id = await world.start('gpu', { priority: 7 });
    await sql(db, 'update cronwright.queue set priority = 6, aged_at = now() where run_id = $1', [id]);
    expect((await explain(id)).line).toMatchObject({ priority: 6, asked_priority: 7 });
    world.engine.pauseClaims(false);
  });

  it('knows no run of another tenant', async () => {
    const id = await world.start('gpu');
    await expect(explainRun(db, 'other', id)).rejects.toMatchObject({ code: 'not_found' });
    await expect(explainRun(db, 'default', 'nonsense')).rejects.toMatchObject({ code: 'not_found' });
  });
});
