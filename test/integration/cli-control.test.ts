import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createWorld, type Daemon, enqueueRun, sql, startDaemon, testPipeline } from '../support/http-world.ts';
import { cronwright } from '../unit/cli/memory-context.ts';

const docs = testPipeline('docs');
const site = testPipeline('site');

describe('commands that control runs', () => {
  let test: TestDatabase;
  let db: Database;
  let daemon: Daemon;

  beforeAll(async () => {
    test = await createTestDatabase('postgres');
    db = test.db;
    daemon = await startDaemon(await createWorld(db, [docs, site]));
  });
  afterAll(async () => {
    await daemon.stop();
    await test.close();
  });
  beforeEach(async () => {
    for (const table of ['queue', 'runs', 'history', 'pauses']) await sql(db, `delete from cronwright.${table}`);
  });

  const run = (args: string[], confirm?: (question: string) => boolean) =>
    cronwright([...args, '--url', daemon.url], {
      env: { USER: 'maria' },
      now: new Date().toISOString(),
      ...(confirm ? { confirm } : {}),
    });
  const stateOf = async (id: string) =>
    (await sql<{ state: string }>(db, 'select state from cronwright.queue where run_id = $1', [id]))[0]?.state;

  it('pause and resume a run by the end of its id, and say how it stands', async () => {
    const { id } = await enqueueRun(db, docs);
    expect(await run(['pause', id.slice(-8), '--reason', 'a look'])).toMatchObject({
      code: 0,
      out: `${id}: paused.\n`,
    });
    expect(await stateOf(id)).toBe('paused');
    expect(await run(['resume', 'last'])).toMatchObject({ code: 0, out: `${id}: pending.\n` });
    expect((await run(['resume', id, '--json'])).code).toBe(0);
    await sql(db, "update cronwright.queue set state = 'running', token = 1 where run_id = $1", [id]);
    expect((await run(['pause', id])).out).toContain('pause requested; it stops before its next step');
    expect((await run(['resume', id])).out).toContain('goes on running');
    const refused = await run(['resume', id]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('is running and cannot become pending')]);
  });

  it('mean by `last` the newest run that somebody or something started, not a child of it', async () => {
    const { id } = await enqueueRun(db, docs);
    await enqueueRun(db, docs, { origin: 'parent', parentId: id });
    expect(await run(['pause', 'last'])).toMatchObject({ code: 0, out: `${id}: paused.\n` });
  });

  it('pause and resume a pipeline and the tenant, and show it in the queue', async () => {
    await enqueueRun(db, docs);
    const paused = await run(['pause', '--pipeline', 'docs', '--reason', 'a bad release', '--until', '2h']);
    expect(paused.out).toMatch(
      /^pipeline docs: paused until .* \(in 2 h\)\. 1 run is held, 0 at work stop at their next step/,
    );
    expect((await run(['pause', '--all'])).out).toContain('tenant default: paused until it is resumed');
    const queue = (await run(['queue'])).out;
    expect(queue).toMatch(/paused +tenant default, by maria$/m);
    expect(queue).toMatch(/paused +pipeline docs, by maria, until .*: a bad release$/m);
    expect((await run(['resume', '--pipeline', 'docs'])).out).toBe('pipeline docs: resumed; 0 runs go on.\n');
    expect((await run(['resume', '--all'])).out).toBe('tenant default: resumed; 1 run goes on.\n');
    expect(await run(['resume', '--all'])).toMatchObject({ code: 1 });
    expect((await run(['pause', '--pipeline', 'nobody'])).code).toBe(1);
  });

  it('priority changes the place of one run, or of many', async () => {
    const { id } = await enqueueRun(db, docs);
    expect((await run(['priority', id, '1'])).out).toBe(`${id}: priority 1.\n`);
    expect((await run(['priority', '3', '--where', 'pipeline=docs', '--yes'])).out).toBe('priority: 1 done\n');
    const [row] = await sql<{ priority: number }>(db, 'select priority from cronwright.queue');
    expect(row?.priority).toBe(3);
    expect((await run(['priority', id, '11'])).code).toBe(2);
    expect((await run(['priority', id])).code).toBe(2);
  });

  it('acts on many runs only after a yes', async () => {
    const ids = [await enqueueRun(db, docs), await enqueueRun(db, docs), await enqueueRun(db, site)].map(
      (one) => one.id,
    );
    const asked: string[] = [];
    const answer = (yes: boolean) => (question: string) => {
      asked.push(question);
      return yes;
    };
    const where = ['--where', 'pipeline=docs,state=pending'];
    const shy = await run(['cancel', ...where], answer(false));
    expect([shy.code, asked]).toEqual([0, ['cancel: these 2 runs?']]);
    expect(shy.out).toContain(ids[0]);
    expect(shy.out).not.toContain(ids[2]);
    expect(shy.out).toMatch(/Nothing was done\.\n$/);
    expect(await stateOf(ids[0] ?? '')).toBe('pending');
    expect((await run(['pause', ...where], answer(true))).out).toMatch(/pause: 2 done\n$/);
    expect(await stateOf(ids[0] ?? '')).toBe('paused');
    // Nobody is there to be asked.
    const alone = await run(['cancel', '--where', 'pipeline=docs']);
    expect([alone.code, alone.err]).toEqual([2, expect.stringContaining('2 runs match: say --yes')]);
    expect((await run(['cancel', '--where', 'pipeline=site'])).err).toContain('1 run matches: say --yes');
    const preview = await run(['cancel', '--where', 'pipeline=docs', '--json'], answer(true));
    expect(preview.code).toBe(0);
    expect(JSON.parse(preview.out)).toMatchObject({ preview: true, count: 2, done: 0 });
    const done = await run(['cancel', '--where', 'pipeline=docs', '--yes', '--json']);
    expect(JSON.parse(done.out)).toMatchObject({ count: 2, done: 2, skipped: 0, failed: 0, next_cursor: null });
    expect((await run(['cancel', '--where', 'pipeline=docs', '--yes'])).out).toBe('No run matches.\n');
    expect((await run(['retry', '--where', 'state=cancelled', '--yes'])).out).toBe('retry: 2 done\n');
  });

  it.each([
    [['pause'], 'nothing is named'],
    [['pause', 'docs.nightly', '--all'], 'more than one is given'],
    [['pause', 'last', '--until', '2h'], '--until is for schedules'],
    [['cancel'], 'expected a run or --where'],
    [['cancel', 'last', '--where', 'state=failed'], 'both are given'],
    [['cancel', '--where', 'state=faled'], 'one of: scheduled, pending'],
    [['cancel', '--where', 'failed'], 'name=value'],
    [['cancel', '--where', 'colour=red'], 'a name of: state, pipeline'],
    [['cancel', '--where', 'pipeline=a,pipeline=b'], 'pipeline once'],
    [['cancel', '--where', 'from=yesterday'], 'an instant such as'],
  ])('%j is wrong usage', async (args, expected) => {
    const { code, err } = await run(args);
    expect([code, err]).toEqual([2, expect.stringContaining(expected)]);
  });
});
