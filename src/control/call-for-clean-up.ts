// A run that nobody works on has clean-up steps: it is cancelled by way of a claim, so that they run.
import { type Queryable, statement } from '../db/database.ts';
import type { SlotKey } from '../queue/admit-runs.ts';
import type { LockedRun } from './lock-run.ts';

const cleanUp = statement(
  'has_clean_up',
  `select 1 as found
  from cronwright.runs r
  join cronwright.pipelines p on p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version
  where r.id = $1 and jsonb_array_length(coalesce(p.definition->'finally', '[]'::jsonb)) > 0`,
);

// The claim obeys the request before anything begins.
const call = statement(
  'call_for_clean_up',
  `with called as (
    update cronwright.queue
    set state = 'pending', run_at = null, wait_kind = null, paused_from = null, held_by = null,
      attempt_started_at = attempt_started_at + coalesce(now() - clock_stopped_at, interval '0 seconds'),
      clock_stopped_at = null, request = 'cancel', request_by = $3::text, request_reason = $4::text,
      pinned_at = case when pinned_at is not null then now() end
    where run_id = $1 and state = $2::text
    returning run_id, tenant, blocked_on
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select c.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = c.run_id), 1) + 1, c.tenant,
      null, now(), jsonb_build_array(jsonb_build_object('event', 'run.woken', 'from', $2::text, 'to', 'pending',
        'at', floor(extract(epoch from now()) * 1000), 'actor', $3::text, 'reason', 'cancelled: its clean-up runs'))
    from called c where $2::text <> 'pending'
  )
  select tenant, blocked_on as key from called`,
);

/** Whether there is anything to clean up after: one that never began has left nothing. */
export async function hasCleanUp(tx: Queryable, run: LockedRun, id: string): Promise<boolean> {
  return run.startedAt !== null && (await tx.query(cleanUp, [id])).rows.length > 0;
}

/** The caller holds the row's lock. Returns the slots that the run needs before it can be claimed. */
export async function callForCleanUp(
  tx: Queryable,
  run: LockedRun,
  { id, actor, reason = null }: { id: string; actor: string; reason?: string | null | undefined },
): Promise<SlotKey[]> {
  const { rows } = await tx.query<{ tenant: string; key: string | null }>(call, [id, run.state, actor, reason]);
  return rows.flatMap(({ tenant, key }) => (key === null ? [] : [{ tenant, key }]));
}
