// Rescue: gives the runs of a dead node back to the queue, or ends those that kill every node that takes them.
import { type Queryable, statement } from '../db/database.ts';

/** Claims in a row without progress after which a run is dead. */
export const maxClaims = 3;

export interface LapsedLease {
  runId: string;
  tenant: string;
  token: number;
  node: string | null;
  /** The holder's heartbeat counter; null where its row is gone. */
  nodeBeat: number | null;
  nodeStopped: boolean;
}

const lapsed = statement(
  'find_lapsed_leases',
  `select q.run_id, q.tenant, q.token, q.node, n.beat, n.stopped_at is not null as stopped
  from cronwright.queue q left join cronwright.nodes n on n.id = q.node
  where q.state = 'running' and q.lease_until < coalesce($1::timestamptz, now())
  limit $2`,
);

/** Running runs whose lease has lapsed. Whether the holder is dead is for the observer's own clock to say. */
export async function findLapsedLeases(db: Queryable, limit: number, now: Date | null = null): Promise<LapsedLease[]> {
  const { rows } = await db.query<{
    run_id: string;
    tenant: string;
    token: number;
    node: string | null;
    beat: number | null;
    stopped: boolean;
  }>(lapsed, [now, limit]);
  return rows.map((row) => ({
    runId: row.run_id,
    tenant: row.tenant,
    token: row.token,
    node: row.node,
    nodeBeat: row.beat,
    nodeStopped: row.stopped,
  }));
}

const beats = statement('list_beating_nodes', 'select id, beat, home from cronwright.nodes where stopped_at is null');

export interface NodeBeat {
  id: string;
  beat: number;
  /** The data directory it keeps workspaces in. */
  home: string | null;
}

/** The heartbeat counters of all nodes that have not said good-bye. */
export async function loadBeats(db: Queryable): Promise<NodeBeat[]> {
  return (await db.query<NodeBeat>(beats)).rows;
}

const expire = statement(
  'expire_foreign_leases',
  `update cronwright.queue set lease_until = coalesce($2::timestamptz, now()) - interval '1 second'
  where state = 'running' and node is distinct from $1 and lease_until >= coalesce($2::timestamptz, now())`,
  { idempotent: true },
);

/** Ends the leases of all other nodes: for one that knows itself alone with the database. */
export async function expireForeignLeases(db: Queryable, node: string, now: Date | null = null): Promise<void> {
  await db.query(expire, [node, now]);
}

export interface RescuedRuns {
  rescued: string[];
  deadLettered: string[];
  /** Of those that were rescued: their rollback has ended its process too often, and waits to be asked for again. */
  undoFailed: { runId: string; tenant: string; pipeline: string; error: string }[];
  freed: { tenant: string; key: string }[];
}

// The raised token makes every later write of the old holder miss. A claim that left a step behind made progress; three
// claims in a row without any are a run that kills its process. A rollback that does so is not over: it waits to be asked again.
const rescue = statement(
  'rescue_runs',
  `with f as (
    select q.run_id, q.tenant, q.rolls_back is true as undoing,
      case when q.rolls_back is true then 0 else q.claims end as claims,
      q.rolls_back is true and q.claims >= $5::int4 as worn_out,
      exists (select 1 from cronwright.step_runs s where s.run_id = q.run_id and s.token = q.token and s.state <> 'running')
        as progressed
    from unnest($1::uuid[], $2::int8[]) as u(id, token)
    join cronwright.queue q on q.run_id = u.id and q.token = u.token
    where q.state = 'running' and q.lease_until < coalesce($4::timestamptz, now())
    for update of q skip locked
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select f.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = f.run_id), 1) + 1, f.tenant,
      $3::uuid, coalesce($4::timestamptz, now()),
      jsonb_build_array(jsonb_build_object('event',
        case when f.claims >= $5::int4 and not f.progressed then 'run.dead_lettered'
          when f.worn_out and not f.progressed then 'run.rollback_failed' else 'run.rescued' end,
        'from', case when f.undoing then 'rolling_back' else 'running' end,
        'to', case when f.claims >= $5::int4 and not f.progressed then 'dead_letter'
          when f.worn_out and not f.progressed then 'rollback_failed' when f.undoing then 'rolling_back' else 'pending' end,
        'at', floor(extract(epoch from coalesce($4::timestamptz, now())) * 1000),
        'reason', 'the node that ran it stopped answering'))
    from f
  ), dead as (
    update cronwright.runs r
    set state = 'dead_letter', failure = 'dead_letter', finished_at = coalesce($4::timestamptz, now()),
      claims = $5::int4, error = jsonb_build_object('name', 'DeadLetter', 'class', 'fatal', 'message',
        'claimed ' || $5::int4::text || ' times in a row without progress: the run ends its process')
    where r.id = any(array(select run_id from f where claims >= $5::int4 and not progressed))
  ), gone as (
    delete from cronwright.queue q
    where q.run_id = any(array(select run_id from f where claims >= $5::int4 and not progressed))
    returning q.run_id
  ), steps as (
    update cronwright.step_runs s
    set state = 'failed', finished_at = coalesce($4::timestamptz, now()), retry_at = null,
      error = jsonb_build_object('name', 'Interrupted', 'class', 'fatal', 'message', 'its worker died while it ran')
    where s.run_id = any(array(select run_id from f where claims >= $5::int4 and not progressed)) and s.state = 'running'
  ), freed as (
    update cronwright.slots set run_id = null
    where run_id = any(array(select run_id from f where claims >= $5::int4 and not progressed))
    returning tenant, key
  )
  select run_id, claims >= $5::int4 and not progressed as dead, progressed, null::text as tenant, null::text as key from f
  union all
  select null, null, null, tenant, key from freed`,
);

// A second statement, because one statement cannot delete some rows of a table and update others. The dead node was the last
// to carry the run out: files that any other has of it are stale from now on. A node of the first version told no home, and
// whoever has files of the run takes them for the last ones, as that version did.
const release = statement(
  'requeue_rescued_runs',
  `update cronwright.queue q
  set state = case when q.rolls_back is true and q.claims >= $4::int4 and not u.progressed
      then 'rollback_failed' else 'pending' end,
    message = case when q.rolls_back is true and q.claims >= $4::int4 and not u.progressed
      then 'undoing it ends its process' else q.message end,
    token = q.token + 1, node = null, lease_until = null,
    claims = case when u.progressed or (q.rolls_back is true and q.claims >= $4::int4) then 0 else q.claims end,
    pinned_at = null, queue = split_part(q.queue, '@', 1),
    home = case when exists (select 1 from cronwright.nodes n where n.id = q.node)
      then (select n.home from cronwright.nodes n where n.id = q.node) else q.node end
  from unnest($1::uuid[], $2::int8[], $3::bool[]) as u(id, token, progressed)
  where q.run_id = u.id and q.token = u.token and q.state = 'running'
  returning q.run_id, q.tenant, q.pipeline, q.state, q.message`,
);

interface RequeuedRow {
  run_id: string;
  tenant: string;
  pipeline: string;
  state: 'pending' | 'rollback_failed';
  message: string | null;
}

/** Call it in a transaction. */
export async function rescueRuns(
  tx: Queryable,
  leases: readonly { runId: string; token: number }[],
  options: { node: string | null; maxClaims: number; now?: Date | null },
): Promise<RescuedRuns> {
  const { rows } = await tx.query<{
    run_id: string | null;
    dead: boolean;
    progressed: boolean;
    tenant: string;
    key: string;
  }>(rescue, [
    leases.map((lease) => lease.runId),
    leases.map((lease) => lease.token),
    options.node,
    options.now ?? null,
    options.maxClaims,
  ]);
  const result: RescuedRuns = { rescued: [], deadLettered: [], undoFailed: [], freed: [] };
  const back: { runId: string; token: number; progressed: boolean }[] = [];
  const tokens = new Map(leases.map((lease) => [lease.runId, lease.token]));
  for (const row of rows) {
    if (row.run_id === null) result.freed.push({ tenant: row.tenant, key: row.key });
    else if (row.dead) result.deadLettered.push(row.run_id);
    else back.push({ runId: row.run_id, token: tokens.get(row.run_id) ?? 0, progressed: row.progressed });
  }
  if (back.length > 0) {
    const requeued = await tx.query<RequeuedRow>(release, [
      back.map((run) => run.runId),
      back.map((run) => run.token),
      back.map((run) => run.progressed),
      options.maxClaims,
    ]);
    result.rescued = requeued.rows.map((row) => row.run_id);
    for (const { run_id: runId, tenant, pipeline, state, message } of requeued.rows) {
      if (state === 'rollback_failed') result.undoFailed.push({ runId, tenant, pipeline, error: message ?? '' });
    }
  }
  return result;
}
