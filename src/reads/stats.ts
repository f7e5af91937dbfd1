// How it has been going: runs by how they ended, success rate, duration and the capacity that is left.
import { z } from 'zod';
import { idAt } from '../base/id-at.ts';
import { type Queryable, statement } from '../db/database.ts';
import { liveState } from '../queue/live-state.ts';
import { listNodes } from './list-nodes.ts';
import { instant } from './view-fields.ts';

export const statsView = z
  .object({
    since: instant,
    total: z.int().describe('runs made since then'),
    capped: z.boolean().describe('there were more: only the newest were counted'),
    completed: z.int(),
    failed: z.int(),
    cancelled: z.int(),
    rolled_back: z.int(),
    dead_letter: z.int(),
    live: z.int(),
    success_rate: z.number().nullable().describe('completed / ended, cancelled ones aside; 0 … 1'),
    average_duration_ms: z.number().nullable().describe('of completed runs, from first start to end'),
    running: z.int(),
    queued: z.int().describe('pending and scheduled'),
    available_slots: z
      .object({ heavy: z.int(), light: z.int() })
      .describe('runs that the live nodes could take at once'),
  })
  .meta({ id: 'Stats' });

export type StatsView = z.infer<typeof statsView>;

/** More than this is not looked at: a look must not cost what an hour of work costs. */
const mostRuns = 100_000;

const ended = statement(
  'count_recent_runs',
  `select coalesce(state, 'live') as state, count(*) as n,
    avg(extract(epoch from (finished_at - started_at)) * 1000)::float8 as duration_ms
  from (
    select state, started_at, finished_at from cronwright.runs
    where id >= $2 and ($1::text is null or tenant = $1) is true order by id desc limit $3
  ) recent
  group by 1`,
);

const active = statement(
  'count_active_runs',
  `select count(*) filter (where ${liveState('q')} = 'running') as running,
    count(*) filter (where ${liveState('q')} in ('pending', 'scheduled')) as queued
  from cronwright.queue q where $1::text is null or tenant = $1`,
);

/** `tenant` null: of all tenants. */
export async function stats(db: Queryable, tenant: string | null, since: Date): Promise<StatsView> {
  const [recent, now, nodes] = await Promise.all([
    db.query<{ state: string; n: number; duration_ms: number | null }>(ended, [
      tenant,
      idAt(since.getTime()),
      mostRuns,
    ]),
    db.query<{ running: number; queued: number }>(active, [tenant]),
    listNodes(db),
  ]);
  const count = (state: string) => recent.rows.find((row) => row.state === state)?.n ?? 0;
  const total = recent.rows.reduce((sum, row) => sum + row.n, 0);
  const judged = total - count('live') - count('cancelled');
  const live = nodes.filter((node) => node.state === 'live');
  return {
    since,
    total,
    capped: total >= mostRuns,
    completed: count('completed'),
    failed: count('failed'),
    cancelled: count('cancelled'),
    rolled_back: count('rolled_back'),
    dead_letter: count('dead_letter'),
    live: count('live'),
    success_rate: judged > 0 ? count('completed') / judged : null,
    average_duration_ms: recent.rows.find((row) => row.state === 'completed')?.duration_ms ?? null,
    running: now.rows[0]?.running ?? 0,
    queued: now.rows[0]?.queued ?? 0,
    available_slots: {
      heavy: live.reduce((sum, node) => sum + Math.max(0, node.workers - node.running_heavy), 0),
      light: live.reduce((sum, node) => sum + Math.max(0, node.in_flight - node.running_light), 0),
    },
  };
}
