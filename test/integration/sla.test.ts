// Promises about time: told once when they are missed, whoever looks, also where no run was ever made.
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { idAt } from '../../src/base/id-at.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { createSlaWatch } from '../../src/maintenance/sla-watch.ts';
import { createEventBus, type Events } from '../../src/observe/events.ts';
import { writeSchedules } from '../../src/queue/register-schedules.ts';
import { getRun } from '../../src/reads/get-run.ts';
import { getSchedule } from '../../src/reads/list-schedules.ts';
import { createTestDatabase, engineVariants, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/engine-world.ts';
import { sql, testPipeline, testSchedule } from '../support/http-world.ts';

const minute = 60_000;
const hour = 60 * minute;
const nominal = Date.parse('2026-03-01T02:00:00Z');

const sla = { startWithinMs: 10 * minute, completeWithinMs: 2 * hour };
const nightly = { ...testSchedule('backup', 'nightly', { cron: '0 2 * * *' }), sla };
const pipeline: Pipeline = { ...testPipeline('backup'), sla: { completeWithinMs: hour }, schedules: [nightly] };

describe.each(engineVariants)('promises about time on $name', ({ kind }) => {
  let test: TestDatabase;
  let told: { name: string; kind: string; subject: string | undefined; count: number }[];
  let stops: (() => Promise<void>)[];
  let at: number;
  let looks: number;

  beforeAll(async () => {
    test = await createTestDatabase(kind);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    for (const table of ['runs', 'queue', 'schedules', 'occurrences', 'sla_misses', 'pauses']) {
      await sql(test.db, `delete from cronwright.${table}`);
    }
    told = [];
    stops = [];
    at = nominal;
    looks = 0;
    await writeSchedules(
      test.db,
      [
        {
          definition: nightly,
          cursorAt: new Date(nominal),
          nextAt: new Date(nominal + 24 * hour),
          error: null,
          isNew: true,
        },
      ],
      new Date(nominal),
    );
  });
  afterEach(() => Promise.all(stops.map((stop) => stop())));

  /** A node; all tell into the same list. */
  async function watch(): Promise<void> {
    const events = createEventBus((_, error) => {
      throw error;
    });
    const note = (name: string) => (event: Events['run.sla_missed'] | Events['schedule.sla_missed']) =>
      told.push({
        name,
        kind: event.kind,
        subject: 'runId' in event ? event.runId : event.schedule,
        count: event.count,
      });
    events.on('run.sla_missed', note('run'));
    events.on('schedule.sla_missed', note('schedule'));
    events.on('service.crashed', ({ error }) => {
      throw new Error(error);
    });
    const service = createSlaWatch({
      db: test.db,
      clock: { now: () => at, monotonic: () => performance.now() } as never,
      events,
      catalog: { list: () => all },
      everyMs: 10,
      now: () => {
        looks += 1;
        return new Date(at);
      },
    });
    await service.start();
    stops.push(() => service.stop());
  }
  const all = [pipeline];

  /** Two whole looks at the instant: the one under way may have begun before it. */
  async function lookAt(ms: number): Promise<void> {
    at = ms;
    const from = looks;
    await eventually(async () => expect(looks).toBeGreaterThan(from + 2 * Math.max(1, stops.length)));
  }

  interface Row {
    schedule?: string | null;
    origin?: string;
    state?: string | null;
    nominalAt?: number | null;
    runAt?: number | null;
    startedAt?: number | null;
    finishedAt?: number | null;
    queueState?: string;
    dryRun?: boolean;
  }

  async function add(row: Row = {}): Promise<string> {
    const { schedule = 'backup.nightly', origin = 'schedule', state = null, nominalAt = nominal } = row;
    const id = `${idAt(nominal).slice(0, 24)}${randomBytes(6).toString('hex')}`;
    const date = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : new Date(ms));
    await sql(
      test.db,
      `insert into cronwright.runs (id, tenant, pipeline, pipeline_version, schedule, nominal_at, nominal_count, late, origin, priority,
        queue, dry_run, created_at, run_at, state, failure, started_at, finished_at)
      values ($1, 'default', 'backup', 'v', $2, $3, 1, false, $4, 5, 'default', $5, $6, $7, $8, $9, $10, $11)`,
      [
        id,
        schedule,
        date(origin === 'schedule' ? nominalAt : null),
        origin,
        row.dryRun ?? false,
        date(nominal),
        date(row.runAt),
        state,
        state === null || state === 'completed' ? null : state,
        date(row.state ? row.startedAt : null),
        date(row.finishedAt),
      ],
    );
    if (state === null) {
      await sql(
        test.db,
        `insert into cronwright.queue (run_id, tenant, queue, pipeline, pipeline_version, schedule, priority, fair, weight, state,
          token, claims, attempt, enqueued_at, started_at)
        values ($1, 'default', 'default', 'backup', 'v', $2, 5, 1, 'light', $3, 0, 0, 0, $4, $5)`,
        [id, schedule, row.queueState ?? 'pending', date(nominal), date(row.startedAt)],
      );
    }
    return id;
  }

  const kindsOf = (subject: string) => told.filter((one) => one.subject === subject).map((one) => one.kind);

  it('tells of a run that does not start, and of the same when it is not completed, each once, on one of two nodes', async () => {
    const id = await add();
    await Promise.all([watch(), watch()]);
    await lookAt(nominal + 9 * minute);
    expect(told).toEqual([]);
    await lookAt(nominal + 11 * minute);
    expect(told).toEqual([{ name: 'run', kind: 'start', subject: id, count: 1 }]);
    await lookAt(nominal + 2 * hour + 1);
    await lookAt(nominal + 3 * hour);
    expect(kindsOf(id)).toEqual(['start', 'complete']);
    const run = await getRun(test.db, 'default', id);
    expect(run.sla).toEqual({
      start_by: new Date(nominal + 10 * minute),
      complete_by: new Date(nominal + 2 * hour),
      missed: [
        { kind: 'start', due_at: new Date(nominal + 10 * minute), missed_at: expect.any(Date) },
        { kind: 'complete', due_at: new Date(nominal + 2 * hour), missed_at: expect.any(Date) },
      ],
    });
    await sql(test.db, 'update cronwright.sla_misses set missed_at = now()');
    const schedule = await getSchedule(test.db, 'default', 'backup.nightly');
    expect(schedule.sla).toMatchObject({ start_within_ms: 10 * minute, complete_within_ms: 2 * hour, missed: 2 });
    expect(schedule.sla?.last_missed_at).toBeInstanceOf(Date);
  });

  it('tells nothing again after a restart, and finds what was missed while nobody was there', async () => {
    const late = await add({
      state: 'completed',
      startedAt: nominal + minute,
      finishedAt: nominal + 2 * hour + minute,
    });
    at = nominal + 20 * hour;
    await watch();
    await lookAt(at);
    expect(kindsOf(late)).toEqual(['complete']);
    await Promise.all(stops.splice(0).map((stop) => stop()));
    await watch();
    await lookAt(at);
    expect(told).toHaveLength(1);
  });

  it('takes a run that failed for one that was not completed, once its time is up', async () => {
    const id = await add({ state: 'failed', startedAt: nominal + minute, finishedAt: nominal + 5 * minute });
    await watch();
    await lookAt(nominal + hour);
    expect(told).toEqual([]);
    await lookAt(nominal + 2 * hour + minute);
    expect(kindsOf(id)).toEqual(['complete']);
  });

  it('says nothing of runs in time, cancelled ones, dry runs and backfills', async () => {
    await add({ state: 'completed', startedAt: nominal + minute, finishedAt: nominal + hour });
    await add({ state: 'cancelled', finishedAt: nominal + 5 * minute, nominalAt: nominal - 1 });
    await add({ origin: 'backfill', dryRun: false });
    await add({ origin: 'api', dryRun: true });
    await watch();
    await lookAt(nominal + 6 * hour);
    expect(told).toEqual([]);
  });

  it('counts runs that no schedule made from when they may start, by the promise of the pipeline', async () => {
    const id = await add({
      origin: 'api',
      schedule: null,
      runAt: nominal + 30 * minute,
      startedAt: nominal + 40 * minute,
    });
    await watch();
    await lookAt(nominal + 89 * minute);
    expect(told).toEqual([]);
    await lookAt(nominal + 91 * minute);
    expect(told).toEqual([{ name: 'run', kind: 'complete', subject: id, count: 1 }]);
  });

  it('tells of nominal times that were missed or skipped for an overlap, and not of those that somebody paused', async () => {
    const range = (outcome: string, firstMs: number, count: number) =>
      sql(
        test.db,
        `insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
        values (gen_random_uuid(), 'default', 'backup.nightly', $1, $2, $2, $3, 'test', $2)`,
        [outcome, new Date(firstMs), count],
      );
    await range('missed', nominal, 3);
    await range('skipped_overlap', nominal + 1_000, 1);
    await range('skipped_paused', nominal + 2_000, 1);
    await watch();
    await lookAt(nominal + 20 * minute);
    expect(told.map(({ name, kind: what, count }) => [name, what, count]).sort()).toEqual([
      ['schedule', 'start', 1],
      ['schedule', 'start', 3],
    ]);
  });

  it('tells of a nominal time that nobody has decided, and not again once its run is there', async () => {
    await sql(test.db, `update cronwright.schedules set cursor_at = $1, next_at = $2`, [
      new Date(nominal - hour),
      new Date(nominal),
    ]);
    await watch();
    await lookAt(nominal + 11 * minute);
    expect(told).toEqual([{ name: 'schedule', kind: 'start', subject: 'backup.nightly', count: 1 }]);
    const id = await add();
    await lookAt(nominal + 12 * minute);
    expect(told).toHaveLength(1);
    expect((await getRun(test.db, 'default', id)).sla?.missed).toMatchObject([{ kind: 'start' }]);
    await sql(test.db, 'update cronwright.schedules set paused_at = now(), cursor_at = $1', [
      new Date(nominal + 23 * hour),
    ]);
    await lookAt(nominal + 25 * hour);
    expect(kindsOf('backup.nightly')).toEqual(['start']);
  });
});
