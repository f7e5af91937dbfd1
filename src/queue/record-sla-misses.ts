// Writes down promises about time that were not kept, each once whoever finds it first, and answers with those that are new.
import { idAt } from '../base/id-at.ts';
import { type Queryable, statement } from '../db/database.ts';
import type { SlaKind } from '../domain/sla.ts';

/** `schedule` null: of runs that no schedule made. */
export interface SlaRule {
  tenant: string;
  pipeline: string;
  schedule: string | null;
  kind: SlaKind;
  withinMs: number;
}

export interface SlaMiss {
  tenant: string;
  pipeline: string;
  schedule: string | null;
  kind: SlaKind;
  nominal_at: Date | null;
  run_id: string | null;
  count: number;
  within_ms: number;
  due_at: Date;
}

/** Runs of one rule that a look goes through: the newest. */
const mostRuns = 10_000;
/** A range of missed times that was recorded lately may be of times this long ago. */
const oldestRangeDays = 30;

// $6 stands in each: now, or null for the database's clock.
const rules = `unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[])
      as u(tenant, pipeline, schedule, kind, within_ms)`;
const now = 'coalesce($6::timestamptz, now())';
const within = `u.within_ms * interval '1 millisecond'`;

/** What a promise about a run counts from, and who it is about; backfills are of the past, and children are part of their parent. */
const base = `(case when r.origin = 'schedule' then r.nominal_at else coalesce(r.run_at, r.created_at) end)`;
const subject = `case when r.origin = 'schedule'
      then r.schedule || '@' || (extract(epoch from r.nominal_at)::int8)::text else r.id::text end`;
const isPromised = `not r.dry_run and r.origin not in ('backfill', 'parent')`;

const insert = `insert into cronwright.sla_misses
    (tenant, subject, kind, pipeline, schedule, nominal_at, run_id, count, within_ms, due_at, missed_at)`;
const once = `on conflict (tenant, subject, kind) do nothing
  returning tenant, pipeline, schedule, kind, nominal_at, run_id, count, within_ms, due_at`;

const live = statement(
  'record_sla_misses_of_live_runs',
  `${insert}
  select u.tenant, ${subject}, u.kind, u.pipeline, r.schedule, r.nominal_at, r.id, r.nominal_count, u.within_ms,
    ${base} + ${within}, ${now}
  from ${rules}
  join cronwright.queue q on q.tenant = u.tenant and q.pipeline = u.pipeline and coalesce(q.schedule, '') = u.schedule
  join cronwright.runs r on r.id = q.run_id
  where ${isPromised} and ${base} + ${within} < ${now} and (u.kind = 'complete' or q.started_at is null)
  ${once}`,
);

// Who was cancelled in time broke no promise. $7 is by rule: runs made before could not be late only now.
const ended = statement(
  'record_sla_misses_of_ended_runs',
  `${insert}
  select u.tenant, ${subject}, u.kind, u.pipeline, r.schedule, r.nominal_at, r.id, r.nominal_count, u.within_ms,
    ${base} + ${within}, ${now}
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $7::uuid[])
    as u(tenant, pipeline, schedule, kind, within_ms, since)
  cross join lateral (
    select * from cronwright.runs n
    where n.tenant = u.tenant and n.pipeline = u.pipeline and n.id >= u.since order by n.id desc limit $8
  ) r
  where r.state is not null and ${isPromised} and coalesce(r.schedule, '') = u.schedule and ${base} + ${within} < ${now}
    and case when u.kind = 'start' then coalesce(r.started_at, r.finished_at) > ${base} + ${within}
      else r.finished_at > ${base} + ${within} or r.state in ('failed', 'rolled_back', 'dead_letter') end
  ${once}`,
);

const skipped = statement(
  'record_sla_misses_of_occurrences',
  `${insert}
  select u.tenant, o.schedule || '@' || (extract(epoch from o.first_at)::int8)::text, u.kind, u.pipeline, o.schedule, o.first_at,
    null::uuid, o.count, u.within_ms, o.first_at + ${within}, ${now}
  from ${rules}
  join cronwright.occurrences o on o.tenant = u.tenant and o.schedule = u.schedule
  where o.outcome in ('missed', 'skipped_overlap') and o.last_at >= ${now} - $8::int4 * interval '1 day' - ${within}
    and o.recorded_at >= ${now} - $7::int8 * interval '1 millisecond' - ${within} and o.first_at + ${within} < ${now}
  ${once}`,
);

const undecided = statement(
  'record_sla_misses_of_schedules',
  `${insert}
  select u.tenant, u.schedule || '@' || (extract(epoch from u.nominal_at)::int8)::text, u.kind, u.pipeline, u.schedule, u.nominal_at,
    null::uuid, 1, u.within_ms, u.nominal_at + ${within}, ${now}
  from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $7::timestamptz[])
    as u(tenant, pipeline, schedule, kind, within_ms, nominal_at)
  where u.nominal_at + ${within} < ${now}
  ${once}`,
);

function columnsOf(list: readonly SlaRule[]): unknown[] {
  return [
    list.map(({ tenant }) => tenant),
    list.map(({ pipeline }) => pipeline),
    list.map(({ schedule }) => schedule ?? ''),
    list.map(({ kind }) => kind),
    list.map(({ withinMs }) => withinMs),
  ];
}

/** `lookbackMs`: what ended or was recorded so long ago, and a promise's time before that, is looked at again. */
export async function recordSlaMisses(
  db: Queryable,
  list: readonly SlaRule[],
  options: { nowMs: number; lookbackMs: number; now?: Date | null },
): Promise<SlaMiss[]> {
  const { nowMs, lookbackMs, now: at = null } = options;
  const columns = columnsOf(list);
  const since = list.map(({ withinMs }) => idAt(nowMs - withinMs - lookbackMs));
  const of = list.filter(({ schedule }) => schedule !== null);
  const found = [
    await db.query<SlaMiss>(live, [...columns, at]),
    await db.query<SlaMiss>(ended, [...columns, at, since, mostRuns]),
    ...(of.length === 0 ? [] : [await db.query<SlaMiss>(skipped, [...columnsOf(of), at, lookbackMs, oldestRangeDays])]),
  ];
  return found.flatMap(({ rows }) => rows);
}

export interface UndecidedSchedule {
  tenant: string;
  id: string;
  cursor_at: Date;
}

// Those whose next look is long due, and the broken ones, which have none. Paused time is not owed.
const overdue = statement(
  'find_undecided_schedules',
  `select s.tenant, s.id, s.cursor_at
  from unnest($1::text[], $2::text[], $3::int8[]) as u(tenant, schedule, within_ms)
  join cronwright.schedules s on s.tenant = u.tenant and s.id = u.schedule
  where s.enabled and s.removed_at is null and s.paused_at is null
    and (s.error is not null or s.next_at < coalesce($4::timestamptz, now()) - u.within_ms * interval '1 millisecond')
    and not exists (
      select 1 from cronwright.pauses p where p.tenant = s.tenant and p.pipeline in ('', s.pipeline) and p.ended_at is null)`,
);

/** Schedules that may owe a decision for longer than the shortest of their promises. */
export async function findUndecided(
  db: Queryable,
  list: readonly SlaRule[],
  at: Date | null = null,
): Promise<UndecidedSchedule[]> {
  const shortest = new Map<string, SlaRule>();
  for (const rule of list) {
    if (rule.schedule === null) continue;
    const key = `${rule.tenant}/${rule.schedule}`;
    if ((shortest.get(key)?.withinMs ?? Number.POSITIVE_INFINITY) > rule.withinMs) shortest.set(key, rule);
  }
  const all = [...shortest.values()];
  if (all.length === 0) return [];
  const params = [all.map(({ tenant }) => tenant), all.map((one) => one.schedule), all.map((one) => one.withinMs), at];
  return (await db.query<UndecidedSchedule>(overdue, params)).rows;
}

/** Of nominal times that nobody has decided yet. */
export async function recordUndecided(
  db: Queryable,
  list: readonly (SlaRule & { nominalAt: Date })[],
  at: Date | null = null,
): Promise<SlaMiss[]> {
  if (list.length === 0) return [];
  const params = [...columnsOf(list), at, list.map(({ nominalAt }) => nominalAt)];
  return (await db.query<SlaMiss>(undecided, params)).rows;
}
