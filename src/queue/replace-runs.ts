// Asks every live run of a schedule but one to end: its newer run takes their place.
import { type Queryable, statement } from '../db/database.ts';

// Whoever works on one obeys at the next heartbeat; one that nobody works on goes to a worker, which ends it at once.
const replace = statement(
  'replace_runs',
  `update cronwright.queue q
  set request = 'cancel', request_by = 'scheduler', request_reason = 'a newer occurrence takes its place',
    blocked_on = case when q.state = 'running' then q.blocked_on end,
    state = case when q.state = 'running' then q.state else 'pending' end,
    run_at = case when q.state = 'running' then q.run_at end,
    wait_kind = case when q.state = 'running' then q.wait_kind end,
    pinned_at = case when q.pinned_at is not null then now() end
  from unnest($1::text[], $2::text[], $3::uuid[]) as u(tenant, schedule, newest)
  where q.tenant = u.tenant and q.schedule = u.schedule and q.run_id <> u.newest
    and q.state in ('scheduled', 'pending', 'running', 'waiting', 'retrying', 'paused') and q.rolls_back is not true`,
  { idempotent: true },
);

export async function replaceRuns(
  db: Queryable,
  replacements: readonly { tenant: string; schedule: string; newest: string }[],
): Promise<void> {
  if (replacements.length === 0) return;
  await db.query(replace, [
    replacements.map((one) => one.tenant),
    replacements.map((one) => one.schedule),
    replacements.map((one) => one.newest),
  ]);
}
