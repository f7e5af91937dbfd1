// Admits runs that wait for another pipeline of their tenant (`after`): once it has completed, or once it is too late.
import { uuidv7 } from 'uuidv7';
import { type Database, type Queryable, statement } from '../db/database.ts';
import { afterKey, decideAfter } from '../domain/after.ts';
import type { AfterDefinition } from '../domain/pipeline.ts';
import type { SlotKey } from './admit-runs.ts';

const batch = 500;
/** So many of the newest runs of a pipeline are looked at for one that has completed. */
const mostRuns = 2_000;

const someWaits = statement(
  'find_run_after',
  `select 1 from cronwright.queue where tenant = $1 and blocked_on = $2 and state = 'pending' limit 1`,
);

const lock = statement(
  'lock_runs_after',
  `select q.run_id, q.limits, coalesce(r.nominal_at, r.created_at) as base_at, coalesce($4::timestamptz, now()) as now_at,
    p.definition -> 'after' as rules
  from cronwright.queue q
  join cronwright.runs r on r.id = q.run_id
  left join cronwright.pipelines p on p.tenant = q.tenant and p.id = q.pipeline and p.version = q.pipeline_version
  where q.tenant = $1 and q.blocked_on = $2 and q.state = 'pending' and q.run_id > $5::uuid
    and q.run_id < $6::uuid
  order by q.run_id
  limit $3
  for update of q skip locked`,
);

// Parts of a run are no runs of its pipeline. The newest runs are found along the index of the pipeline, so that the cost does
// not grow with history.
const lastCompleted = statement(
  'find_last_completion',
  `select max(n.finished_at) as finished_at from (
    select r.state, r.finished_at from cronwright.runs r
    where r.tenant = $1 and r.pipeline = $2 and r.is_part is not true
    order by r.id desc
    limit $3
  ) n
  where n.state = 'completed'`,
);

// A request in the name of the pipeline that is missing: the worker that takes the run fails it with this reason.
const release = statement(
  'release_runs_after',
  `update cronwright.queue q
  set limits = string_to_array(u.limits, e'\\n'), blocked_on = split_part(u.limits, e'\\n', 1),
    request = case when u.missing is not null then 'cancel' else q.request end,
    request_by = case when u.missing is not null then u.key else q.request_by end,
    request_reason = coalesce(u.missing, q.request_reason)
  from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) as u(id, limits, missing, key)
  where q.run_id = u.id and q.blocked_on = u.key and q.state = 'pending'
  returning q.run_id, q.tenant, q.blocked_on`,
);

interface WaitingRow {
  run_id: string;
  limits: string[];
  base_at: Date;
  now_at: Date;
  rules: AfterDefinition[] | null;
}

export interface AdmittedAfter {
  /** Runs that may be claimed now. */
  ready: number;
  /** What others of them wait for next. */
  keys: SlotKey[];
}

/** Looks at all runs of the tenant that wait for `pipeline`. */
export async function admitAfter(
  db: Database,
  tenant: string,
  pipeline: string,
  now: Date | null = null,
): Promise<AdmittedAfter> {
  const admitted: AdmittedAfter = { ready: 0, keys: [] };
  if ((await db.query(someWaits, [tenant, afterKey(pipeline)])).rows.length === 0) return admitted;
  // What comes meanwhile is for the next look: this one has an end.
  const end = uuidv7();
  const completed = await findLastCompletion(db, tenant, pipeline);
  for (let last = '00000000-0000-0000-0000-000000000000'; ; ) {
    const page = await db.transaction((tx) => admitPage(tx, { tenant, pipeline, completed, last, end, now }), {
      idempotent: true,
    });
    for (const key of page.released) {
      if (key === null) admitted.ready += 1;
      else admitted.keys.push({ tenant, key });
    }
    if (page.last === undefined) return admitted;
    last = page.last;
  }
}

async function findLastCompletion(db: Queryable, tenant: string, pipeline: string): Promise<number> {
  const { rows } = await db.query<{ finished_at: Date | null }>(lastCompleted, [tenant, pipeline, mostRuns]);
  return rows[0]?.finished_at?.getTime() ?? -Infinity;
}

async function admitPage(
  tx: Queryable,
  at: { tenant: string; pipeline: string; completed: number; last: string; end: string; now: Date | null },
): Promise<{ released: (string | null)[]; last: string | undefined }> {
  const { tenant, pipeline, completed, now } = at;
  const key = afterKey(pipeline);
  const { rows } = await tx.query<WaitingRow>(lock, [tenant, key, batch, now, at.last, at.end]);
  const free: { id: string; limits: string | null; missing: string | null }[] = [];
  for (const { run_id: id, limits, rules, base_at: base, now_at: nowAt } of rows) {
    const times = { baseMs: base.getTime(), nowMs: nowAt.getTime(), completedMs: completed };
    const rule = rules?.find((one) => one.pipeline === pipeline);
    const outcome = rule ? decideAfter(rule, times) : 'run';
    if (outcome === 'wait') continue;
    const missing = outcome === 'run' ? null : outcome.missing;
    // What is to fail needs no slots for it.
    const rest = missing === null ? limits.filter((limit) => limit !== key) : [];
    free.push({ id, missing, limits: rest.length === 0 ? null : rest.join('\n') });
  }
  const last = rows.length < batch ? undefined : rows.at(-1)?.run_id;
  if (free.length === 0) return { released: [], last };
  const released = await tx.query<{ blocked_on: string | null }>(release, [
    free.map((run) => run.id),
    free.map((run) => run.limits),
    free.map((run) => run.missing),
    free.map(() => key),
  ]);
  return { released: released.rows.map((row) => row.blocked_on), last };
}
