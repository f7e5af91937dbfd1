// Asks that what a live run did is undone: by its worker, or by whoever claims it next.
import { type Queryable, statement } from '../db/database.ts';
import type { RunState } from '../domain/run.ts';
import type { SlotKey } from '../queue/admit-runs.ts';
import { forbiddenTransition } from './forbidden-transition.ts';
import type { LockedRun } from './lock-run.ts';

export interface RollbackWish {
  id: string;
  actor: string;
  reason?: string | undefined;
  /** The step that is kept; absent: none. */
  to?: string | undefined;
}

const ask = statement(
  'request_rollback',
  `update cronwright.queue
  set request = 'cancel', request_by = $3::text, request_reason = $4::text, request_rollback = true, request_to = $5::text
  where run_id = $1 and state = 'running' and token = $2`,
);

// By way of a claim, which obeys the request before anything begins. One that could not be undone goes on with its rollback.
const call = statement(
  'call_for_rollback',
  `with called as (
    update cronwright.queue
    set state = 'pending', run_at = null, wait_kind = null, paused_from = null, held_by = null, clock_stopped_at = null,
      request = case when $2::text <> 'rollback_failed' then 'cancel' end,
      request_by = case when $2::text <> 'rollback_failed' then $3::text end,
      request_reason = case when $2::text <> 'rollback_failed' then $4::text end,
      request_rollback = case when $2::text <> 'rollback_failed' then true end,
      request_to = case when $2::text <> 'rollback_failed' then $5::text end,
      pinned_at = case when pinned_at is not null then now() end
    where run_id = $1 and state = $2::text
    returning run_id, tenant, blocked_on
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select c.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = c.run_id), 1) + 1, c.tenant,
      null, now(), jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
        'event', case when $2::text = 'rollback_failed' then 'run.rolling_back' else 'run.rollback_requested' end,
        'from', $2::text, 'to', case when $2::text = 'rollback_failed' then 'rolling_back' else 'pending' end,
        'at', floor(extract(epoch from now()) * 1000), 'actor', $3::text, 'reason', $4::text)))
    from called c
  )
  select tenant, blocked_on as key from called`,
);

const started = statement(
  'has_started_steps',
  `select 1 as found from cronwright.step_runs where run_id = $1 and started_at is not null limit 1`,
);

export async function hasStarted(tx: Queryable, id: string): Promise<boolean> {
  return (await tx.query(started, [id])).rows.length > 0;
}

/**
 * Whether just this was asked for before; `wish` is undefined for a plain cancel. Throws `conflict` where another rollback was:
 * it was promised, and what is asked now would be lost to it.
 */
export function isAskedAlready(
  run: LockedRun,
  { id, requested, wish }: { id: string; requested: RunState; wish: { to: string | null } | undefined },
): boolean {
  const { rollback } = run;
  if (rollback === undefined) return false;
  if (wish && wish.to === rollback.to) return true;
  const what = rollback.to === null ? 'its rollback' : `its rollback to step "${rollback.to}"`;
  throw forbiddenTransition(id, run.state, requested, `${what} was asked for already`);
}

/** The caller holds the row's lock. Returns the slots that the run needs before it can be claimed. */
export async function requestRollback(tx: Queryable, run: LockedRun, wish: RollbackWish): Promise<SlotKey[]> {
  const { id, actor, reason = null, to = null } = wish;
  if (run.state === 'running') {
    await tx.query(ask, [id, run.token, actor, reason, to]);
    return [];
  }
  const { rows } = await tx.query<{ tenant: string; key: string | null }>(call, [id, run.state, actor, reason, to]);
  return rows.flatMap(({ tenant, key }) => (key === null ? [] : [{ tenant, key }]));
}
