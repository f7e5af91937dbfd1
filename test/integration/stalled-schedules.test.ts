// Schedules that stand still are told of, whatever their next run says; those that only wait are not.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ScheduleDefinition } from '../../src/domain/schedule.ts';
import { createEventBus, type EventBus, type Events } from '../../src/observe/events.ts';
import { writeSchedules } from '../../src/queue/register-schedules.ts';
import { createStallWatch } from '../../src/schedule/stall-watch.ts';
import { createTestDatabase, databaseVariants, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/engine-world.ts';
import { sql, testSchedule } from '../support/http-world.ts';

const minute = 60_000;
const hour = 60 * minute;

describe.each(databaseVariants)('the watch over schedules on $name', ({ kind, isolation }) => {
  let test: TestDatabase;
  let events: EventBus;
  let stalled: Events['schedule.stalled'][];
  let counts: number[];
  let stop: () => Promise<void>;

  beforeAll(async () => {
    test = await createTestDatabase(kind, isolation === undefined ? {} : { isolation });
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await sql(test.db, 'delete from cronwright.schedules');
    events = createEventBus();
    stalled = [];
    counts = [];
    events.on('schedule.stalled', (event) => stalled.push(event));
    events.on('schedules.watched', (event) => counts.push(event.stalled));
  });
  afterEach(() => stop());

  /** Its last decided time and its next one, counted from now. */
  async function add(
    name: string,
    cursorMs: number,
    nextMs: number | null,
    overrides: Partial<ScheduleDefinition> = {},
  ) {
    const now = Date.now();
    const definition = testSchedule('build', name, { cron: '*/5 * * * *', ...overrides });
    const nextAt = nextMs === null ? null : new Date(now + nextMs);
    await writeSchedules(
      test.db,
      [{ definition, cursorAt: new Date(now + cursorMs), nextAt, error: null, isNew: true }],
      new Date(now - hour),
    );
    return definition.id;
  }

  async function watch(): Promise<void> {
    const service = createStallWatch({ db: test.db, events, everyMs: 20 });
    await service.start();
    stop = () => service.stop();
  }

  const looks = (n: number) => eventually(async () => expect(counts.length).toBeGreaterThanOrEqual(n));

  it('tells once of one whose next run looks normal, and counts it until it goes on', async () => {
    const id = await add('silent', -hour, hour);
    await watch();
    await looks(6);
    expect(stalled).toHaveLength(1);
    expect(stalled[0]).toMatchObject({ schedule: id, tenant: 'default' });
    expect(stalled[0]?.forMs).toBeGreaterThan(50 * minute);
    expect(stalled[0]?.nextAt).toBeGreaterThan(Date.now());
    // One look may be before the next run was set right.
    expect([counts[0], counts[5]]).toEqual([0, 1]);
    await sql(test.db, 'update cronwright.schedules set cursor_at = now(), version = version + 1');
    await eventually(async () => expect(counts.at(-1)).toBe(0));
    expect(stalled).toHaveLength(1);
  });

  it('tells of one that has no next run at all, and of one that is long due', async () => {
    const ids = [await add('nothing-next', -hour, null), await add('long-due', -hour, -30 * minute)];
    await watch();
    await looks(4);
    expect(stalled.map((one) => one.schedule).sort()).toEqual(ids.sort());
  });

  it('says nothing of those that are on time, within their grace, paused, off, broken or gone', async () => {
    await add('on-time', -30_000, 30_000, { cron: '* * * * *' });
    await add('just-due', -90_000, -10_000, { cron: '* * * * *' });
    await add('patient', -hour, -10_000, { graceMs: 2 * hour });
    await add('far', -hour, 24 * hour, { cron: '0 0 29 2 *' });
    for (const [name, change] of [
      ['paused', 'paused_at = now()'],
      ['paused-until', `paused_at = now() - interval '1 hour', paused_until = now() + interval '1 hour'`],
      ['off', 'enabled = false'],
      ['broken', `error = 'unknown zone'`],
      ['gone', 'removed_at = now()'],
    ] as const) {
      const id = await add(name, -hour, hour);
      await sql(test.db, `update cronwright.schedules set ${change} where id = $1`, [id]);
    }
    const id = await add('silent', -hour, hour);
    await watch();
    await looks(4);
    expect(stalled.map((one) => one.schedule)).toEqual([id]);
  });

  it('comes to every schedule, and begins again', async () => {
    await sql(
      test.db,
      `insert into cronwright.schedules (tenant, id, pipeline, definition, enabled, cursor_at, next_at, version, created_at, updated_at)
      select 'default', 'build.s' || lpad(n::text, 5, '0'), 'build', $1::jsonb, true, now(), now() + interval '1 hour', 1, now(), now()
      from generate_series(1, 2500) n`,
      [JSON.stringify(testSchedule('build', 's', { cron: '0 0 1 1 *' }))],
    );
    await watch();
    await looks(4);
    const id = await add('zzz-last', -hour, hour);
    const first = await add('aaa-first', -hour, hour);
    await eventually(async () => expect(stalled.map((one) => one.schedule).sort()).toEqual([first, id].sort()));
  });
});
