// How full the queue is and how long runs wait in it.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { liveState } from '../queue/live-state.ts';
import { listPauses } from '../queue/pauses.ts';
import { pauseView, toPauseView } from './pause-view.ts';
import { maybeInstant } from './view-fields.ts';

const counts = z.record(z.string(), z.int());

export const queueStatusView = z
  .object({
    depth: z.int().describe('live runs'),
    by_state: counts,
    by_queue: z.record(z.string(), counts),
    by_tenant: z.record(z.string(), counts),
    ready: z.int().describe('pending runs that nothing but a worker is missing for'),
    blocked: z.int().describe('pending runs that wait for a slot'),
    oldest_wait_ms: z.number().nullable().describe('of the pending run that may start the longest'),
    oldest_waiting_since: maybeInstant,
    pauses: z.array(pauseView).describe('pipelines and tenants that are paused'),
    average_wait_ms: z.number().nullable().describe('of the last 1,000 runs that ended'),
  })
  .meta({ id: 'QueueStatus' });

export type QueueStatusView = z.infer<typeof queueStatusView>;

const depth = statement(
  'count_queue',
  `select tenant, substring(queue, '^[^{#@]+') as queue, ${liveState('q')} as state, count(*) as n,
    count(*) filter (where blocked_on is null) as unblocked, 
    min(enqueued_at) filter (where blocked_on is distinct from 'run_at') as oldest, now() as read_at
  from cronwright.queue q where $1::text is null or tenant = $1
  group by 1, 2, 3`,
);

// The newest ids are those of the backlog, which has not started: they are stepped over, but not without end.
const wait = statement(
  'average_queue_wait',
  `select avg(extract(epoch from (started_at - greatest(created_at, coalesce(run_at, created_at)))) * 1000)::float8 as ms
  from (
    select started_at, created_at, run_at from (
      select started_at, created_at, run_at, state from cronwright.runs
      where ($1::text is null or tenant = $1) is true
      order by id desc limit 150000
    ) newest
    where state is not null and started_at is not null
    limit 1000
  ) ended`,
);

interface DepthRow {
  tenant: string;
  queue: string;
  state: string;
  n: number;
  unblocked: number;
  /** Null where all of them were paused and resumed before their own time, which is ahead. */
  oldest: Date | null;
  read_at: Date;
}

/** `tenant` null: of all tenants. */
export async function queueStatus(db: Queryable, tenant: string | null): Promise<QueueStatusView> {
  const [{ rows }, waits, pauses] = await Promise.all([
    db.query<DepthRow>(depth, [tenant]),
    db.query<{ ms: number | null }>(wait, [tenant]),
    listPauses(db, tenant),
  ]);
  const pending = rows.filter((row) => row.state === 'pending');
  const ready = sum(pending.map((row) => row.unblocked));
  const oldest = pending.flatMap((row) => row.oldest ?? []).sort((a, b) => a.getTime() - b.getTime())[0];
  const average = waits.rows[0]?.ms;
  return {
    depth: sum(rows.map((row) => row.n)),
    by_state: countBy(rows, (row) => row.state),
    by_queue: nest(rows, (row) => row.queue),
    by_tenant: nest(rows, (row) => row.tenant),
    ready,
    blocked: sum(pending.map((row) => row.n)) - ready,
    oldest_wait_ms: oldest ? Math.max(0, (rows[0]?.read_at ?? oldest).getTime() - oldest.getTime()) : null,
    oldest_waiting_since: oldest ?? null,
    pauses: pauses.map(toPauseView),
    average_wait_ms: typeof average === 'number' ? Math.max(0, average) : null,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}

function countBy(rows: readonly DepthRow[], keyOf: (row: DepthRow) => string): Record<string, number> {
  const result: Record<string, number> = {};
  for (const row of rows) result[keyOf(row)] = (result[keyOf(row)] ?? 0) + row.n;
  return result;
}

function nest(rows: readonly DepthRow[], keyOf: (row: DepthRow) => string): Record<string, Record<string, number>> {
  const keys = [...new Set(rows.map(keyOf))].sort();
  return Object.fromEntries(
    keys.map((key) => [
      key,
      countBy(
        rows.filter((row) => keyOf(row) === key),
        (row) => row.state,
      ),
    ]),
  );
}
