// What became of every nominal time of a schedule in a window: runs, and ranges of times that did not become runs.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { runStates } from '../domain/run.ts';
import type { ScheduleDefinition } from '../domain/schedule.ts';
import { createScheduleClock } from '../domain/schedule-clock.ts';
import { liveState } from '../queue/live-state.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import type { ScheduleView } from './list-schedules.ts';
import { instant, maybeInstant } from './view-fields.ts';

const outcomes = ['enqueued', 'missed', 'skipped_overlap', 'skipped_paused', 'skipped_calendar'] as const;

export const occurrenceView = z
  .object({
    outcome: z.enum(outcomes),
    first_at: instant,
    last_at: instant.describe('the same as first_at for a run'),
    count: z.int().describe('nominal times'),
    reason: z.string().nullable(),
    run_id: z.string().nullable(),
    run_state: z.enum(runStates).nullable(),
    late: z.boolean().nullable(),
    recorded_at: instant,
  })
  .meta({ id: 'Occurrence' });

export type OccurrenceView = z.infer<typeof occurrenceView>;

export const occurrencePage = z.object({
  items: z.array(occurrenceView),
  next_cursor: z.string().nullable(),
  schedule: z.string(),
  timezone: z.string(),
  from: instant,
  to: instant.describe('exclusive'),
  decided_until: maybeInstant.describe('nominal times of the window up to here are in the summary'),
  summary: z
    .object({
      enqueued: z.int(),
      missed: z.int(),
      skipped_overlap: z.int(),
      skipped_paused: z.int(),
      skipped_calendar: z.int(),
      total: z.int(),
    })
    .describe('nominal times of the decided part of the window, by outcome'),
});

export type OccurrencePage = z.infer<typeof occurrencePage>;

const items = statement(
  'list_occurrences',
  `select * from (
    (select r.id, 'enqueued' as outcome, r.nominal_at as first_at, r.nominal_at as last_at, r.nominal_count as count,
      null::text as reason, r.id as run_id, coalesce(r.state, ${liveState('q')}, 'pending') as run_state, r.late,
      r.created_at as recorded_at
    from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
    where r.tenant = $1 and r.schedule = $2 and r.origin = 'schedule' and r.nominal_at >= $3 and r.nominal_at < $4
      and (r.nominal_at, r.id) < ($5::timestamptz, $6::uuid)
    order by r.nominal_at desc nulls first, r.id desc limit $7)
    union all
    (select o.id, o.outcome, o.first_at, o.last_at, o.count, o.reason, null, null, null, o.recorded_at
    from cronwright.occurrences o
    where o.tenant = $1 and o.schedule = $2 and o.last_at >= $3 and o.first_at < $4
      and (o.last_at, o.id) < ($5::timestamptz, $6::uuid)
    order by o.last_at desc, o.id desc limit $7)
  ) both_kinds
  order by last_at desc, id desc limit $7`,
);

const enqueuedCount = statement(
  'count_enqueued_occurrences',
  `select coalesce(sum(nominal_count), 0)::int8 as n from cronwright.runs
  where tenant = $1 and schedule = $2 and origin = 'schedule' and nominal_at >= $3 and nominal_at < $4`,
);

const rangeCounts = statement(
  'count_other_occurrences',
  `select outcome, sum(count)::int8 as n from cronwright.occurrences
  where tenant = $1 and schedule = $2 and first_at >= $3 and last_at >= $3 and last_at < $4 group by outcome`,
);

// Ranges that reach over an edge of the window: few, because ranges of one schedule do not lie within each other.
const edgeRanges = statement(
  'list_occurrence_edges',
  `select outcome, first_at, last_at, count from cronwright.occurrences
  where tenant = $1 and schedule = $2 and last_at >= $3 and first_at < $4 and (first_at < $3 or last_at >= $4)`,
);

interface Range {
  /** `enqueued`: those whose runs have been pruned. */
  outcome: (typeof outcomes)[number];
  first_at: Date;
  last_at: Date;
  count: number;
}

/** Nominal times in [from, to), newest first. */
export async function scheduleOccurrences(
  db: Queryable,
  schedule: ScheduleView,
  options: { from: Date; to: Date; cursor?: string | undefined; limit: number },
): Promise<OccurrencePage> {
  const window = [schedule.tenant, schedule.id, options.from, options.to];
  const [before, beforeId] =
    options.cursor === undefined
      ? ['9999-12-31T00:00:00Z', 'ffffffff-ffff-ffff-ffff-ffffffffffff']
      : unpackCursor(options.cursor, ['string', 'uuid']);
  const page = [...window, new Date(String(before)), beforeId, options.limit + 1];
  const [listed, enqueued, inside, edges] = await Promise.all([
    db.query<OccurrenceView & { id: string }>(items, page),
    db.query<{ n: number }>(enqueuedCount, window),
    db.query<{ outcome: Range['outcome']; n: number }>(rangeCounts, window),
    db.query<Range>(edgeRanges, window),
  ]);
  const rows = listed.rows.slice(0, options.limit);
  const last = rows.at(-1);
  const summary = summarize(enqueued.rows[0]?.n ?? 0, inside.rows);
  for (const range of edges.rows) add(summary, range.outcome, countWithin(schedule, range, options));
  return {
    items: rows.map(({ id: _id, ...view }) => view),
    next_cursor: listed.rows.length > rows.length && last ? packCursor([last.last_at.toISOString(), last.id]) : null,
    schedule: schedule.id,
    timezone: schedule.timezone,
    from: options.from,
    to: options.to,
    decided_until: schedule.cursor_at < options.from ? null : earlier(schedule.cursor_at, options.to),
    summary,
  };
}

function summarize(enqueued: number, ranges: readonly { outcome: Range['outcome']; n: number }[]) {
  const summary = {
    enqueued,
    missed: 0,
    skipped_overlap: 0,
    skipped_paused: 0,
    skipped_calendar: 0,
    total: enqueued,
  };
  for (const range of ranges) add(summary, range.outcome, range.n);
  return summary;
}

function add(summary: OccurrencePage['summary'], outcome: Range['outcome'], n: number): void {
  summary[outcome] += n;
  summary.total += n;
}

/** How many of a range's nominal times lie in the window: by the schedule's pattern, and never more than the range has. */
function countWithin(schedule: ScheduleView, range: Range, window: { from: Date; to: Date }): number {
  const from = Math.max(range.first_at.getTime(), window.from.getTime());
  const to = Math.min(range.last_at.getTime(), window.to.getTime() - 1);
  const clock = createScheduleClock(schedule.definition as ScheduleDefinition);
  const times = { skipped_paused: clock.all, skipped_calendar: clock.excluded ?? clock.all };
  const counted = range.outcome in times ? times[range.outcome as keyof typeof times] : clock.fires;
  return Math.min(range.count, counted.count(from - 1, to).nominal);
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}
