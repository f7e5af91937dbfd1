// Let go: paused runs go on. The time that they were paused for is none of their timeout's.
import { type Queryable, statement } from '../db/database.ts';
import type { SlotKey } from './admit-runs.ts';
import { clockGoesOn } from './run-clock.ts';

export interface LetGoRuns {
  ids: string[];
  /** Slots that they need before they can start. */
  wanted: SlotKey[];
  /** Whether one of them is not to start before a time of its own. */
  hasTimer: boolean;
}

// As waking does it: a run-level retry begins its next attempt. A run that was asked for at a later time is pending and blocked
// by that time ('run_at' in place of a slot) until the timers wake it.
const letGo = statement(
  'let_go_runs',
  `with told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select q.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = q.run_id), 1) + 1, q.tenant,
      null, coalesce($4::timestamptz, now()),
      jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.resumed', 'from', 'paused', 'to', 'pending',
        'at', floor(extract(epoch from coalesce($4::timestamptz, now())) * 1000), 'actor', $2::text, 'reason', $3::text)))
    from cronwright.queue q where q.run_id = any($1::uuid[]) and q.state = 'paused'
  )
  update cronwright.queue
  set state = 'pending', paused_from = null, held_by = null, wait_kind = null,
    run_at = case when run_at > coalesce($4::timestamptz, now()) then run_at end,
    blocked_on = case when run_at > coalesce($4::timestamptz, now()) then 'run_at' else blocked_on end,
    pinned_at = case when pinned_at is not null then coalesce($4::timestamptz, now()) end,
    attempt = case when paused_from = 'retrying' then attempt + 1 else attempt end,
    attempt_started_at = case when coalesce(paused_from, '') <> 'retrying' then ${clockGoesOn('coalesce($4::timestamptz, now())')} end,
    clock_stopped_at = null, has_history = true
  where run_id = any($1::uuid[]) and state = 'paused'
  returning run_id, tenant, blocked_on, run_at`,
);

/** Call it in the transaction that locked the rows; admit what is wanted afterwards. */
export async function letGoRuns(
  tx: Queryable,
  ids: readonly string[],
  by: { actor: string | null; reason: string | null; now?: Date | null },
): Promise<LetGoRuns> {
  const { rows } = await tx.query<{ run_id: string; tenant: string; blocked_on: string | null; run_at: Date | null }>(
    letGo,
    [ids, by.actor, by.reason, by.now ?? null],
  );
  const wanted = new Map<string, SlotKey>();
  for (const { tenant, blocked_on: key, run_at: runAt } of rows) {
    if (key !== null && runAt === null) wanted.set(`${tenant}\n${key}`, { tenant, key });
  }
  return {
    ids: rows.map((row) => row.run_id),
    wanted: [...wanted.values()],
    hasTimer: rows.some((row) => row.run_at !== null),
  };
}
