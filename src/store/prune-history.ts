// Removes old runs with all that belongs to them, old logs, and turns old occurrences into daily counts: a batch at a time.
import { type Database, type Queryable, statement } from '../db/database.ts';

export interface PruneRule {
  /** Runs that ended longer ago than this go, except the newest `keepLast` of each pipeline. Milliseconds. */
  historyMs: number;
  keepLast: number;
  logsMs: number;
  occurrencesMs: number;
}

export interface Pruned {
  runs: number;
  logs: number;
  occurrences: number;
}

/** Rows one pass looks at; a pass that finds as many is followed by another. */
const batch = 500;

// The oldest runs come first along the primary key, because ids carry the time they were made.
const oldRuns = statement(
  'find_old_runs',
  `select r.id from cronwright.runs r
  where r.state is not null and r.finished_at < coalesce($4::timestamptz, now()) - $1::int8 * interval '1 millisecond'
    and (select count(*) from (
      select 1 from cronwright.runs n
      where n.tenant = r.tenant and n.pipeline = r.pipeline and n.id > r.id limit $2
    ) newer) >= $2
  order by r.id limit $3`,
);

const lockOld = statement(
  'lock_old_runs',
  'select id from cronwright.runs where id = any($1::uuid[]) order by id for update',
);

// What scheduled runs stood for stays countable: one row a schedule and day.
const countEnqueued = statement(
  'count_pruned_occurrences',
  `insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
  select gen_random_uuid(), tenant, schedule, 'enqueued', min(nominal_at), max(nominal_at), sum(nominal_count)::int8,
    'runs pruned', coalesce($2::timestamptz, now())
  from cronwright.runs where id = any($1::uuid[]) and origin = 'schedule'
  group by tenant, schedule, date_trunc('day', nominal_at, 'UTC')`,
);

const belongings = [
  ...['step_runs', 'compensations', 'waits', 'history', 'logs', 'sensor_events', 'imports'],
  // The ledger outlives them: it says what a month has cost.
  ...['conversations', 'cost_totals', 'budget_grants'],
].map((table) => statement(`prune_${table}`, `delete from cronwright.${table} where run_id = any($1::uuid[])`));

const artifactChunks = statement(
  'prune_artifact_chunks',
  `delete from cronwright.artifact_chunks
  where artifact_id = any(array(select id from cronwright.artifacts where run_id = any($1::uuid[])))`,
);

const artifacts = statement('prune_artifacts', 'delete from cronwright.artifacts where run_id = any($1::uuid[])');

const runs = statement('prune_runs', 'delete from cronwright.runs where id = any($1::uuid[])');

const oldLogs = statement(
  'prune_old_logs',
  `delete from cronwright.logs
  where run_id = any(array(
    select r.id from cronwright.runs r
    where r.state is not null and r.finished_at < coalesce($3::timestamptz, now()) - $1::int8 * interval '1 millisecond'
      and exists (select 1 from cronwright.logs l where l.run_id = r.id)
    order by r.id limit $2))`,
  { idempotent: true },
);

// Several old ranges of one schedule, outcome and day become one; the sum stays what it was. Who deleted a range counts it, so
// that two nodes at once do not both.
const takeOld = statement(
  'take_old_occurrences',
  `with old as (
    select id, tenant, schedule, outcome, date_trunc('day', last_at, 'UTC') as day
    from cronwright.occurrences
    where last_at < coalesce($2::timestamptz, now()) - $1::int8 * interval '1 millisecond'
  ), merged as (
    select array_agg(id) as ids from old group by tenant, schedule, outcome, day having count(*) > 1
    order by tenant, schedule limit $3
  )
  delete from cronwright.occurrences
  where id = any(array(select unnest(ids) from merged))
  returning tenant, schedule, outcome, date_trunc('day', last_at, 'UTC') as day, first_at, last_at, count`,
);

const putMerged = statement(
  'put_daily_occurrences',
  `insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
  select gen_random_uuid(), u.tenant, u.schedule, u.outcome, min(u.first_at), max(u.last_at), sum(u.count)::int8,
    'daily count', coalesce($8::timestamptz, now())
  from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::int8[])
    as u(tenant, schedule, outcome, day, first_at, last_at, count)
  group by u.tenant, u.schedule, u.outcome, u.day`,
);

/** One pass; call again while `isMore` says that a batch was full. */
export async function pruneHistory(
  db: Database,
  rule: PruneRule,
  now: Date | null = null,
): Promise<Pruned & { isMore: boolean }> {
  const { rows } = await db.query<{ id: string }>(oldRuns, [rule.historyMs, rule.keepLast, batch, now]);
  if (rows.length > 0) {
    const ids = rows.map((row) => row.id);
    await db.transaction((tx) => removeRuns(tx, ids, now), { idempotent: true });
  }
  const logs = (await db.query(oldLogs, [rule.logsMs, batch, now])).count;
  const merged = await db.transaction((tx) => mergeOccurrences(tx, rule.occurrencesMs, now), { idempotent: true });
  const isMore = rows.length === batch || logs >= batch || merged === batch;
  return { runs: rows.length, logs, occurrences: merged, isMore };
}

interface OldRange {
  tenant: string;
  schedule: string;
  outcome: string;
  day: Date;
  first_at: Date;
  last_at: Date;
  count: number;
}

/** Returns how many daily counts were made. */
async function mergeOccurrences(tx: Queryable, afterMs: number, now: Date | null): Promise<number> {
  const { rows } = await tx.query<OldRange>(takeOld, [afterMs, now, batch]);
  if (rows.length === 0) return 0;
  const column = <Key extends keyof OldRange>(key: Key) => rows.map((row) => row[key]);
  const columns = [
    column('tenant'),
    column('schedule'),
    column('outcome'),
    column('day'),
    column('first_at'),
    column('last_at'),
    column('count'),
  ];
  return (await tx.query(putMerged, [...columns, now])).count;
}

async function removeRuns(tx: Queryable, found: readonly string[], now: Date | null): Promise<void> {
  // Another node may be removing the same ones: each is counted by whoever has its lock.
  const { rows } = await tx.query<{ id: string }>(lockOld, [found]);
  if (rows.length === 0) return;
  const ids = rows.map((row) => row.id);
  await tx.query(countEnqueued, [ids, now]);
  for (const table of belongings) await tx.query(table, [ids]);
  await tx.query(artifactChunks, [ids]);
  await tx.query(artifacts, [ids]);
  await tx.query(runs, [ids]);
}
