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

// What scheduled runs stood for stays countable: one row a schedule and day.
const countEnqueued = statement(
  'count_pruned_occurrences',
  `insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
  select gen_random_uuid(), tenant, schedule, 'enqueued', min(nominal_at), max(nominal_at), sum(nominal_count)::int8,
    'runs pruned', coalesce($2::timestamptz, now())
  from cronwright.runs where id = any($1::uuid[]) and origin = 'schedule'
  group by tenant, schedule, date_trunc('day', nominal_at, 'UTC')`,
);

const belongings = ['step_runs', 'history', 'logs'].map((table) =>
  statement(`prune_${table}`, `delete from cronwright.${table} where run_id = any($1::uuid[])`),
);

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
);

// Several old ranges of one schedule, outcome and day become one; the sum stays what it was.
const mergeOld = statement(
  'merge_old_occurrences',
  `with old as (
    select id, tenant, schedule, outcome, date_trunc('day', last_at, 'UTC') as day, first_at, last_at, count
    from cronwright.occurrences
    where last_at < coalesce($2::timestamptz, now()) - $1::int8 * interval '1 millisecond'
  ), merged as (
    select min(id::text)::uuid as id, tenant, schedule, outcome, min(first_at) as first_at, max(last_at) as last_at,
      sum(count)::int8 as count, array_agg(id) as ids
    from old group by tenant, schedule, outcome, day having count(*) > 1
    order by tenant, schedule limit $3
  ), gone as (
    delete from cronwright.occurrences o using merged m where o.id = any(m.ids) returning o.id
  )
  insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
  select gen_random_uuid(), m.tenant, m.schedule, m.outcome, m.first_at, m.last_at, m.count, 'daily count',
    coalesce($2::timestamptz, now())
  from merged m`,
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
    await db.transaction((tx) => removeRuns(tx, ids, now));
  }
  const logs = (await db.query(oldLogs, [rule.logsMs, batch, now])).count;
  const merged = (await db.query(mergeOld, [rule.occurrencesMs, now, batch])).count;
  const isMore = rows.length === batch || logs >= batch || merged === batch;
  return { runs: rows.length, logs, occurrences: merged, isMore };
}

async function removeRuns(tx: Queryable, ids: readonly string[], now: Date | null): Promise<void> {
  await tx.query(countEnqueued, [ids, now]);
  for (const table of belongings) await tx.query(table, [ids]);
  await tx.query(artifactChunks, [ids]);
  await tx.query(artifacts, [ids]);
  await tx.query(runs, [ids]);
}
