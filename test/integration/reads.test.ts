import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Database } from '../../src/db/database.ts';
import type { NewRunOptions } from '../../src/domain/new-run.ts';
import type { RunState } from '../../src/domain/run.ts';
import { linearEta } from '../../src/domain/run-estimate.ts';
import { getRun } from '../../src/reads/get-run.ts';
import { listNodes } from '../../src/reads/list-nodes.ts';
import { describePipelines, listPipelines } from '../../src/reads/list-pipelines.ts';
import { listRuns, readStates } from '../../src/reads/list-runs.ts';
import { getSchedule, listSchedules } from '../../src/reads/list-schedules.ts';
import { nextFires } from '../../src/reads/next-fires.ts';
import { queueStatus } from '../../src/reads/queue-status.ts';
import { artifactContent, runArtifacts } from '../../src/reads/run-artifacts.ts';
import { runCheckpoints } from '../../src/reads/run-checkpoints.ts';
import { runEvents } from '../../src/reads/run-events.ts';
import { runLogs } from '../../src/reads/run-logs.ts';
import { runSteps } from '../../src/reads/run-steps.ts';
import { scheduleOccurrences } from '../../src/reads/schedule-occurrences.ts';
import { stats } from '../../src/reads/stats.ts';
import { appendLogs } from '../../src/store/append-logs.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { createWorld, enqueueRun, sql, testPipeline, testSchedule, testStep } from '../support/http-world.ts';

const hourly = testSchedule('docs', 'hourly', { cron: '0 * * * *', timezone: 'Europe/Berlin' });
const publish = testStep('publish', ['build'], { label: 'Generating prompts' });
const docs = testPipeline('docs', {
  schedules: [hourly],
  steps: [testStep('fetch'), testStep('build', ['fetch']), publish],
});
const backup = testPipeline('backup', { steps: [testStep('dump')], finally: [testStep('tidy')] });
const foreign = testPipeline('docs', { tenant: 'acme', version: 'fedcba9876543210' });

describe.each(databaseVariants)('questions on $name', (variant) => {
  let test: TestDatabase;
  let db: Database;

  beforeAll(async () => {
    test = await createTestDatabase(variant.kind, variant.isolation ? { isolation: variant.isolation } : {});
    db = test.db;
    await createWorld(db, [docs, backup, foreign]);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    const tables = [
      'queue',
      'runs',
      'history',
      'step_runs',
      'logs',
      'schedules',
      'occurrences',
      'artifacts',
      'artifact_chunks',
      'nodes',
    ];
    for (const table of tables) await sql(db, `delete from cronwright.${table}`);
  });

  /** A run in any state, as if workers had brought it there. */
  async function runIn(state: RunState, pipeline = docs, options: Partial<NewRunOptions> = {}): Promise<string> {
    const { id } = await enqueueRun(db, pipeline, options);
    if (state === 'pending') return id;
    if (['completed', 'failed', 'cancelled', 'rolled_back', 'dead_letter'].includes(state)) {
      await sql(db, 'delete from cronwright.queue where run_id = $1', [id]);
      await sql(
        db,
        `update cronwright.runs set state = $2, failure = nullif($2, 'completed'), started_at = now() - interval '10 seconds',
        finished_at = now(), progress = 40 where id = $1`,
        [id, state],
      );
    } else await sql(db, 'update cronwright.queue set state = $2 where run_id = $1', [id, state]);
    return id;
  }

  const ids = (page: { items: { id: string }[] }) => page.items.map((run) => run.id);
  const all = { tenant: 'default', limit: 50 };

  describe('which runs there are', () => {
    it('tells them newest first with the live state of those that live', async () => {
      const first = await runIn('completed');
      const second = await runIn('running');
      const third = await runIn('pending');
      const page = await listRuns(db, all);
      expect(page.items.map((run) => [run.id, run.state])).toEqual([
        [third, 'pending'],
        [second, 'running'],
        [first, 'completed'],
      ]);
      expect(page.next_cursor).toBe(null);
    });

    it('walks page by page without a gap or a double, whatever the states', async () => {
      const made: string[] = [];
      const states = ['completed', 'failed', 'pending', 'cancelled', 'running', 'dead_letter', 'waiting'] as const;
      for (let i = 0; i < 21; i += 1) made.unshift(await runIn(states[i % states.length] ?? 'pending'));
      for (const filter of [undefined, [...states]]) {
        const seen: string[] = [];
        let cursor: string | undefined;
        do {
          const page = await listRuns(db, { tenant: 'default', limit: 4, states: filter, cursor });
          seen.push(...ids(page));
          cursor = page.next_cursor ?? undefined;
        } while (cursor !== undefined);
        expect(seen).toEqual(made);
      }
    });

    it('filters by state, pipeline, schedule, origin and time', async () => {
      const failed = await runIn('failed');
      const dead = await runIn('dead_letter', backup);
      const running = await runIn('running', backup);
      const scheduled = await runIn('pending', docs, {
        origin: 'schedule',
        schedule: { id: hourly.id, nominalAt: new Date(), exclusive: false },
      });
      expect(ids(await listRuns(db, { ...all, states: ['failed', 'dead_letter'] }))).toEqual([dead, failed]);
      expect(ids(await listRuns(db, { ...all, states: ['failed', 'running'] }))).toEqual([running, failed]);
      expect(ids(await listRuns(db, { ...all, pipeline: 'backup' }))).toEqual([running, dead]);
      expect(ids(await listRuns(db, { ...all, pipeline: 'backup', states: ['dead_letter'] }))).toEqual([dead]);
      expect(ids(await listRuns(db, { ...all, schedule: hourly.id }))).toEqual([scheduled]);
      expect(ids(await listRuns(db, { ...all, origins: ['schedule'] }))).toEqual([scheduled]);
      const now = Date.now();
      expect(
        ids(await listRuns(db, { ...all, from: new Date(now - 600_000), to: new Date(now + 600_000) })),
      ).toHaveLength(4);
      expect(ids(await listRuns(db, { ...all, to: new Date(now - 600_000) }))).toEqual([]);
      expect(ids(await listRuns(db, { ...all, from: new Date(now + 600_000) }))).toEqual([]);
    });

    it('keeps tenants apart, and shows all where all are asked for', async () => {
      const own = await runIn('failed');
      const other = await runIn('failed', foreign);
      expect(ids(await listRuns(db, all))).toEqual([own]);
      expect(ids(await listRuns(db, { ...all, tenant: 'acme' }))).toEqual([other]);
      expect(ids(await listRuns(db, { ...all, tenant: null }))).toEqual([other, own]);
      expect(ids(await listRuns(db, { ...all, tenant: null, states: ['failed'] }))).toEqual([other, own]);
      await expect(getRun(db, 'default', other)).rejects.toMatchObject({ code: 'not_found' });
    });

    it('refuses a foreign cursor and an unknown state', async () => {
      await expect(listRuns(db, { ...all, cursor: 'x' })).rejects.toMatchObject({ code: 'invalid_input' });
      expect(() => readStates('running,done')).toThrow(/"done" is not a state/);
    });

    it('tells older names of the states', async () => {
      const names = async (state: RunState, change = '') => {
        const id = await runIn(state);
        if (change !== '') await sql(db, `update cronwright.queue set ${change} where run_id = $1`, [id]);
        const { legacy_state, legacy_phase } = await getRun(db, 'default', id);
        return [legacy_state, legacy_phase];
      };
      expect(await names('pending')).toEqual(['queued', 'IDLE']);
      expect(await names('scheduled')).toEqual(['queued', 'IDLE']);
      expect(await names('running')).toEqual(['processing', 'INITIALIZING']);
      expect(await names('running', "step = 'decomposing'")).toEqual(['processing', 'DECOMPOSING']);
      expect(await names('running', "step = 'publish'")).toEqual(['processing', 'GENERATING_PROMPTS']);
      expect(await names('waiting', "wait_kind = 'step_retry'")).toEqual(['error', 'WAITING']);
      expect(await names('waiting', "wait_kind = 'approval'")).toEqual(['waiting', 'WAITING']);
      expect(await names('waiting', "wait_kind = 'children', step = 'publish'")).toEqual([
        'processing',
        'GENERATING_PROMPTS',
      ]);
      expect(await names('cancelled')).toEqual(['aborted', 'FAILED']);
      expect(await names('completed')).toEqual(['completed', 'COMPLETED']);
    });
  });

  describe('one run', () => {
    it('tells progress, steps by state, error, lineage and a linear end', async () => {
      const parent = await runIn('failed');
      const id = await runIn('running', docs, { parentId: parent });
      await sql(
        db,
        "update cronwright.queue set progress = 25, started_at = now() - interval '60 seconds', message = 'half', step = 'build', progress_at = now() + interval '1 second' where run_id = $1",
        [id],
      );
      await addStep(id, 'fetch', -1, 'completed');
      await sql(db, 'update cronwright.step_runs set retries = 2 where run_id = $1', [id]);
      await addStep(id, 'build', -1, 'running');
      const run = await getRun(db, 'default', id);
      expect(run).toMatchObject({ state: 'running', progress: 25, message: 'half', step: 'build', parent_id: parent });
      expect(run.steps).toMatchObject({ total: 3, completed: 1, running: 1, pending: 1, failed: 0 });
      expect(run.retries).toBe(2);
      expect(run.updated_at.getTime()).toBeGreaterThan(run.created_at.getTime());
      const leftMs = (run.eta?.getTime() ?? 0) - Date.now();
      expect(leftMs).toBeGreaterThan(170_000);
      expect(leftMs).toBeLessThan(190_000);
      expect((await getRun(db, 'default', parent)).children).toEqual([id]);
    });

    it('has no end in sight at 0 %', () => {
      const now = new Date(60_000);
      expect(linearEta(new Date(0), 0, now)).toBe(null);
      expect(linearEta(null, 50, now)).toBe(null);
      expect(linearEta(new Date(0), 50, now)).toEqual(new Date(120_000));
    });

    it('lists every step of its version in order, begun or not, and counts items', async () => {
      const id = await runIn('running', backup);
      await addStep(id, 'dump', -1, 'running');
      await addStep(id, 'dump', 0, 'completed');
      await addStep(id, 'dump', 1, 'failed');
      const steps = await runSteps(db, 'default', id);
      expect(steps.map((step) => [step.step, step.kind, step.state])).toEqual([
        ['dump', 'step', 'running'],
        ['tidy', 'finally', 'pending'],
      ]);
      expect(steps[0]?.items).toEqual({ total: 2, completed: 1, failed: 1, skipped: 0 });
    });

    it('numbers what happened densely, beginning with the enqueue that nobody stored', async () => {
      const id = await runIn('running');
      const one = (event: string) => ({ event, at: Date.now() });
      await sql(
        db,
        "insert into cronwright.history values ($1, 3, 'default', null, now(), $2::jsonb), ($1, 4, 'default', null, now(), $3::jsonb)",
        [id, JSON.stringify([one('run.claimed'), one('step.started')]), JSON.stringify([one('step.completed')])],
      );
      const events = await runEvents(db, 'default', id, { after: 0, limit: 500 });
      expect(events.items.map((event) => [event.seq, event.event])).toEqual([
        [1, 'run.enqueued'],
        [2, 'run.claimed'],
        [3, 'step.started'],
        [4, 'step.completed'],
      ]);
      expect(events.items[0]).toMatchObject({ actor: 'tester', data: { origin: 'api' } });
      const rest = await runEvents(db, 'default', id, { after: 2, limit: 1 });
      expect(rest.items.map((event) => event.seq)).toEqual([3]);
      expect(rest.next_cursor).toBe('3');
      expect((await runEvents(db, 'default', id, { after: 4, limit: 10 })).items).toEqual([]);
    });

    it('pages through completed steps and items', async () => {
      const id = await runIn('failed');
      for (let item = -1; item < 5; item += 1) await addStep(id, 'build', item, item === 2 ? 'failed' : 'completed');
      await sql(db, 'update cronwright.step_runs set started_at = now() where run_id = $1', [id]);
      const first = await runCheckpoints(db, 'default', id, { limit: 3 });
      const rest = await runCheckpoints(db, 'default', id, { limit: 3, cursor: first.next_cursor ?? '' });
      const items = [...first.items, ...rest.items].map((one) => one.item);
      // All of one instant: the step itself comes first, and no page begins with what another had.
      expect(items).toEqual([null, 0, 1, 3, 4]);
      expect(rest.next_cursor).toBe(null);
    });

    it('lists checkpoints as they came about, page by page, whatever the names of the steps', async () => {
      const id = await runIn('failed');
      for (const step of ['zebra', 'yak', 'ant']) await addStep(id, step, -1, 'completed');
      for (const item of [0, 1]) await addStep(id, 'yak', item, 'completed');
      const order = ['zebra', 'yak:0', 'yak:1', 'yak', 'ant'];
      for (const [second, name] of order.entries()) {
        const [step, item = '-1'] = name.split(':');
        await sql(
          db,
          "update cronwright.step_runs set finished_at = timestamptz '2026-01-01T00:00:00.000123Z' + $4::int4 * interval '1 second' where run_id = $1 and step = $2 and item = $3",
          [id, step, Number(item), second],
        );
      }
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await runCheckpoints(db, 'default', id, { limit: 2, cursor });
        seen.push(...page.items.map(({ step, item }) => (item === null ? step : `${step}:${item}`)));
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      expect(seen).toEqual(order);
    });

    it('gives the bytes of an artifact back chunk by chunk', async () => {
      const id = await runIn('completed');
      const artifact = uuidv7();
      await sql(
        db,
        "insert into cronwright.artifacts values ($1, 'default', $2, 'build', -1, 'a.bin', 'application/pdf', 5, 'abc', now())",
        [artifact, id],
      );
      await sql(
        db,
        "insert into cronwright.artifact_chunks values ($1, 0, 'default', '\\x000102'), ($1, 1, 'default', '\\x0304')",
        [artifact],
      );
      expect((await runArtifacts(db, 'default', id, { limit: 10 })).items).toMatchObject([{ name: 'a.bin', size: 5 }]);
      const { chunks } = await artifactContent({ db, files: undefined }, 'default', id, artifact);
      const bytes: number[] = [];
      for await (const chunk of chunks) bytes.push(...chunk);
      expect(bytes).toEqual([0, 1, 2, 3, 4]);
      await expect(artifactContent({ db, files: undefined }, 'acme', id, artifact)).rejects.toMatchObject({
        code: 'not_found',
      });
    });

    async function addStep(id: string, step: string, item: number, state: string): Promise<void> {
      await sql(
        db,
        `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, started_at, rate_limited_ms)
        values ($1, $2, $3, 'default', $4, 1, 0, 1, now(), 0)`,
        [id, step, item, state],
      );
    }
  });

  describe('what a run said', () => {
    const said = (texts: string[], step = 'build') =>
      texts.map((text) => ({ at: 1_000, level: 'info' as const, stream: 'log' as const, step, text }));

    async function say(id: string, token: number, seq: number, texts: string[], step?: string): Promise<void> {
      await appendLogs(db, [{ runId: id, tenant: 'default', token, seq, lines: said(texts, step) }]);
    }

    it('comes in order of claim and chunk, whatever order it was written in', async () => {
      const id = await runIn('completed');
      await say(id, 2, 1, ['d']);
      await say(id, 1, 2, ['c']);
      await say(id, 1, 1, ['a', 'b']);
      const page = await runLogs(db, 'default', id, { limit: 100, follow: false });
      expect(page.items.map((line) => line.text)).toEqual(['a', 'b', 'c', 'd']);
      expect(page.items[0]).toMatchObject({ at: '1970-01-01T00:00:01.000Z', step: 'build', level: 'info' });
      expect(page.next_cursor).toBe(null);
    });

    it('is followed until the run has ended and all was read', async () => {
      const id = await runIn('running');
      await say(id, 1, 1, ['a']);
      const first = await runLogs(db, 'default', id, { limit: 100, follow: true });
      expect(first).toMatchObject({ items: [{ text: 'a' }], run_state: 'running' });
      const quiet = await runLogs(db, 'default', id, { limit: 100, follow: true, cursor: first.next_cursor ?? '' });
      expect(quiet.items).toEqual([]);
      await say(id, 1, 2, ['b']);
      await sql(db, 'delete from cronwright.queue where run_id = $1', [id]);
      await sql(db, "update cronwright.runs set state = 'completed' where id = $1", [id]);
      const last = await runLogs(db, 'default', id, { limit: 100, follow: true, cursor: quiet.next_cursor ?? '' });
      expect(last.items.map((line) => line.text)).toEqual(['b']);
      expect(last.next_cursor).toBe(null);
    });

    it('pages through hundreds of chunks without losing a line, and filters by step', async () => {
      const id = await runIn('completed');
      for (let seq = 1; seq <= 120; seq += 1) await say(id, 1, seq, [`${seq}`], seq % 3 === 0 ? 'odd' : 'build');
      const texts: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await runLogs(db, 'default', id, { limit: 7, follow: false, cursor });
        texts.push(...page.items.map((line) => line.text));
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      expect(texts).toEqual(Array.from({ length: 120 }, (_, i) => `${i + 1}`));
      const odd = await runLogs(db, 'default', id, { limit: 1_000, follow: false, step: 'odd' });
      expect(odd.items).toHaveLength(40);
      const tail = await runLogs(db, 'default', id, { limit: 1_000, follow: false, step: 'odd', tail: 3 });
      expect(tail.items.map((line) => line.text)).toEqual(['114', '117', '120']);
    });
  });

  describe('the whole', () => {
    it('counts the queue by state, queue and tenant, and tells waits', async () => {
      await runIn('pending');
      await runIn('running');
      await runIn('pending', foreign);
      const blocked = await runIn('pending');
      await sql(
        db,
        "update cronwright.queue set blocked_on = 'pipeline:docs', enqueued_at = now() - interval '90 seconds' where run_id = $1",
        [blocked],
      );
      const done = await runIn('completed');
      await sql(db, "update cronwright.runs set created_at = started_at - interval '4 seconds' where id = $1", [done]);
      const status = await queueStatus(db, null);
      expect(status).toMatchObject({
        depth: 4,
        ready: 2,
        blocked: 1,
        by_state: { pending: 3, running: 1 },
        by_queue: { default: { pending: 3, running: 1 } },
        by_tenant: { default: { pending: 2, running: 1 }, acme: { pending: 1 } },
      });
      expect(status.oldest_wait_ms).toBeGreaterThan(89_000);
      expect(status.average_wait_ms).toBeCloseTo(4_000, -1);
      expect((await queueStatus(db, 'acme')).depth).toBe(1);
    });

    it('tells of an empty queue', async () => {
      expect(await queueStatus(db, null)).toMatchObject({ depth: 0, oldest_wait_ms: null, average_wait_ms: null });
    });

    it('tells live nodes from silent and stopped ones, and what each carries', async () => {
      const [live, silent, stopped] = [uuidv7(), uuidv7(), uuidv7()];
      for (const [id, name, beat, end] of [
        [live, 'a', '0 seconds', null],
        [silent, 'b', '2 minutes', null],
        [stopped, 'c', '1 minute', new Date()],
      ]) {
        await sql(
          db,
          `insert into cronwright.nodes (id, name, version, started_at, beat, beat_at, workers, in_flight, stopped_at)
          values ($1, $2, '1', now(), 1, now() - $3::interval, 4, 500, $4)`,
          [id, name, beat, end],
        );
      }
      const run = await runIn('running');
      await sql(db, 'update cronwright.queue set node = $2 where run_id = $1', [run, live]);
      const nodes = await listNodes(db);
      expect(nodes.map((node) => [node.name, node.state, node.running_light])).toEqual([
        ['a', 'live', 1],
        ['b', 'silent', 0],
        ['c', 'stopped', 0],
      ]);
      const figures = await stats(db, null, new Date(Date.now() - 3_600_000));
      expect(figures.available_slots).toEqual({ heavy: 4, light: 499 });
    });

    it('sums up how runs ended', async () => {
      for (const state of ['completed', 'completed', 'completed', 'failed', 'cancelled', 'running', 'pending'] as const)
        await runIn(state);
      const figures = await stats(db, 'default', new Date(Date.now() - 3_600_000));
      expect(figures).toMatchObject({
        total: 7,
        completed: 3,
        failed: 1,
        cancelled: 1,
        live: 2,
        success_rate: 0.75,
        running: 1,
        queued: 1,
        capped: false,
      });
      expect(figures.average_duration_ms).toBeCloseTo(10_000, -1);
      expect((await stats(db, 'default', new Date(Date.now() + 3_600_000))).total).toBe(0);
    });

    it('describes pipelines with their newest run, by page', async () => {
      await runIn('completed');
      const newest = await runIn('running');
      const [view] = await describePipelines(db, [docs]);
      expect(view).toMatchObject({
        id: 'docs',
        live_runs: 1,
        last_run: { id: newest, state: 'running' },
        schedules: [hourly.id],
      });
      const page = await listPipelines(db, [docs, backup], { limit: 1 });
      expect(page).toMatchObject({ items: [{ id: 'backup', last_run: null }], next_cursor: 'backup' });
      expect((await listPipelines(db, [docs, backup], { limit: 1, cursor: 'backup' })).next_cursor).toBe(null);
    });
  });

  describe('schedules', () => {
    async function addSchedule(cursorAt: Date, change = ''): Promise<void> {
      await sql(
        db,
        `insert into cronwright.schedules (tenant, id, pipeline, definition, enabled, cursor_at, next_at, version, created_at, updated_at)
        values ('default', $1, 'docs', $2::jsonb, true, $3, $4, 1, now(), now())`,
        [hourly.id, JSON.stringify(hourly), cursorAt, new Date('2026-03-29T01:00:00Z')],
      );
      if (change !== '') await sql(db, `update cronwright.schedules set ${change}`);
    }

    it('tell their next time in their zone and in UTC, and what is wrong with them', async () => {
      await addSchedule(new Date('2026-03-29T00:30:00Z'));
      const { items } = await listSchedules(db, { tenant: 'default', limit: 10 });
      expect(items).toMatchObject([
        { id: hourly.id, state: 'active', next_local: '2026-03-29T03:00:00+02:00', paused: null, live_runs: 0 },
      ]);
      await sql(db, "update cronwright.schedules set error = 'no such zone'");
      expect(await getSchedule(db, 'default', hourly.id)).toMatchObject({ state: 'broken', error: 'no such zone' });
      await sql(db, "update cronwright.schedules set paused_at = '2026-03-29T00:40:00Z', paused_by = 'maria'");
      expect(await getSchedule(db, 'default', hourly.id)).toMatchObject({
        state: 'paused',
        next_at: null,
        paused: { by: 'maria' },
      });
      const until = (text: string) => sql(db, 'update cronwright.schedules set paused_until = $1', [new Date(text)]);
      await until('2099-03-29T12:30:00Z');
      const next = new Date('2099-03-29T13:00:00Z');
      expect(await getSchedule(db, 'default', hourly.id)).toMatchObject({ state: 'paused', next_at: next });
      await until('2026-03-29T12:30:00Z');
      expect(await getSchedule(db, 'default', hourly.id)).toMatchObject({ state: 'broken', paused: null });
      await sql(db, 'update cronwright.schedules set enabled = false');
      expect((await getSchedule(db, 'default', hourly.id)).state).toBe('disabled');
      await expect(getSchedule(db, 'acme', hourly.id)).rejects.toMatchObject({ code: 'not_found' });
    });

    it('fire on the wall clock of their zone, over a change of the clock', () => {
      const fires = nextFires({ ...hourly, cron: '30 2 * * *' }, new Date('2026-03-28T00:00:00Z'), 3);
      expect(fires.map((fire) => fire.local)).toEqual([
        '2026-03-28T02:30:00+01:00',
        '2026-03-29T03:00:00+02:00',
        '2026-03-30T02:30:00+02:00',
      ]);
    });

    it('account for every nominal time of a window, ranges over its edges included', async () => {
      const hour = 3_600_000;
      const start = Date.parse('2026-01-10T00:00:00Z');
      const at = (hours: number) => new Date(start + hours * hour);
      await addSchedule(at(20.5));
      // 0…3 missed, 4 run, 5…9 paused, 10…15 run, 16…20 skipped: 21 nominal times decided.
      const range = (outcome: string, first: number, last: number) =>
        sql(db, "insert into cronwright.occurrences values ($1, 'default', $2, $3, $4, $5, $6, 'why', now())", [
          uuidv7(),
          hourly.id,
          outcome,
          at(first),
          at(last),
          last - first + 1,
        ]);
      await range('missed', 0, 3);
      await range('skipped_paused', 5, 9);
      await range('skipped_overlap', 16, 20);
      for (const n of [4, 10, 11, 12, 13, 14, 15]) {
        await runIn('completed', docs, {
          origin: 'schedule',
          schedule: { id: hourly.id, nominalAt: at(n), exclusive: false },
        });
      }
      await runIn('pending', docs, {
        origin: 'retry',
        schedule: { id: hourly.id, nominalAt: at(4), exclusive: false },
      });
      const schedule = await getSchedule(db, 'default', hourly.id);
      const whole = await scheduleOccurrences(db, schedule, { from: at(0), to: at(24), limit: 100 });
      expect(whole.summary).toEqual({
        enqueued: 7,
        missed: 4,
        skipped_overlap: 5,
        skipped_paused: 5,
        skipped_calendar: 0,
        total: 21,
      });
      expect(whole.decided_until).toEqual(at(20.5));
      expect(whole.items.map((one) => one.outcome).slice(0, 2)).toEqual(['skipped_overlap', 'enqueued']);
      for (const [from, to] of [
        [2, 8],
        [7, 18],
        [6, 7],
        [1, 24],
        [4, 5],
        [21, 24],
      ] as const) {
        const part = await scheduleOccurrences(db, schedule, { from: at(from), to: at(to), limit: 100 });
        expect(part.summary.total, `${from}…${to}`).toBe(Math.max(0, Math.min(to, 21) - from));
      }
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await scheduleOccurrences(db, schedule, { from: at(0), to: at(24), limit: 3, cursor });
        seen.push(...page.items.map((one) => one.first_at.toISOString()));
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      expect(seen).toEqual(whole.items.map((one) => one.first_at.toISOString()));
      expect(seen).toHaveLength(10);
    });
  });
});
