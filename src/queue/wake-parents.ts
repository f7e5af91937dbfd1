// Wakes runs whose children have ended: one that waits goes on, one that is held or at work looks again.
import { type Database, type Queryable, statement } from '../db/database.ts';
import { clockGoesOn } from './run-clock.ts';
import type { WokenRun } from './wake-runs.ts';

const lockParents = statement(
  'lock_parents',
  `select q.run_id, q.state from cronwright.queue q
  where q.run_id = any(array(
      select r.parent_id from cronwright.runs r where r.id = any($1::uuid[]) and r.child_open is true))
    and q.state in ('waiting', 'running', 'paused')
  order by q.run_id
  for update`,
);

// Where it came from is history; the row's lock is ours, so seq follows the last one stored.
const wake = statement(
  'wake_parents',
  `with told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select q.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = q.run_id), 1) + 1, q.tenant,
      $2::uuid, coalesce($3::timestamptz, now()),
      jsonb_build_array(jsonb_build_object('event', 'run.woken', 'from', 'waiting', 'to', 'pending',
        'at', floor(extract(epoch from coalesce($3::timestamptz, now())) * 1000), 'reason', 'children'))
    from cronwright.queue q where q.run_id = any($1::uuid[]) and q.state = 'waiting'
  )
  update cronwright.queue
  set signalled = true,
    state = case when state = 'waiting' then 'pending' else state end,
    run_at = case when state = 'waiting' then null else run_at end,
    wait_kind = case when state = 'waiting' then null else wait_kind end,
    pinned_at = case when state = 'waiting' and pinned_at is not null then coalesce($3::timestamptz, now())
      else pinned_at end,
    attempt_started_at = case when state = 'waiting' then ${clockGoesOn('coalesce($3::timestamptz, now())')}
      else attempt_started_at end,
    clock_stopped_at = case when state = 'waiting' then null else clock_stopped_at end
  where run_id = any($1::uuid[])
  returning run_id, tenant, blocked_on, state`,
);

/** `children` are runs that have ended. Returns the parents that may be claimed now. */
export async function wakeParents(
  db: Database,
  children: readonly string[],
  options: { node: string | null; now?: Date | null },
): Promise<WokenRun[]> {
  if (children.length === 0) return [];
  return db.transaction(
    async (tx) => {
      const locked = await tx.query<{ run_id: string }>(lockParents, [children]);
      if (locked.rows.length === 0) return [];
      const { rows } = await tx.query<{ run_id: string; tenant: string; blocked_on: string | null; state: string }>(
        wake,
        [locked.rows.map((row) => row.run_id), options.node, options.now ?? null],
      );
      return rows
        .filter((row) => row.state === 'pending')
        .map((row) => ({ runId: row.run_id, tenant: row.tenant, blockedOn: row.blocked_on }));
    },
    { idempotent: true },
  );
}

// Its step has ended, or is at a later try: where it is asked for after all, it is opened again.
const isUnasked = `exists (
      select 1 from cronwright.step_runs s
      where s.run_id = r.parent_id and s.step = r.child ->> 'step' and s.item = -1
        and (s.state not in ('pending', 'running', 'waiting')
          or ((r.child ->> 'generation')::int4 >= 0 and s.attempts > (r.child ->> 'generation')::int4)))`;

// One a parent: however many of one are unheard, they hide no others.
const unheard = statement(
  'find_unheard_children',
  `select distinct on (q.run_id) r.id from cronwright.runs r
  join cronwright.queue q on q.run_id = r.parent_id
  where r.child_open is true and r.state is not null and q.state = 'waiting' and q.rolls_back is not true
    and not ${isUnasked}
  order by q.run_id
  limit $1`,
);

const closeUnasked = statement(
  'close_unasked_children',
  `update cronwright.runs set child_open = null
  where child_open is true and id = any(array(
    select r.id from cronwright.runs r
    left join cronwright.queue q on q.run_id = r.parent_id
    where r.child_open is true and r.state is not null and (q.run_id is null or (q.state = 'waiting' and ${isUnasked}))
    limit $1))`,
  { idempotent: true },
);

// Those that have been asked, or that undo what they did, come to their end by themselves.
const orphans = statement(
  'find_orphans',
  `select distinct r.parent_id as id from cronwright.runs r
  join cronwright.queue c on c.run_id = r.id
  where r.child_open is true and r.state is null
    and not exists (select 1 from cronwright.queue q where q.run_id = r.parent_id)
    and coalesce(c.request, '') <> 'cancel' and c.rolls_back is not true and c.state <> 'rollback_failed'
  limit $1`,
);

/** Ended children that nobody told their waiting parents of: one of each parent. */
export async function findUnheardChildren(db: Queryable, limit: number): Promise<string[]> {
  return (await db.query<{ id: string }>(unheard, [limit])).rows.map((row) => row.id);
}

/** Ended children that nobody will take over: they wake nobody any more. */
export async function closeUnaskedChildren(db: Queryable, limit: number): Promise<void> {
  await db.query(closeUnasked, [limit]);
}

/** Ended runs that still have live children which nobody has asked to end. */
export async function findParentsOfOrphans(db: Queryable, limit: number): Promise<string[]> {
  return (await db.query<{ id: string }>(orphans, [limit])).rows.map((row) => row.id);
}
