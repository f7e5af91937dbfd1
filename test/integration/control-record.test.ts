// What people do to a run is on its record: who, when and why, also where it is withdrawn or was there before the run.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import { pauseRun } from '../../src/control/pause-run.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import { rollbackRun } from '../../src/control/rollback-run.ts';
import { createRunStarter } from '../../src/control/start-run.ts';
import { type EventView, runEvents } from '../../src/reads/run-events.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import {
  createScript,
  type EngineWorld,
  eventually,
  gate,
  type Script,
  startEngineWorld,
} from '../support/engine-world.ts';
import {
  createWorld,
  type Daemon,
  enqueueRun,
  sql,
  startDaemon,
  testPipeline,
  testStep,
} from '../support/http-world.ts';

const eventsOf = async (test: TestDatabase, id: string): Promise<EventView[]> =>
  (await runEvents(test.db, 'default', id, { after: 0, limit: 200 })).items;

describe('the record of a run that waits in the queue', () => {
  const docs = testPipeline('docs');
  const maria = { 'cronwright-actor': 'maria' };
  let test: TestDatabase;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    daemon = await startDaemon(await createWorld(test.db, [docs]));
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });

  it('has who gave it another priority and why, also in bulk', async () => {
    const { id } = await enqueueRun(test.db, docs);
    const change = { priority: 2, reason: 'the press waits' };
    expect(await daemon.post(`/runs/${id}/priority`, change, maria)).toMatchObject({ status: 200 });
    const bulk = { action: 'priority', filter: { ids: [id] }, priority: 3, reason: 'not so urgent' };
    expect(await daemon.post('/runs/bulk', bulk, maria)).toMatchObject({ status: 200, body: { done: 1 } });
    expect((await eventsOf(test, id)).slice(1)).toMatchObject([
      { event: 'run.prioritized', actor: 'maria', reason: 'the press waits', data: { priority: 2 } },
      { event: 'run.prioritized', actor: 'maria', reason: 'not so urgent', data: { priority: 3 } },
    ]);
  });
});

describe('a run that is enqueued under a pause', () => {
  const docs = testPipeline('docs');
  let test: TestDatabase;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    daemon = await startDaemon(await createWorld(test.db, [docs]));
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });

  it('begins paused in its events, by whom and why, and goes on from there', async () => {
    await daemon.post('/pipelines/docs/pause', { reason: 'a bad release' }, { 'cronwright-actor': 'maria' });
    const { id } = await enqueueRun(test.db, docs);
    expect(await eventsOf(test, id)).toMatchObject([
      { event: 'run.enqueued', to: 'paused', data: { paused: { by: 'maria', reason: 'a bad release' } } },
    ]);
    await daemon.post('/pipelines/docs/resume', {});
    expect(await eventsOf(test, id)).toMatchObject([
      { event: 'run.enqueued', to: 'paused' },
      { event: 'run.resumed', from: 'paused', to: 'pending' },
    ]);
  });
});

describe('a run that waits', () => {
  const docs = testPipeline('docs');
  let test: TestDatabase;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    daemon = await startDaemon(await createWorld(test.db, [docs]));
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });

  it('is not paused where it waits for people, and says why; where it waits for its children it is', async () => {
    const waitingFor = async (kind: string) => {
      const { id } = await enqueueRun(test.db, docs);
      await sql(test.db, `update cronwright.queue set state = 'waiting', wait_kind = $2, token = 1 where run_id = $1`, [
        id,
        kind,
      ]);
      return daemon.post<{ detail: string }>(`/runs/${id}/pause`, {});
    };
    const refused = await waitingFor('approval');
    expect(refused).toMatchObject({ status: 409, body: { state: 'waiting', requested: 'paused' } });
    expect(refused.body.detail).toContain('nothing of it runs, and what it waits for goes on');
    expect(await waitingFor('children')).toMatchObject({ status: 202, body: { state: 'pending', requested: 'pause' } });
  });
});

describe('the record of a run that is at work', () => {
  const step = (id: string, needs: string[] = []) => testStep(id, needs, { uses: 'test.undo' });
  const line = testPipeline('line', { version: 'line-1', steps: [step('a'), step('b', ['a'])] });
  let test: TestDatabase;
  let world: EngineWorld;
  let script: Script;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    script = createScript();
    world = await startEngineWorld({ db: test.db, script, pipelines: [line] });
  });
  afterAll(async () => {
    await world.stop();
    await test.close();
  });
  beforeEach(() => {
    Object.assign(script, createScript());
  });

  const by = (actor: string, id: string, reason?: string) => ({ tenant: 'default', actor, id, reason });
  const namesOf = (events: readonly EventView[]) => events.map((one) => one.event);

  /** Until the node has beaten twice: it knows then what was asked, or asked no more. */
  async function heard(): Promise<void> {
    const beat = async () =>
      (
        await sql<{ beat: number }>(test.db, 'select beat from cronwright.nodes where id = $1', [world.engine.node.id])
      )[0]?.beat ?? 0;
    const before = await beat();
    await eventually(async () => expect(await beat()).toBeGreaterThan(before + 1));
  }

  it('has a pause that was withdrawn before it was obeyed: who asked, and who withdrew it', async () => {
    const at = gate(script, 'a');
    const id = await world.start('line');
    await at.entered;
    await pauseRun(world.engine.control, by('ann', id, 'hold'));
    await heard();
    await resumeRun(world.engine.control, by('bob', id, 'no need'));
    await heard();
    at.open();
    await world.reached(id, ['completed']);
    const events = await eventsOf(test, id);
    expect(events.filter((one) => one.event.startsWith('run.pause'))).toMatchObject([
      { event: 'run.pause_requested', actor: 'ann', reason: 'hold', from: null, to: null },
      { event: 'run.pause_withdrawn', actor: 'bob', reason: 'no need', from: null, to: null },
    ]);
    expect(events.map((one) => one.seq)).toEqual(events.map((_, i) => i + 1));
  });

  it('has a cancel when it was asked for, once, and then what came of it', async () => {
    const at = gate(script, 'a');
    const id = await world.start('line');
    await at.entered;
    await cancelRun(world.engine.control, by('ann', id, 'wrong day'));
    await world.reached(id, ['cancelled']);
    const events = await eventsOf(test, id);
    expect(namesOf(events).filter((name) => name.startsWith('run.cancel'))).toEqual([
      'run.cancel_requested',
      'run.cancelled',
    ]);
    expect(events.find((one) => one.event === 'run.cancel_requested')).toMatchObject({
      actor: 'ann',
      reason: 'wrong day',
    });
  });

  it('has who rolled it back to a step, and why, also where it is paused there', async () => {
    const at = gate(script, 'b');
    const id = await world.start('line');
    await at.entered;
    await rollbackRun(
      createRunStarter(world.engine.control),
      id,
      { to: 'a', reason: 'a bad page' },
      { tenant: 'default', actor: 'ann', origin: 'api' },
    );
    await world.reached(id, ['paused']);
    const events = await eventsOf(test, id);
    const told = ['run.rollback_requested', 'run.rolling_back', 'run.paused'];
    expect(events.filter((one) => told.includes(one.event))).toMatchObject(
      told.map((event) => ({ event, actor: 'ann', reason: 'a bad page' })),
    );
    await cancelRun(world.engine.control, by('ann', id));
  });
});
