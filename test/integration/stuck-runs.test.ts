// Runs that make no progress are told of, once a claim, and nothing is done to them.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { settingDefaults } from '../../src/config/defaults.ts';
import { createStuckWatch } from '../../src/maintenance/stuck-watch.ts';
import { createEventBus, type Events } from '../../src/observe/events.ts';
import { getRun } from '../../src/reads/get-run.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/engine-world.ts';
import { createWorld, enqueueRun, sql, testPipeline } from '../support/http-world.ts';

const node = '0193a9e0-0000-7000-8000-000000000001';
const other = '0193a9e0-0000-7000-8000-000000000002';
const docs = testPipeline('docs');

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase('pglite');
  await createWorld(test.db, [docs]);
});
afterAll(() => test.close());

/** A run at work on a node, whose last progress was so many seconds ago; null: it never told of any. */
async function runAt(where: string, startedAgo: number, progressAgo: number | null): Promise<string> {
  const { id } = await enqueueRun(test.db, docs);
  await sql(
    test.db,
    `update cronwright.queue set state = 'running', node = $2, token = 1, step = 'build',
      started_at = now() - $3::int8 * interval '1 second', progress_at = now() - $4::int8 * interval '1 second'
    where run_id = $1`,
    [id, where, startedAgo, progressAgo],
  );
  return id;
}

it('a run without progress for its time is told of once a claim, and goes on', async () => {
  const ages = { moved: await runAt(node, 3_000, -3_600), elsewhere: await runAt(other, 3_000, 3_000) };
  const stuck = await runAt(node, 3_000, 601);
  const silent = await runAt(node, 601, null);
  const told: Events['run.stuck'][] = [];
  const events = createEventBus();
  events.on('run.stuck', (event) => told.push(event));
  const toldOf = () => told.map(({ runId }) => runId).sort();
  const service = createStuckWatch({ db: test.db, events, node, stuckMs: 40 });
  await service.start();
  try {
    await eventually(async () => expect(toldOf()).toEqual([stuck, silent].sort()));
    expect(told.find(({ runId }) => runId === stuck)).toMatchObject({
      ...{ tenant: 'default', pipeline: 'docs', step: 'build' },
      forMs: expect.toSatisfy((ms: number) => ms >= 601_000 && ms < 700_000),
    });
    await sql(test.db, 'update cronwright.queue set token = 2 where run_id = $1', [silent]);
    await eventually(async () => expect(toldOf()).toEqual([stuck, silent, silent].sort()));
    expect((await getRun(test.db, 'default', stuck)).state).toBe('running');
    expect(toldOf()).not.toContain(ages.moved);
    expect(toldOf()).not.toContain(ages.elsewhere);
  } finally {
    await service.stop();
  }
});

it('ten minutes are its time where nobody says otherwise', () => {
  expect(settingDefaults['timing.stuck'].value).toBe('10m');
});
