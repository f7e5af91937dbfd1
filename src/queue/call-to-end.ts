// Calls runs that nobody works on to their end: they go by way of a claim, because there is something to do before it.
import { type Queryable, statement } from '../db/database.ts';
import type { SlotKey } from './admit-runs.ts';
import { clockGoesOn } from './run-clock.ts';

export interface CalledRun {
  id: string;
  /** As it was read under the row's lock. */
  state: string;
  /** What it did is to be undone; else its clean-up runs. */
  undo: boolean;
}

// The claim obeys the request before anything begins.
const call = statement(
  'call_to_end',
  `with called as (
    update cronwright.queue q
    set state = 'pending', run_at = null, wait_kind = null, paused_from = null, held_by = null,
      attempt_started_at = ${clockGoesOn('now()')},
      clock_stopped_at = null, request = 'cancel', request_by = $3::text, request_reason = $4::text,
      request_rollback = case when u.undo then true end, request_to = null,
      pinned_at = case when q.pinned_at is not null then now() end
    from unnest($1::uuid[], $2::text[], $5::bool[]) as u(id, state, undo)
    where q.run_id = u.id and q.state = u.state
    returning q.run_id, q.tenant, q.blocked_on, u.state as was, u.undo
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select c.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = c.run_id), 1) + 1, c.tenant,
      null, now(), jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
        'event', case when c.undo then 'run.rollback_requested' else 'run.woken' end, 'from', c.was, 'to', 'pending',
        'at', floor(extract(epoch from now()) * 1000), 'actor', $3::text,
        'reason', case when c.undo then $4::text else 'cancelled: its clean-up runs' end)))
    from called c where c.undo or c.was <> 'pending'
  )
  select run_id, tenant, blocked_on as key from called`,
);

/** The caller holds the rows' locks. Returns those called, and the slots that they need before they can be claimed. */
export async function callToEnd(
  tx: Queryable,
  runs: readonly CalledRun[],
  by: { actor: string | null; reason: string | null },
): Promise<{ called: string[]; wanted: SlotKey[] }> {
  const { rows } = await tx.query<{ run_id: string; tenant: string; key: string | null }>(call, [
    runs.map((run) => run.id),
    runs.map((run) => run.state),
    by.actor,
    by.reason,
    runs.map((run) => run.undo),
  ]);
  return {
    called: rows.map((row) => row.run_id),
    wanted: rows.flatMap(({ tenant, key }) => (key === null ? [] : [{ tenant, key }])),
  };
}
