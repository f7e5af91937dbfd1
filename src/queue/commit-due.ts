// Commits what the scheduler decided: moves cursors, makes runs and keeps what did not become a run, all or nothing per schedule.
import { type Queryable, statement } from '../db/database.ts';
import type { NewRun } from '../domain/new-run.ts';
import { fairParam, queueInsert, runInsert, runParams } from './run-columns.ts';

export interface CursorMove {
  tenant: string;
  schedule: string;
  /** The version that was read; the move happens only where it still is the schedule's. */
  version: number;
  cursorAt: Date;
  /** When the scheduler has to look again; null: never. */
  nextAt: Date | null;
  /** Ends a pause that has run out. */
  clearPause: boolean;
  lastRunId: string | null;
  lastNominalAt: Date | null;
  /** What is wrong with the schedule; null clears it. */
  error: string | null;
}

/** Nominal times that did not become runs. */
export interface OccurrenceRange {
  id: string;
  tenant: string;
  schedule: string;
  outcome: 'missed' | 'skipped_overlap' | 'skipped_paused' | 'skipped_calendar';
  firstAt: Date;
  lastAt: Date;
  count: number;
  reason: string;
}

export interface CommittedDue {
  /** `tenant/schedule` of the moves that won. */
  moved: Set<string>;
  /** Ids of the runs that exist now because of this call. */
  enqueued: Set<string>;
}

// One statement is one transaction: a cursor never moves without its runs. moved is the gate of everything else, so
// whoever loses the compare-and-set writes nothing. A schedule's slot is taken in passing where it is free and the run
// needs no other, by the first of several runs; the upsert also makes the slot on the schedule's first fire.
// `is true` makes each `in` a look-up in a hash table: as a join it is one of every row with every row, wherever the planner
// expects few.
const commit = statement(
  'commit_due',
  `with moved as (
    update cronwright.schedules s
    set cursor_at = m.cursor_at, next_at = m.next_at, version = s.version + 1, error = m.error,
      last_run_id = coalesce(m.last_run_id, s.last_run_id),
      last_nominal_at = coalesce(m.last_nominal_at, s.last_nominal_at),
      paused_at = case when m.clear_pause then null else s.paused_at end,
      paused_until = case when m.clear_pause then null else s.paused_until end,
      paused_by = case when m.clear_pause then null else s.paused_by end,
      paused_reason = case when m.clear_pause then null else s.paused_reason end,
      updated_at = coalesce($20::timestamptz, now())
    from unnest($21::text[], $22::text[], $23::int8[], $24::timestamptz[], $25::timestamptz[], $26::bool[], $27::uuid[],
      $28::timestamptz[], $29::text[])
      as m(tenant, id, version, cursor_at, next_at, clear_pause, last_run_id, last_nominal_at, error)
    where s.tenant = m.tenant and s.id = m.id and s.version = m.version
    returning s.tenant, s.id
  ), r as (
    ${runInsert}
    where ((u.tenant, u.schedule) in (select tenant, id from moved)) is true
    on conflict do nothing
    returning id
  ), taken as (
    insert into cronwright.slots (tenant, key, n, run_id, retired)
    select distinct on (u.tenant, u.limits) u.tenant, u.limits, 1::int4, u.id, false
    from unnest($1::uuid[], $2::text[], $19::text[], $5::text[]) as u(id, tenant, limits, schedule)
    where u.limits = 'schedule:' || u.schedule and (u.id in (select id from r)) is true
    order by u.tenant, u.limits, u.id
    on conflict (tenant, key, n) do update set run_id = excluded.run_id where slots.run_id is null
    returning run_id
  ), q as (
    ${queueInsert(38).replace("split_part(u.limits, e'\\n', 1)", "case when u.id in (select run_id from taken) then null else split_part(u.limits, e'\\n', 1) end")}
    where (u.id in (select id from r)) is true
    returning run_id
  ), o as (
    insert into cronwright.occurrences (id, tenant, schedule, outcome, first_at, last_at, count, reason, recorded_at)
    select o.id, o.tenant, o.schedule, o.outcome, o.first_at, o.last_at, o.count, o.reason,
      coalesce($20::timestamptz, now())
    from unnest($30::uuid[], $31::text[], $32::text[], $33::text[], $34::timestamptz[], $35::timestamptz[], $36::int8[],
      $37::text[]) as o(id, tenant, schedule, outcome, first_at, last_at, count, reason)
    where ((o.tenant, o.schedule) in (select tenant, id from moved)) is true
    on conflict do nothing
  )
  select tenant, id, null::uuid as run_id from moved
  union all
  select null, null, run_id from q`,
  { idempotent: true },
);

export async function commitDue(
  db: Queryable,
  due: { moves: readonly CursorMove[]; runs: readonly NewRun[]; ranges: readonly OccurrenceRange[] },
  now: Date | null = null,
): Promise<CommittedDue> {
  const { moves, ranges } = due;
  const { rows } = await db.query<{ tenant: string | null; id: string | null; run_id: string | null }>(commit, [
    ...runParams(due.runs, now),
    moves.map((move) => move.tenant),
    moves.map((move) => move.schedule),
    moves.map((move) => move.version),
    moves.map((move) => move.cursorAt),
    moves.map((move) => move.nextAt),
    moves.map((move) => move.clearPause),
    moves.map((move) => move.lastRunId),
    moves.map((move) => move.lastNominalAt),
    moves.map((move) => move.error),
    ranges.map((range) => range.id),
    ranges.map((range) => range.tenant),
    ranges.map((range) => range.schedule),
    ranges.map((range) => range.outcome),
    ranges.map((range) => range.firstAt),
    ranges.map((range) => range.lastAt),
    ranges.map((range) => range.count),
    ranges.map((range) => range.reason),
    fairParam(due.runs),
  ]);
  const moved = new Set<string>();
  const enqueued = new Set<string>();
  for (const row of rows) {
    if (row.run_id !== null) enqueued.add(row.run_id);
    else moved.add(`${row.tenant}/${row.id}`);
  }
  return { moved, enqueued };
}
