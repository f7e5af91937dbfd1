// Cancels the live children of runs, and theirs: those that nobody works on end at once, the others are asked for it.
import { type Database, type Queryable, statement } from '../db/database.ts';
import type { Origin } from '../domain/run.ts';
import type { SlotKey } from './admit-runs.ts';

/** Deeper than runs may start runs. */
const maxLevels = 12;

const lockChildren = statement(
  'lock_live_children',
  `select q.run_id, q.state, q.node from cronwright.queue q
  where q.run_id = any(array(
    select r.id from cronwright.runs r where r.parent_id = any($1::uuid[]) and r.child_open is true and r.state is null))
  order by q.run_id
  for update`,
);

const ask = statement(
  'request_cancel_of_children',
  `update cronwright.queue set request = 'cancel', request_by = $2, request_reason = $3
  where run_id = any($1::uuid[]) and state = 'running'`,
);

// As for one run: the delete decides, and everything else reads what it returned.
const end = statement(
  'cancel_children',
  `with gone as (
    delete from cronwright.queue where run_id = any($1::uuid[]) and state <> 'running'
    returning run_id, tenant, pipeline, schedule, state, started_at, attempt, claims, progress, message
  ), ended as (
    update cronwright.runs r
    set state = 'cancelled', failure = 'cancelled', finished_at = now(), started_at = g.started_at, attempt = g.attempt,
      claims = g.claims, progress = g.progress, message = g.message,
      error = jsonb_build_object('name', 'Cancelled', 'class', 'fatal', 'message', $4::text)
    from gone g where r.id = g.run_id and r.state is null
  ), steps as (
    update cronwright.step_runs set state = 'cancelled', finished_at = now(), retry_at = null
    where run_id in (select run_id from gone) and state in ('pending', 'running', 'waiting')
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select g.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = g.run_id), 1) + 1, g.tenant,
      null, now(), jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.cancelled', 'from', g.state,
        'to', 'cancelled', 'at', floor(extract(epoch from now()) * 1000), 'actor', $2::text, 'reason', $3::text)))
    from gone g
  ), freed as (
    update cronwright.slots set run_id = null where run_id in (select run_id from gone) returning tenant, key
  )
  select run_id, tenant, pipeline, null::text as key from gone
  union all select null, tenant, null, key from freed`,
);

export interface CancelledChildren {
  ended: { runId: string; tenant: string; pipeline: string; origin: Origin }[];
  /** Nodes that hold children which were asked. */
  asked: string[];
  freed: SlotKey[];
}

/** All levels below `parents`; what is asked passes it on to its own children when it obeys. */
export async function cancelChildren(
  db: Database,
  parents: readonly string[],
  by: { actor: string | null; reason: string | null },
): Promise<CancelledChildren> {
  const all: CancelledChildren = { ended: [], asked: [], freed: [] };
  let level = parents;
  for (let depth = 0; depth < maxLevels && level.length > 0; depth += 1) {
    const found = await db.transaction((tx) => cancelLevel(tx, level, by), { idempotent: true });
    all.ended.push(...found.ended);
    all.asked.push(...found.asked);
    all.freed.push(...found.freed);
    level = found.ended.map((run) => run.runId);
  }
  return all;
}

async function cancelLevel(
  tx: Queryable,
  parents: readonly string[],
  { actor, reason }: { actor: string | null; reason: string | null },
): Promise<CancelledChildren> {
  const { rows } = await tx.query<{ run_id: string; state: string; node: string | null }>(lockChildren, [parents]);
  const running = rows.filter((row) => row.state === 'running');
  const others = rows.filter((row) => row.state !== 'running').map((row) => row.run_id);
  const found: CancelledChildren = { ended: [], asked: [], freed: [] };
  if (running.length > 0) {
    await tx.query(ask, [running.map((row) => row.run_id), actor, reason]);
    found.asked = [...new Set(running.flatMap((row) => row.node ?? []))];
  }
  if (others.length === 0) return found;
  const message = `cancelled with its parent${reason === null ? '' : `: ${reason}`}`;
  const gone = await tx.query<{ run_id: string | null; tenant: string; pipeline: string | null; key: string | null }>(
    end,
    [others, actor, reason, message],
  );
  for (const row of gone.rows) {
    if (row.run_id !== null && row.pipeline !== null) {
      found.ended.push({ runId: row.run_id, tenant: row.tenant, pipeline: row.pipeline, origin: 'parent' });
    } else if (row.key !== null) found.freed.push({ tenant: row.tenant, key: row.key });
  }
  return found;
}
