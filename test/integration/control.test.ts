import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { cancelRun } from '../../src/control/cancel-run.ts';
import type { ControlContext } from '../../src/control/control-context.ts';
import { pauseRun } from '../../src/control/pause-run.ts';
import { pauseSchedule } from '../../src/control/pause-schedule.ts';
import { resumeRun } from '../../src/control/resume-run.ts';
import { resumeSchedule } from '../../src/control/resume-schedule.ts';
import { retryRun } from '../../src/control/retry-run.ts';
import { setPriority } from '../../src/control/set-priority.ts';
import { type Caller, createRunStarter, type RunStarter } from '../../src/control/start-run.ts';
import { startRuns } from '../../src/control/start-runs.ts';
import { triggerSchedule } from '../../src/control/trigger-schedule.ts';
import type { Database } from '../../src/db/database.ts';
import type { ScheduleDefinition } from '../../src/domain/schedule.ts';
import { claimRuns } from '../../src/queue/claim-runs.ts';
import { setLimits } from '../../src/queue/set-limits.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { createWorld, enqueueRun, sql, testPipeline, testSchedule, type World } from '../support/http-world.ts';

const nightly = testSchedule('docs', 'nightly', { cron: '0 * * * *', inputs: { remote: 'origin' } });
const workdays = testSchedule('docs', 'workdays', {
  cron: '0 12 * * *',
  overlap: 'queue',
  calendar: { excludeWeekdays: [0, 6] },
});
const freely = testSchedule('docs', 'freely', { cron: '0 12 * * *', overlap: 'allow' });
const replacing = testSchedule('docs', 'replacing', { cron: '0 12 * * *', overlap: 'cancel_previous' });
const docs = testPipeline('docs', {
  inputs: { remote: { type: 'string', required: false, default: '.' } },
  schedules: [nightly, workdays, freely, replacing],
});
const narrow = testPipeline('narrow', { concurrency: { limit: 1 } });
const caller: Caller = { tenant: 'default', actor: 'maria', origin: 'api' };

describe.each(databaseVariants)('verbs on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;
  let world: World;
  let starter: RunStarter;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, variant.isolation ? { isolation: variant.isolation } : {});
    db = test.db;
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    for (const table of [
      'queue',
      'runs',
      'history',
      'slots',
      'step_runs',
      'schedules',
      'occurrences',
      'idempotency_keys',
    ]) {
      await sql(db, `delete from cronwright.${table}`);
    }
    world = await createWorld(db, [docs, narrow]);
    starter = createRunStarter(world.control);
  });

  /** Every transaction is committed and its answer lost, so that what may be repeated is repeated. */
  const lossy = (): ControlContext => ({
    ...world.control,
    db: {
      ...db,
      query: db.query.bind(db),
      async transaction(work, options) {
        if (options?.idempotent) await db.transaction(work, options);
        return db.transaction(work, options);
      },
    },
  });

  const holders = () => sql(db, "select run_id from cronwright.slots where key = 'pipeline:narrow'");

  it('pauses, resumes and changes the priority once where the answers to the commits were lost', async () => {
    await setLimits(db, [{ tenant: 'default', key: 'pipeline:narrow', limit: 1 }]);
    const first = await starter.start('narrow', {}, caller);
    await expect.poll(holders).toEqual([{ run_id: first.id }]);
    const second = await starter.start('narrow', {}, caller);
    const told: string[] = [];
    for (const name of ['run.paused', 'run.resumed', 'run.prioritized'] as const) {
      world.control.events.on(name, () => told.push(name));
    }
    const of = { tenant: 'default', id: first.id, actor: 'maria' };
    expect(await pauseRun(lossy(), of)).toMatchObject({ state: 'paused' });
    await expect.poll(holders).toEqual([{ run_id: second.id }]);
    expect(await setPriority(lossy(), { ...of, priority: 1 })).toMatchObject({ priority: 1 });
    expect(await resumeRun(lossy(), of)).toMatchObject({ state: 'pending' });
    expect(told).toEqual(['run.paused', 'run.prioritized', 'run.resumed']);
  });

  async function addSchedule(definition: ScheduleDefinition, cursorAt: string): Promise<void> {
    await sql(
      db,
      `insert into cronwright.schedules (tenant, id, pipeline, definition, enabled, cursor_at, next_at, version, created_at, updated_at)
      values ('default', $1, $2, $3::jsonb, true, $4, now(), 7, now(), now())`,
      [definition.id, definition.pipeline, JSON.stringify(definition), new Date(cursorAt)],
    );
  }

  async function stateOf(id: string): Promise<string | null> {
    const [row] = await sql<{ state: string | null }>(
      db,
      'select coalesce(r.state, q.state) as state from cronwright.runs r left join cronwright.queue q on q.run_id = r.id where r.id = $1',
      [id],
    );
    return row?.state ?? null;
  }

  async function force(id: string, state: string): Promise<void> {
    await sql(db, 'update cronwright.queue set state = $2 where run_id = $1', [id, state]);
  }

  describe('start', () => {
    it('makes a run durable with inputs completed, actor and origin', async () => {
      const started = await starter.start('docs', { priority: 2 }, caller);
      const [row] = await sql(db, 'select inputs, actor, origin, priority from cronwright.runs where id = $1', [
        started.id,
      ]);
      expect(row).toEqual({ inputs: { remote: '.' }, actor: 'maria', origin: 'api', priority: 2 });
      expect(world.heard).toContain('run.enqueued');
      expect(world.woken.workers).toBeGreaterThan(0);
    });

    it('keeps a run for later as scheduled', async () => {
      const started = await starter.start('docs', { runAt: new Date(Date.now() + 3_600_000) }, caller);
      expect(started.state).toBe('scheduled');
      expect(await stateOf(started.id)).toBe('scheduled');
    });

    it('writes what many callers start at once in few statements, and answers each with its own id', async () => {
      const before = world.heard.length;
      const started = await Promise.all(Array.from({ length: 300 }, () => starter.start('docs', {}, caller)));
      expect(new Set(started.map((one) => one.id)).size).toBe(300);
      const [row] = await sql<{ n: number }>(db, 'select count(*) as n from cronwright.queue');
      expect(row?.n).toBe(300);
      expect(world.heard.length - before).toBe(300);
    });

    it('fails only the run that the database refuses, not those that came with it', async () => {
      const results = await Promise.allSettled([
        starter.start('docs', { inputs: { remote: 'good' } }, caller),
        starter.start('docs', { inputs: { remote: 'bad \u0000' } }, caller),
        starter.start('docs', { inputs: { remote: 'good too' } }, caller),
      ]);
      expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    });

    it('gives a run its slot, and blocks the next one', async () => {
      await sql(db, "insert into cronwright.slots values ('default', 'pipeline:narrow', 1, null, false)");
      const first = await starter.start('narrow', {}, caller);
      await expect.poll(() => blockedOn(first.id)).toBe(null);
      const second = await starter.start('narrow', {}, caller);
      expect(await blockedOn(second.id)).toBe('pipeline:narrow');
    });

    it('answers a repeated key with the first answer and starts one run', async () => {
      const keyed = { ...caller, idempotencyKey: 'order-1' };
      const answers = await Promise.all([1, 2, 3, 4].map(() => starter.start('docs', { priority: 3 }, keyed)));
      answers.push(await starter.start('docs', { priority: 3 }, keyed));
      expect(new Set(answers.map((one) => one.id)).size).toBe(1);
      const [row] = await sql<{ n: number }>(db, 'select count(*) as n from cronwright.runs');
      expect(row?.n).toBe(1);
    });

    it('refuses a key that came with another request', async () => {
      const keyed = { ...caller, idempotencyKey: 'order-2' };
      await starter.start('docs', { priority: 3 }, keyed);
      await expect(starter.start('docs', { priority: 4 }, keyed)).rejects.toMatchObject({ code: 'conflict' });
      await expect(startRuns(starter, 'docs', [{ priority: 3 }], keyed)).rejects.toMatchObject({ code: 'conflict' });
    });

    it('refuses runs above the limit of live runs, and starts none of a batch that would pass it', async () => {
      const small = createRunStarter({ ...world.control, liveRunsPerTenant: 3 });
      await small.start('docs', {}, caller);
      await expect(startRuns(small, 'docs', [{}, {}, {}], caller)).rejects.toMatchObject({ code: 'limit_reached' });
      await startRuns(small, 'docs', [{}, {}], caller);
      await expect(small.start('docs', {}, caller)).rejects.toMatchObject({ code: 'limit_reached' });
      const [row] = await sql<{ n: number }>(db, 'select count(*) as n from cronwright.queue');
      expect(row?.n).toBe(3);
    });

    it('names every wrong run of a batch by its index', async () => {
      const batch = [{}, { inputs: { remote: 1 } }, { inputs: { other: 'x' } }];
      await expect(startRuns(starter, 'docs', batch, caller)).rejects.toMatchObject({
        problems: [{ path: 'runs[1].inputs.remote' }, { path: 'runs[2].inputs.other' }],
      });
    });

    async function blockedOn(id: string): Promise<string | null | undefined> {
      const [row] = await sql<{ blocked_on: string | null }>(
        db,
        'select blocked_on from cronwright.queue where run_id = $1',
        [id],
      );
      return row?.blocked_on;
    }
  });

  describe('cancel', () => {
    const cancel = (id: string) =>
      cancelRun(world.control, { tenant: 'default', id, actor: 'maria', reason: 'wrong day' });

    it.each(['pending', 'scheduled', 'waiting', 'retrying', 'paused'])('ends a %s run at once', async (state) => {
      const run = await enqueueRun(db, docs);
      await force(run.id, state);
      expect(await cancel(run.id)).toEqual({ id: run.id, state: 'cancelled', requested: null });
      const [row] = await sql(
        db,
        'select state, failure, finished_at is not null as ended, error from cronwright.runs where id = $1',
        [run.id],
      );
      expect(row).toMatchObject({ state: 'cancelled', failure: 'cancelled', ended: true });
      expect(row?.error).toMatchObject({ name: 'Cancelled', message: 'cancelled by maria: wrong day' });
      expect(await sql(db, 'select 1 from cronwright.queue where run_id = $1', [run.id])).toEqual([]);
      const history = await sql<{ seq: number; transitions: unknown[] }>(
        db,
        'select seq, transitions from cronwright.history where run_id = $1',
        [run.id],
      );
      expect(history).toMatchObject([
        {
          seq: 2,
          transitions: [{ event: 'run.cancelled', from: state, to: 'cancelled', actor: 'maria', reason: 'wrong day' }],
        },
      ]);
    });

    it('is answered as done, and told once, where the answer to its commit was lost', async () => {
      await setLimits(db, [{ tenant: 'default', key: 'pipeline:narrow', limit: 1 }]);
      const first = await starter.start('narrow', {}, caller);
      // The slot is given after the answer: only a run that holds it has one to leave to the next.
      await expect.poll(holders).toEqual([{ run_id: first.id }]);
      const second = await starter.start('narrow', {}, caller);
      world.heard.length = 0;
      const answer = await cancelRun(lossy(), { tenant: 'default', id: first.id, actor: 'maria' });
      expect(answer).toEqual({ id: first.id, state: 'cancelled', requested: null });
      expect(world.heard).toEqual(['run.finished']);
      await expect.poll(holders).toEqual([{ run_id: second.id }]);
    });

    it('numbers its transition after those that are there', async () => {
      const run = await enqueueRun(db, docs);
      await sql(db, "insert into cronwright.history values ($1, 5, 'default', null, now(), '[{},{},{},{}]')", [run.id]);
      await force(run.id, 'waiting');
      await cancel(run.id);
      const rows = await sql(db, 'select seq from cronwright.history where run_id = $1 order by seq', [run.id]);
      expect(rows).toEqual([{ seq: 5 }, { seq: 6 }]);
    });

    it('asks the worker of a running run, again and again without harm', async () => {
      const run = await enqueueRun(db, docs);
      await claimRuns(db, { routes: ['default'], weight: 'light', limit: 1, node: randomUUID(), leaseMs: 30_000 });
      expect(await cancel(run.id)).toEqual({ id: run.id, state: 'running', requested: 'cancel' });
      expect(await cancel(run.id)).toMatchObject({ requested: 'cancel' });
      const [row] = await sql(
        db,
        'select state, request, request_by, request_reason from cronwright.queue where run_id = $1',
        [run.id],
      );
      expect(row).toEqual({ state: 'running', request: 'cancel', request_by: 'maria', request_reason: 'wrong day' });
      expect(world.woken.requests).toBe(2);
    });

    it('gives the slots of a cancelled run to the one that waits', async () => {
      await sql(db, "insert into cronwright.slots values ('default', 'pipeline:narrow', 1, null, false)");
      const first = await starter.start('narrow', {}, caller);
      const holder = () =>
        sql<{ run_id: string | null }>(db, "select run_id from cronwright.slots where key = 'pipeline:narrow'");
      await expect.poll(holder).toEqual([{ run_id: first.id }]);
      const second = await starter.start('narrow', {}, caller);
      await cancel(first.id);
      expect(await holder()).toEqual([{ run_id: second.id }]);
    });

    it('refuses a run that has ended, naming both states', async () => {
      const run = await enqueueRun(db, docs);
      await cancel(run.id);
      await expect(cancel(run.id)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(/is cancelled and cannot become cancelled/),
        details: { state: 'cancelled', requested: 'cancelled' },
      });
    });

    it('refuses a run that rolls back, and does not find one of another tenant', async () => {
      const run = await enqueueRun(db, docs);
      await force(run.id, 'rolling_back');
      await expect(cancel(run.id)).rejects.toMatchObject({ code: 'conflict' });
      const foreign = cancelRun(world.control, { tenant: 'other', id: run.id, actor: 'eve' });
      await expect(foreign).rejects.toMatchObject({ code: 'not_found' });
      await expect(cancel('nonsense')).rejects.toMatchObject({ code: 'not_found' });
    });

    it('lets exactly one of a claim and a cancel win', async () => {
      for (let round = 0; round < 10; round += 1) {
        const run = await enqueueRun(db, docs);
        const claim = claimRuns(db, {
          routes: ['default'],
          weight: 'light',
          limit: 1,
          node: randomUUID(),
          leaseMs: 30_000,
        });
        const [claimed, cancelled] = await Promise.all([claim, cancel(run.id)]);
        const taken = claimed.some((one) => one.runId === run.id);
        expect(cancelled.requested).toBe(taken ? 'cancel' : null);
        expect(await stateOf(run.id)).toBe(taken ? 'running' : 'cancelled');
      }
    });
  });

  describe('retry', () => {
    async function failedRun(steps: Record<string, string>, state = 'failed'): Promise<string> {
      const run = await enqueueRun(db, docs, {
        inputs: { remote: 'upstream' },
        priority: 3,
        schedule: { id: nightly.id, nominalAt: new Date('2026-01-01T02:00:00Z'), exclusive: true },
        origin: 'schedule',
      });
      await sql(db, 'delete from cronwright.queue where run_id = $1', [run.id]);
      await sql(db, "update cronwright.runs set state = $2, failure = nullif($2, 'completed') where id = $1", [
        run.id,
        state,
      ]);
      for (const [key, stepState] of Object.entries(steps)) {
        const [step, item = '-1'] = key.split(':');
        await sql(
          db,
          `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, rate_limited_ms)
          values ($1, $2, $3, 'default', $4, 1, 0, 4, '"kept"', 0)`,
          [run.id, step, Number(item), stepState],
        );
      }
      return run.id;
    }

    it('makes a run that takes over what was completed and keeps inputs, version, schedule and nominal time', async () => {
      const id = await failedRun({ fetch: 'completed', build: 'failed', publish: 'skipped' });
      const retried = await retryRun(starter, id, caller);
      expect(retried).toMatchObject({ parent_id: id, state: 'pending', kept_steps: ['fetch'] });
      const [row] = await sql(
        db,
        'select origin, parent_id, inputs, priority, schedule, nominal_at, actor from cronwright.runs where id = $1',
        [retried.id],
      );
      expect(row).toEqual({
        origin: 'retry',
        parent_id: id,
        inputs: { remote: 'upstream' },
        priority: 3,
        schedule: nightly.id,
        nominal_at: new Date('2026-01-01T02:00:00Z'),
        actor: 'maria',
      });
      const steps = await sql(
        db,
        'select step, item, state, token, output from cronwright.step_runs where run_id = $1',
        [retried.id],
      );
      expect(steps).toEqual([{ step: 'fetch', item: -1, state: 'completed', token: 0, output: 'kept' }]);
    });

    it('takes over the completed items of a step that failed, and a step that was skipped by its own condition', async () => {
      const id = await failedRun({ fetch: 'skipped', build: 'failed', 'build:0': 'completed', 'build:1': 'failed' });
      const retried = await retryRun(starter, id, caller);
      const steps = await sql(
        db,
        'select step, item, state from cronwright.step_runs where run_id = $1 order by step, item',
        [retried.id],
      );
      expect(steps).toEqual([
        { step: 'build', item: 0, state: 'completed' },
        { step: 'fetch', item: -1, state: 'skipped' },
      ]);
    });

    it.each(['cancelled', 'dead_letter', 'rolled_back'])('retries a %s run', async (state) => {
      const id = await failedRun({ fetch: 'completed' }, state);
      expect(await retryRun(starter, id, caller)).toMatchObject({ parent_id: id });
    });

    it('makes one retry of a run, also of requests at once, and another only where it is forced', async () => {
      const id = await failedRun({ fetch: 'completed' });
      const answers = await Promise.allSettled([1, 2, 3].map(() => retryRun(starter, id, caller)));
      const made = answers.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      expect(made).toHaveLength(1);
      await expect(retryRun(starter, id, caller)).rejects.toMatchObject({
        code: 'conflict',
        message: `run "${id}" was retried already: its retry "${made[0]?.id}" is pending`,
        details: { state: 'failed', requested: 'retry', retried_by: made[0]?.id, retry_state: 'pending' },
      });
      const forced = await retryRun(starter, id, caller, { force: true });
      expect(forced).toMatchObject({ parent_id: id, kept_steps: ['fetch'] });
    });

    it('refuses completed and live runs, naming the state', async () => {
      const completed = await failedRun({}, 'completed');
      await expect(retryRun(starter, completed, caller)).rejects.toMatchObject({
        code: 'conflict',
        details: { state: 'completed', requested: 'retry' },
      });
      const live = await enqueueRun(db, docs);
      await expect(retryRun(starter, live.id, caller)).rejects.toMatchObject({
        code: 'conflict',
        details: { state: 'pending' },
      });
    });
  });

  describe('schedules', () => {
    const schedule = { tenant: 'default', id: nightly.id, actor: 'maria' };

    it('pauses with reason, actor and end, and raises the version', async () => {
      await addSchedule(nightly, '2026-01-01T00:00:00Z');
      const until = new Date(Date.now() + 3_600_000);
      await pauseSchedule(world.control, { ...schedule, reason: 'moving house', until });
      const [row] = await sql(
        db,
        'select paused_at is not null as paused, paused_until, paused_by, paused_reason, version from cronwright.schedules',
      );
      expect(row).toEqual({
        paused: true,
        paused_until: until,
        paused_by: 'maria',
        paused_reason: 'moving house',
        version: 8,
      });
      expect(world.woken.scheduler).toBe(1);
    });

    it('refuses an end that has passed and a schedule that is not there', async () => {
      await addSchedule(nightly, '2026-01-01T00:00:00Z');
      await expect(pauseSchedule(world.control, { ...schedule, until: new Date(0) })).rejects.toMatchObject({
        code: 'invalid_input',
      });
      await expect(pauseSchedule(world.control, { ...schedule, id: 'docs.none' })).rejects.toMatchObject({
        code: 'not_found',
      });
    });

    const hour = 3_600_000;
    const lastHour = () => Math.floor(Date.now() / hour) * hour;

    /** Paused since its cursor: nothing is owed from before. */
    async function pauseSinceCursor(id: string): Promise<void> {
      await pauseSchedule(world.control, { ...schedule, id });
      await sql(db, "update cronwright.schedules set paused_at = cursor_at + interval '1 second' where id = $1", [id]);
    }

    it('resumes with the next time, and records what was passed over as one range', async () => {
      const last = lastHour();
      await addSchedule(nightly, new Date(last - 5 * hour).toISOString());
      await pauseSinceCursor(nightly.id);
      expect(await resumeSchedule(world.control, schedule)).toEqual({ skipped: 5 });
      expect(await sql(db, 'select outcome, first_at, last_at, count, reason from cronwright.occurrences')).toEqual([
        {
          outcome: 'skipped_paused',
          first_at: new Date(last - 4 * hour),
          last_at: new Date(last),
          count: 5,
          reason: 'the schedule was paused; resumed by maria',
        },
      ]);
      expect(await sql(db, 'select cursor_at, next_at, paused_at, version from cronwright.schedules')).toEqual([
        { cursor_at: new Date(last), next_at: new Date(last + hour), paused_at: null, version: 9 },
      ]);
      expect(world.heard).toContain('schedule.skipped');
      await expect(resumeSchedule(world.control, schedule)).rejects.toMatchObject({ code: 'conflict' });
    });

    it('leaves to the scheduler what was owed before the pause', async () => {
      const cursor = new Date(lastHour() - 5 * hour);
      await addSchedule(nightly, cursor.toISOString());
      await pauseSchedule(world.control, schedule);
      await resumeSchedule(world.control, schedule);
      expect(await sql(db, 'select * from cronwright.occurrences')).toEqual([]);
      const [row] = await sql<{ cursor_at: Date; ended: boolean; due: boolean }>(
        db,
        'select cursor_at, paused_until <= now() as ended, next_at <= now() as due from cronwright.schedules',
      );
      expect(row).toEqual({ cursor_at: cursor, ended: true, due: true });
    });

    it('resumes a schedule that cannot be read, so that the scheduler can say what is wrong', async () => {
      await addSchedule({ ...nightly, cron: 'nonsense' }, '2026-01-01T00:00:00Z');
      await pauseSchedule(world.control, schedule);
      expect(await resumeSchedule(world.control, schedule)).toEqual({ skipped: 0 });
      const [row] = await sql(db, 'select next_at <= now() as due from cronwright.schedules');
      expect(row).toEqual({ due: true });
    });

    it('counts paused days as paused, also those its calendar leaves out', async () => {
      await addSchedule(workdays, new Date(Date.now() - 14 * 24 * hour).toISOString());
      await pauseSinceCursor(workdays.id);
      expect(await resumeSchedule(world.control, { ...schedule, id: workdays.id })).toEqual({ skipped: 14 });
      const rows = await sql<{ outcome: string; count: number }>(
        db,
        'select outcome, count from cronwright.occurrences',
      );
      expect(rows).toEqual([{ outcome: 'skipped_paused', count: 14 }]);
    });

    it('starts a run with the inputs of the schedule, holding its slot', async () => {
      await addSchedule(nightly, '2026-01-01T00:00:00Z');
      const run = await triggerSchedule(starter, { id: nightly.id, force: false }, caller);
      const [row] = await sql(
        db,
        'select r.inputs, r.schedule, r.nominal_at, q.limits, q.blocked_on from cronwright.runs r join cronwright.queue q on q.run_id = r.id where r.id = $1',
        [run.id],
      );
      expect(row).toEqual({
        inputs: { remote: 'origin' },
        schedule: nightly.id,
        nominal_at: null,
        limits: ['schedule:docs.nightly'],
        blocked_on: null,
      });
    });

    it('obeys overlap skip unless forced', async () => {
      await addSchedule(nightly, '2026-01-01T00:00:00Z');
      const first = await triggerSchedule(starter, { id: nightly.id, force: false }, caller);
      await expect(triggerSchedule(starter, { id: nightly.id, force: false }, caller)).rejects.toMatchObject({
        code: 'conflict',
        details: { run_id: first.id, overlap: 'skip' },
      });
      const forced = await triggerSchedule(starter, { id: nightly.id, force: true }, caller);
      expect(await stateOf(forced.id)).toBe('pending');
      const [row] = await sql(db, 'select blocked_on from cronwright.queue where run_id = $1', [forced.id]);
      expect(row).toEqual({ blocked_on: null });
    });

    it('starts one of many triggers at once where overlap is skip', async () => {
      await addSchedule(nightly, '2026-01-01T00:00:00Z');
      const results = await Promise.allSettled(
        [1, 2, 3, 4, 5].map(() => triggerSchedule(starter, { id: nightly.id, force: false }, caller)),
      );
      expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    });

    it('lets one run wait where overlap is queue, any number where it is allow', async () => {
      await addSchedule(workdays, '2026-01-01T00:00:00Z');
      await addSchedule(freely, '2026-01-01T00:00:00Z');
      await triggerSchedule(starter, { id: workdays.id, force: false }, caller);
      await triggerSchedule(starter, { id: workdays.id, force: false }, caller);
      await expect(triggerSchedule(starter, { id: workdays.id, force: false }, caller)).rejects.toMatchObject({
        code: 'conflict',
      });
      for (let i = 0; i < 3; i += 1) await triggerSchedule(starter, { id: freely.id, force: false }, caller);
    });

    it('cancels what is live where overlap is cancel_previous', async () => {
      await addSchedule(replacing, '2026-01-01T00:00:00Z');
      const first = await triggerSchedule(starter, { id: replacing.id, force: false }, caller);
      const second = await triggerSchedule(starter, { id: replacing.id, force: false }, caller);
      expect(await stateOf(first.id)).toBe('cancelled');
      const [row] = await sql(db, 'select blocked_on from cronwright.queue where run_id = $1', [second.id]);
      expect(row).toEqual({ blocked_on: null });
    });
  });
});
