// Pauses of pipelines and tenants: makes, ends and reads their rows. What they do to runs is for settle-pauses.
import { type Queryable, statement } from '../db/database.ts';

export interface Pause {
  id: string;
  tenant: string;
  /** Null: all of the tenant. */
  pipeline: string | null;
  at: Date;
  by: string;
  reason: string | null;
  until: Date | null;
}

interface PauseRow {
  id: string;
  tenant: string;
  pipeline: string;
  paused_at: Date;
  paused_by: string;
  reason: string | null;
  until_at: Date | null;
}

const columns = 'p.id, p.tenant, p.pipeline, p.paused_at, p.paused_by, p.reason, p.until_at';

/** The pauses that a schedule's undecided times may lie in, as JSON, for a row of schedules called `s`. */
export const pausesOfSchedule = `(
      select jsonb_agg(jsonb_build_object('fromMs', floor(extract(epoch from p.paused_at) * 1000)::float8,
        'untilMs', floor(extract(epoch from coalesce(p.ended_at, p.until_at)) * 1000)::float8))
      from cronwright.pauses p
      where p.tenant = s.tenant and p.pipeline in ('', s.pipeline) and (p.ended_at is null or p.ended_at > s.cursor_at)
    ) as scope_pauses`;

/** What lasts now: a pause whose end has come is over, whether or not somebody has noticed. */
const inForce = 'p.ended_at is null and (p.until_at is null or p.until_at > coalesce($1::timestamptz, now()))';

const list = statement(
  'list_pauses',
  `select ${columns} from cronwright.pauses p
  where ${inForce} and ($2::text is null or p.tenant = $2)
  order by p.tenant, p.pipeline limit 1000`,
);

const over = statement(
  'find_pause_over',
  `select ${columns} from cronwright.pauses p
  where ${inForce} and p.tenant = $2 and (p.pipeline = '' or p.pipeline = $3)
  order by p.pipeline desc limit 1`,
);

// Whoever pauses again says anew why and until when; what is paused and since when stays.
const begin = statement(
  'begin_pause',
  `insert into cronwright.pauses (id, tenant, pipeline, paused_at, paused_by, reason, until_at)
  values ($1, $2, $3, coalesce($7::timestamptz, now()), $4, $5, $6)
  on conflict (tenant, pipeline) where ended_at is null
  do update set paused_by = excluded.paused_by, reason = excluded.reason, until_at = excluded.until_at
  returning id, tenant, pipeline, paused_at, paused_by, reason, until_at`,
);

const end = statement(
  'end_pause',
  `update cronwright.pauses
  set ended_at = least(coalesce(until_at, coalesce($4::timestamptz, now())), coalesce($4::timestamptz, now())), ended_by = $3
  where tenant = $1 and pipeline = $2 and ended_at is null
  returning id, tenant, pipeline, paused_at, paused_by, reason, until_at`,
);

const endOverdue = statement(
  'end_overdue_pauses',
  `update cronwright.pauses set ended_at = until_at
  where ended_at is null and until_at <= coalesce($1::timestamptz, now())
  returning id, tenant, pipeline, paused_at, paused_by, reason, until_at`,
  { idempotent: true },
);

// Decided again with the pause as it is now: without an end they are not looked at before somebody resumes. The raised version
// makes a scheduler that decided without knowing of it do so once more.
const wakeSchedules = statement(
  'wake_paused_schedules',
  `update cronwright.schedules
  set next_at = coalesce($3::timestamptz, now()), version = version + 1, updated_at = coalesce($3::timestamptz, now())
  where tenant = $1 and ($2 = '' or pipeline = $2) and enabled and removed_at is null`,
);

// What another pause covers as well is not this one's to let go.
const reach = statement(
  'count_runs_of_pause',
  `select count(*) filter (where q.state = 'paused') as held, count(*) filter (where q.state <> 'paused') as asked,
    count(*) filter (where q.state = 'paused' and not exists (
      select 1 from cronwright.pauses p
      where p.tenant = q.tenant and p.pipeline in ('', q.pipeline) and p.ended_at is null)) as freed
  from cronwright.queue q where q.held_by = $1`,
);

// Times before the oldest cursor are decided, and the rows that name a pause are gone with its last run.
const forget = statement(
  'forget_pauses',
  `delete from cronwright.pauses p
  where p.ended_at < coalesce($1::timestamptz, now()) - interval '1 day'
    and not exists (select 1 from cronwright.queue q where q.held_by = p.id)
    and not exists (select 1 from cronwright.schedules s where s.tenant = p.tenant and s.cursor_at <= p.ended_at)`,
  { idempotent: true },
);

/** Those that last now, of one tenant or (null) of all. */
export async function listPauses(db: Queryable, tenant: string | null, now: Date | null = null): Promise<Pause[]> {
  return (await db.query<PauseRow>(list, [now, tenant])).rows.map(toPause);
}

/** The pause that keeps runs of a pipeline from starting: its own, or its tenant's. */
export async function findPauseOver(
  db: Queryable,
  tenant: string,
  pipeline: string,
  now: Date | null = null,
): Promise<Pause | undefined> {
  const [row] = (await db.query<PauseRow>(over, [now, tenant, pipeline])).rows;
  return row && toPause(row);
}

/** Call it in a transaction: the schedules are told in it. */
export async function beginPause(
  tx: Queryable,
  pause: Omit<Pause, 'at'>,
  now: Date | null = null,
): Promise<Pause | undefined> {
  const { id, tenant, by, reason, until } = pause;
  const pipeline = pause.pipeline ?? '';
  const [row] = (await tx.query<PauseRow>(begin, [id, tenant, pipeline, by, reason, until, now])).rows;
  await tx.query(wakeSchedules, [tenant, pipeline, now]);
  return row && toPause(row);
}

/** Undefined where there is none. Call it in a transaction. */
export async function endPause(
  tx: Queryable,
  of: { tenant: string; pipeline: string | null; by: string },
  now: Date | null = null,
): Promise<Pause | undefined> {
  const pipeline = of.pipeline ?? '';
  const [row] = (await tx.query<PauseRow>(end, [of.tenant, pipeline, of.by, now])).rows;
  await tx.query(wakeSchedules, [of.tenant, pipeline, now]);
  return row && toPause(row);
}

/** Runs that a pause holds, those it has asked to hold still, and those that its end lets go. */
export async function countRunsOf(
  db: Queryable,
  pause: string,
): Promise<{ held: number; asked: number; freed: number }> {
  const { rows } = await db.query<{ held: number; asked: number; freed: number }>(reach, [pause]);
  return rows[0] ?? { held: 0, asked: 0, freed: 0 };
}

/** Ends those whose time is up. */
export async function endOverduePauses(db: Queryable, now: Date | null = null): Promise<Pause[]> {
  return (await db.query<PauseRow>(endOverdue, [now])).rows.map(toPause);
}

/** Forgets ended pauses that no run and no schedule asks for any more. */
export async function forgetPauses(db: Queryable, now: Date | null = null): Promise<void> {
  await db.query(forget, [now]);
}

function toPause(row: PauseRow): Pause {
  return {
    id: row.id,
    tenant: row.tenant,
    pipeline: row.pipeline === '' ? null : row.pipeline,
    at: row.paused_at,
    by: row.paused_by,
    reason: row.reason,
    until: row.until_at,
  };
}
