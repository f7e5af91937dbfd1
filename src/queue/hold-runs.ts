// Hold: keeps runs that nobody works on from starting or going on; a run that never began gives its slots to others.
import { type Queryable, statement } from '../db/database.ts';
import type { RunState } from '../domain/run.ts';
import type { SlotKey } from './admit-runs.ts';

export interface HeldRun {
  id: string;
  /** As it was read under the row's lock. */
  state: RunState;
}

// What a person had asked for before its pipeline or tenant was paused stays that person's pause.
const isOwn = "($5::uuid is not null and coalesce(q.request, '') = 'pause' and q.held_by is null)";

// The caller holds the rows' locks, so that the number after the last of a run's history is free; the state is compared again.
// A run that had begun keeps its slots, as it does in every other wait: a limit of 1 is mutual exclusion for the whole run.
const hold = statement(
  'hold_runs',
  `with freed as (
    update cronwright.slots set run_id = null
    where run_id = any(array(
      select q.run_id from unnest($1::uuid[], $2::text[]) as u(id, state)
      join cronwright.queue q on q.run_id = u.id and q.state = u.state
      where q.started_at is null))
    returning tenant, key
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select q.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = q.run_id), 1) + 1, q.tenant,
      null, coalesce($6::timestamptz, now()),
      jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.paused', 'from', q.state, 'to', 'paused',
        'at', floor(extract(epoch from coalesce($6::timestamptz, now())) * 1000),
        'actor', case when ${isOwn} then q.request_by else $3::text end,
        'reason', case when ${isOwn} then q.request_reason else $4::text end)))
    from unnest($1::uuid[], $2::text[]) as u(id, state)
    join cronwright.queue q on q.run_id = u.id and q.state = u.state
  ), held as (
    update cronwright.queue q
    set state = 'paused', paused_from = q.state, held_by = case when not ${isOwn} then $5::uuid end,
      clock_stopped_at = coalesce($6::timestamptz, now()),
      run_at = case when q.state = 'retrying' then null else q.run_at end, wait_kind = null,
      blocked_on = case when q.blocked_on = 'run_at' or q.started_at is null then q.limits[1]
        else q.blocked_on end,
      request = null, request_by = null, request_reason = null, has_history = true
    from unnest($1::uuid[], $2::text[]) as u(id, state)
    where q.run_id = u.id and q.state = u.state
    returning q.run_id
  )
  select run_id, null::text as tenant, null::text as key from held
  union all
  select null, tenant, key from freed`,
);

/** Call it in the transaction that locked the rows. `heldBy`: the pause of their pipeline or tenant; null: a person's. */
export async function holdRuns(
  tx: Queryable,
  runs: readonly HeldRun[],
  by: { actor: string | null; reason: string | null; heldBy: string | null; now?: Date | null },
): Promise<{ held: string[]; freed: SlotKey[] }> {
  const { rows } = await tx.query<{ run_id: string | null; tenant: string; key: string }>(hold, [
    runs.map((run) => run.id),
    runs.map((run) => run.state),
    by.actor,
    by.reason,
    by.heldBy,
    by.now ?? null,
  ]);
  return {
    held: rows.flatMap((row) => (row.run_id === null ? [] : [row.run_id])),
    freed: rows.filter((row) => row.run_id === null).map(({ tenant, key }) => ({ tenant, key })),
  };
}
