// Two nodes on one PostgreSQL: every nominal time of every schedule becomes exactly one recorded outcome.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPostgres } from '../../src/db/postgres.ts';
import { compileCron } from '../../src/domain/cron/next-occurrences.ts';
import type { Pipeline } from '../../src/domain/pipeline.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createScript, eventually, startEngineWorld } from '../support/engine-world.ts';
import { sql, testPipeline, testSchedule, testStep } from '../support/http-world.ts';

/** The figure of the acceptance is 120; the suite takes a shorter look. */
const seconds = Number(process.env.SOAK_SECONDS ?? 12);

const pipelines: Pipeline[] = Array.from({ length: 50 }, (_, index) => {
  const every = (index % 5) + 1;
  const cron = index % 2 === 0 ? `*/${every} * * * * *` : `@every ${every}s`;
  const id = `tick-${index}`;
  const overlap = index < 40 ? 'allow' : 'skip';
  const schedule = testSchedule(id, 'always', { cron, overlap });
  return testPipeline(id, { version: 'v1', schedules: [schedule], steps: [testStep('a', [], { uses: 'test.do' })] });
});

describe('two schedulers on one PostgreSQL', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await createTestDatabase('postgres');
  });
  afterAll(() => test.close());

  it(
    `decide every nominal time once, for ${seconds} s with 50 schedules of every 1 to 5 s`,
    async () => {
      const other = createPostgres({ url: test.url ?? '' });
      const scripts = [createScript(), createScript()] as const;
      const worlds = [
        await startEngineWorld({ db: test.db, script: scripts[0], pipelines }),
        await startEngineWorld({ db: other, script: scripts[1], pipelines }),
      ];
      const begun = performance.now();
      await eventually(
        async () => expect(performance.now() - begun).toBeGreaterThan(seconds * 1_000),
        seconds * 1_000 + 5_000,
      );
      for (const world of worlds) await world.stop(10_000);
      await other.close();

      const schedules = await sql<{ id: string; definition: { cron: string }; created_at: Date; cursor_at: Date }>(
        test.db,
        'select id, definition, created_at, cursor_at from cronwright.schedules',
      );
      const runs = await sql<{ schedule: string; nominal_at: Date }>(
        test.db,
        'select schedule, nominal_at from cronwright.runs order by nominal_at',
      );
      const ranges = await sql<{ schedule: string; count: number }>(
        test.db,
        'select schedule, sum(count)::int8 as count from cronwright.occurrences group by schedule',
      );
      expect(schedules).toHaveLength(50);
      let nominalTimes = 0;
      for (const schedule of schedules) {
        const compiled = compileCron(schedule.definition.cron, 'UTC', { id: schedule.id });
        const from = schedule.created_at.getTime();
        const expected = compiled
          .between(from, schedule.cursor_at.getTime(), 10_000)
          .map((one) => one.at.toISOString());
        const enqueued = runs.filter((run) => run.schedule === schedule.id).map((run) => run.nominal_at.toISOString());
        const skipped = ranges.find((range) => range.schedule === schedule.id)?.count ?? 0;
        expect(new Set(enqueued).size).toBe(enqueued.length);
        expect(enqueued.every((at) => expected.includes(at))).toBe(true);
        expect(enqueued.length + skipped).toBe(expected.length);
        // Each had a chance to fire until the end: nothing has stopped.
        expect(expected.length).toBeGreaterThanOrEqual(Math.floor(seconds / 5) - 1);
        nominalTimes += expected.length;
      }
      expect(nominalTimes).toBeGreaterThan(seconds * 15);
      // Both worked.
      expect(scripts[0].attempts.length).toBeGreaterThan(0);
      expect(scripts[1].attempts.length).toBeGreaterThan(0);
      expect(scripts[0].attempts.length + scripts[1].attempts.length).toBe(runs.length);
    },
    seconds * 1_000 + 60_000,
  );
});
