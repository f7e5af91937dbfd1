// How tenants are doing: what they have, how their runs went, how long they wait, what fires next and what it cost.
import { z } from 'zod';
import { idAt } from '../base/id-at.ts';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { liveState } from '../queue/live-state.ts';
import { instant, maybeInstant } from './view-fields.ts';

const figures = {
  runs: z.int().describe('made since then'),
  completed: z.int(),
  failed: z.int().describe('failed, rolled back, or dead letters'),
  cancelled: z.int(),
  success_rate: z.number().nullable().describe('completed / ended, cancelled ones aside; 0 … 1'),
  average_wait_ms: z.number().nullable().describe('from when they might start to their start'),
  average_duration_ms: z.number().nullable().describe('of completed runs'),
};

export const tenantView = z
  .object({
    tenant: z.string(),
    since: instant,
    pipelines: z.int(),
    schedules: z.int(),
    live: z.int().describe('runs that have not ended'),
    live_by_state: z.record(z.string(), z.int()),
    queue_depth: z.int().describe('runs that wait to start'),
    oldest_wait_ms: z.number().nullable(),
    ...figures,
    capped: z.boolean().describe('there were more runs: only the newest of all tenants were counted'),
    usd: z.number().describe('spent since then'),
    sla_missed: z.int().describe('promises about time that were not kept since then'),
    next_at: maybeInstant.describe('when the next of its schedules is due'),
  })
  .meta({ id: 'Tenant' });

export const tenantDetail = tenantView
  .extend({
    by_pipeline: z.array(
      z.object({
        pipeline: z.string(),
        live: z.int(),
        ...figures,
        last_success: z.object({ run_id: z.uuid(), at: instant }).nullable().describe('among its newest 1,000 runs'),
        last_failure: z.object({ run_id: z.uuid(), at: instant, error: z.string().nullable() }).nullable(),
        next_at: maybeInstant,
      }),
    ),
  })
  .meta({ id: 'TenantDetail' });

export type TenantView = z.infer<typeof tenantView>;
export type TenantDetail = z.infer<typeof tenantDetail>;

/** More than this is not looked at: a look must not cost what an hour of work costs. */
const mostRuns = 100_000;

const owned = statement(
  'list_tenants',
  `select t.tenant, coalesce(p.n, 0) as pipelines, coalesce(s.n, 0) as schedules, s.next_at,
    (select coalesce(sum(c.usd), 0)::float8 from cronwright.costs c where c.tenant = t.tenant and c.at >= $2) as usd,
    (select count(*) from cronwright.sla_misses m where m.tenant = t.tenant and m.missed_at >= $2) as sla_missed
  from (
    select tenant from cronwright.pipelines where active and ($1::text is null or tenant = $1)
    union select tenant from cronwright.queue where $1::text is null or tenant = $1
  ) t
  left join (select tenant, count(*) as n from cronwright.pipelines where active group by tenant) p on p.tenant = t.tenant
  left join (
    select tenant, count(*) as n, min(case when enabled and paused_at is null then next_at end) as next_at
    from cronwright.schedules where removed_at is null group by tenant
  ) s on s.tenant = t.tenant
  order by t.tenant`,
);

const recent = statement(
  'count_runs_of_tenants',
  `select tenant, pipeline, count(*) as runs,
    count(*) filter (where state = 'completed') as completed,
    count(*) filter (where state in ('failed', 'rolled_back', 'dead_letter')) as failed,
    count(*) filter (where state = 'cancelled') as cancelled,
    count(started_at) as started,
    coalesce(sum(extract(epoch from (started_at - greatest(created_at, coalesce(run_at, created_at)))) * 1000), 0)::float8 as waited_ms,
    coalesce(sum(case when state = 'completed' then extract(epoch from (finished_at - started_at)) * 1000 end), 0)::float8 as worked_ms
  from (
    select tenant, pipeline, state, created_at, run_at, started_at, finished_at from cronwright.runs
    where id >= $2 and ($1::text is null or tenant = $1) is true and is_part is not true
    order by id desc limit $3
  ) newest
  group by tenant, pipeline`,
);

const live = statement(
  'count_live_runs_of_tenants',
  `select tenant, pipeline, ${liveState('q')} as state, count(*) as n,
    (extract(epoch from now() - min(case when q.state = 'pending' then greatest(enqueued_at, coalesce(run_at, enqueued_at)) end))
      * 1000)::float8 as oldest_ms
  from cronwright.queue q where $1::text is null or tenant = $1
  group by 1, 2, 3`,
);

// Along the index of a pipeline's runs, newest first, and no further than its newest thousand.
const lastEnds = statement(
  'last_ends_of_tenant',
  `select p.id as pipeline, good.id as good_id, good.finished_at as good_at, bad.id as bad_id, bad.finished_at as bad_at,
    bad.error->>'message' as error,
    (select min(case when s.enabled and s.paused_at is null then s.next_at end) from cronwright.schedules s
      where s.tenant = p.tenant and s.pipeline = p.id and s.removed_at is null) as next_at
  from cronwright.pipelines p
  left join lateral (
    select n.id, n.finished_at from (
      select id, finished_at, state from cronwright.runs r
      where r.tenant = p.tenant and r.pipeline = p.id and r.is_part is not true order by r.id desc limit 1000) n
    where n.state = 'completed' order by n.id desc limit 1
  ) good on true
  left join lateral (
    select n.id, n.finished_at, n.error from (
      select id, finished_at, state, error from cronwright.runs r
      where r.tenant = p.tenant and r.pipeline = p.id and r.is_part is not true order by r.id desc limit 1000) n
    where n.state in ('failed', 'rolled_back', 'dead_letter') order by n.id desc limit 1
  ) bad on true
  where p.tenant = $1 and p.active
  order by p.id`,
);

interface OwnedRow {
  tenant: string;
  pipelines: number;
  schedules: number;
  next_at: Date | null;
  usd: number;
  sla_missed: number;
}

interface RecentRow {
  tenant: string;
  pipeline: string;
  runs: number;
  completed: number;
  failed: number;
  cancelled: number;
  started: number;
  waited_ms: number;
  worked_ms: number;
}

interface LiveRow {
  tenant: string;
  pipeline: string;
  state: string;
  n: number;
  oldest_ms: number | null;
}

interface LastEndsRow {
  pipeline: string;
  good_id: string | null;
  good_at: Date;
  bad_id: string | null;
  bad_at: Date;
  error: string | null;
  next_at: Date | null;
}

/** `tenant` null: all. */
async function read(db: Queryable, tenant: string | null, since: Date) {
  const [tenants, runs, queue] = await Promise.all([
    db.query<OwnedRow>(owned, [tenant, since]),
    db.query<RecentRow>(recent, [tenant, idAt(since.getTime()), mostRuns]),
    db.query<LiveRow>(live, [tenant]),
  ]);
  const capped = sum(runs.rows.map((row) => row.runs)) >= mostRuns;
  const views = tenants.rows.map((row) =>
    toView(row, { since, capped }, ofTenant(runs.rows, row.tenant), ofTenant(queue.rows, row.tenant)),
  );
  return { views, runs: runs.rows, queue: queue.rows };
}

/** By name. */
export async function listTenants(db: Queryable, since: Date): Promise<TenantView[]> {
  return (await read(db, null, since)).views;
}

/** Throws `not_found` where it has neither pipelines nor live runs. */
export async function getTenant(db: Queryable, tenant: string, since: Date): Promise<TenantDetail> {
  const [{ views, runs, queue }, ends] = await Promise.all([
    read(db, tenant, since),
    db.query<LastEndsRow>(lastEnds, [tenant]),
  ]);
  const view = views[0];
  if (!view) throw new CronwrightError('not_found', `there is no tenant "${tenant}" with pipelines or runs`);
  const byPipeline = ends.rows.map(({ pipeline, good_id, good_at, bad_id, bad_at, error, next_at }) => ({
    pipeline,
    live: sum(queue.filter((row) => row.pipeline === pipeline).map((row) => row.n)),
    ...figuresOf(runs.filter((row) => row.pipeline === pipeline)),
    last_success: good_id === null ? null : { run_id: good_id, at: good_at },
    last_failure: bad_id === null ? null : { run_id: bad_id, at: bad_at, error },
    next_at,
  }));
  return { ...view, by_pipeline: byPipeline };
}

function toView(
  { tenant, pipelines, schedules, next_at, usd, sla_missed }: OwnedRow,
  { since, capped }: { since: Date; capped: boolean },
  runs: readonly RecentRow[],
  queue: readonly LiveRow[],
): TenantView {
  const byState: Record<string, number> = {};
  for (const { state, n } of queue) byState[state] = (byState[state] ?? 0) + n;
  const waits = queue.flatMap(({ oldest_ms: ms }) => (ms === null ? [] : [ms]));
  return {
    tenant,
    since,
    pipelines,
    schedules,
    live: sum(queue.map((row) => row.n)),
    live_by_state: byState,
    queue_depth: (byState.pending ?? 0) + (byState.scheduled ?? 0),
    oldest_wait_ms: waits.length === 0 ? null : Math.max(0, ...waits),
    ...figuresOf(runs),
    capped,
    usd,
    sla_missed,
    next_at,
  };
}

function figuresOf(rows: readonly RecentRow[]) {
  const total = (key: 'runs' | 'completed' | 'failed' | 'cancelled' | 'started' | 'waited_ms' | 'worked_ms') =>
    sum(rows.map((row) => row[key]));
  const judged = total('completed') + total('failed');
  return {
    runs: total('runs'),
    completed: total('completed'),
    failed: total('failed'),
    cancelled: total('cancelled'),
    success_rate: judged === 0 ? null : total('completed') / judged,
    average_wait_ms: total('started') === 0 ? null : Math.max(0, total('waited_ms') / total('started')),
    average_duration_ms: total('completed') === 0 ? null : total('worked_ms') / total('completed'),
  };
}

function ofTenant<Row extends { tenant: string }>(rows: readonly Row[], tenant: string): Row[] {
  return rows.filter((row) => row.tenant === tenant);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
