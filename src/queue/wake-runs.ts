// Wakes runs whose time has come: scheduled ones start, waiting and retrying ones go on. A pending one with a time was paused before it.
import { type Queryable, statement } from '../db/database.ts';
import { clockGoesOn } from './run-clock.ts';

export interface WokenRun {
  runId: string;
  tenant: string;
  blockedOn: string | null;
}

// The states are excluded, not named: a planner without statistics takes three named ones for next to nothing, and reads the
// whole table for them. History says where it came from; seq follows the last one stored, which only this row's lock holder may write.
const wake = statement(
  'wake_runs',
  `with due as (
    select run_id, state from cronwright.queue
    where run_at <= coalesce($1::timestamptz, now())
      and state not in ('running', 'paused', 'rolling_back', 'rollback_failed')
    order by run_at nulls last
    limit $2
    for update skip locked
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select q.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = q.run_id), 1) + 1, q.tenant,
      $3::uuid, coalesce($1::timestamptz, now()),
      jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.woken', 'from', nullif(q.state, 'pending'),
        'to', 'pending', 'at', floor(extract(epoch from coalesce($1::timestamptz, now())) * 1000))))
    from cronwright.queue q where q.run_id = any(array(select run_id from due))
  )
  update cronwright.queue
  set state = 'pending', run_at = null, wait_kind = null,
    blocked_on = case when blocked_on = 'run_at' then limits[1] else blocked_on end,
    pinned_at = case when pinned_at is not null then coalesce($1::timestamptz, now()) end,
    attempt = case when state = 'retrying' then attempt + 1 else attempt end,
    attempt_started_at = case when state <> 'retrying' then ${clockGoesOn('coalesce($1::timestamptz, now())')} end,
    clock_stopped_at = null
  where run_id = any(array(select run_id from due))
  returning run_id, tenant, blocked_on`,
  { idempotent: true },
);

const nextTimer = statement(
  'next_timer',
  `select (extract(epoch from (min(run_at) - coalesce($1::timestamptz, now()))) * 1000)::float8 as wait_ms
  from cronwright.queue where run_at is not null and state in ('scheduled', 'retrying', 'waiting', 'pending')`,
);

export async function wakeRuns(
  db: Queryable,
  options: { limit: number; node: string | null; now?: Date | null },
): Promise<WokenRun[]> {
  const { rows } = await db.query<{ run_id: string; tenant: string; blocked_on: string | null }>(wake, [
    options.now ?? null,
    options.limit,
    options.node,
  ]);
  return rows.map((row) => ({ runId: row.run_id, tenant: row.tenant, blockedOn: row.blocked_on }));
}

/** Milliseconds until the next run's time comes (negative: overdue); undefined where none waits for a time. */
export async function nextTimerMs(db: Queryable, now: Date | null = null): Promise<number | undefined> {
  const { rows } = await db.query<{ wait_ms: number | null }>(nextTimer, [now]);
  return rows[0]?.wait_ms ?? undefined;
}
