// Cancel: the end of runs that nobody works on and that have nothing to do before it.
import { type Queryable, statement } from '../db/database.ts';
import type { SlotKey } from './admit-runs.ts';

// The caller holds the rows' locks, and the states are compared again: who wins the delete ends the run. The slots are the
// only thing others wait for.
const cancel = statement(
  'cancel_runs',
  `with gone as (
    delete from cronwright.queue q
    using unnest($1::uuid[], $2::text[]) as u(id, state)
    where q.run_id = u.id and q.state = u.state
    returning q.run_id, q.tenant, q.pipeline, q.state, q.started_at, q.attempt, q.claims, q.progress, q.message
  ), ended as (
    update cronwright.runs r
    set state = 'cancelled', failure = 'cancelled', finished_at = now(), started_at = g.started_at, attempt = g.attempt,
      claims = g.claims, progress = g.progress, message = g.message,
      error = jsonb_build_object('name', 'Cancelled', 'class', 'fatal', 'message', $5::text)
    from gone g where r.id = g.run_id and r.state is null
  ), steps as (
    update cronwright.step_runs set state = 'cancelled', finished_at = now(), retry_at = null
    where run_id in (select run_id from gone) and state in ('pending', 'running', 'waiting')
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select g.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = g.run_id), 1) + 1, g.tenant,
      null, now(), jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.cancelled', 'from', g.state,
        'to', 'cancelled', 'at', floor(extract(epoch from now()) * 1000), 'actor', $3::text, 'reason', $4::text)))
    from gone g
  ), unasked as (
    update cronwright.waits set state = 'cancelled', answered_at = now()
    where run_id in (select run_id from gone) and state = 'open'
  ), freed as (
    update cronwright.slots set run_id = null where run_id in (select run_id from gone) returning tenant, key
  )
  select run_id, tenant, pipeline, null::text as key from gone
  union all select null, tenant, null, key from freed`,
);

export interface CancelledRuns {
  ended: { runId: string; tenant: string; pipeline: string }[];
  freed: SlotKey[];
}

/** `state` is as it was read under the row's lock; `message` becomes that of the runs' errors. */
export async function cancelRuns(
  tx: Queryable,
  runs: readonly { id: string; state: string }[],
  by: { actor: string | null; reason: string | null; message: string },
): Promise<CancelledRuns> {
  const { rows } = await tx.query<{
    run_id: string | null;
    tenant: string;
    pipeline: string | null;
    key: string | null;
  }>(cancel, [runs.map((run) => run.id), runs.map((run) => run.state), by.actor, by.reason, by.message]);
  const found: CancelledRuns = { ended: [], freed: [] };
  for (const { run_id: runId, tenant, pipeline, key } of rows) {
    if (runId !== null && pipeline !== null) found.ended.push({ runId, tenant, pipeline });
    else if (key !== null) found.freed.push({ tenant, key });
  }
  return found;
}
