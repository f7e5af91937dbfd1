// Settles pauses of pipelines and tenants: holds what a lost race has left to start, and lets go what ended pauses held.
import { type Database, type Queryable, statement } from '../db/database.ts';
import type { RunState } from '../domain/run.ts';
import type { SlotKey } from './admit-runs.ts';
import { type HeldRun, holdRuns } from './hold-runs.ts';
import { letGoRuns } from './let-go-runs.ts';
import { endOverduePauses, listPauses, type Pause } from './pauses.ts';

export interface SettledPauses {
  /** Those that last. */
  inForce: Pause[];
  held: number;
  asked: number;
  letGo: number;
  /** Slots that became free, or that runs need which may go on. */
  keys: SlotKey[];
  /** Whether a run is not to start before a time of its own. */
  hasTimer: boolean;
}

const batch = 500;

// Runs that somebody else has locked are met at the next settling.
const holdable = statement(
  'lock_holdable_runs',
  `select run_id, state from cronwright.queue
  where tenant = $1 and ($2 = '' or pipeline = $2) and state in ('scheduled', 'pending', 'retrying')
    and coalesce(request, 'pause') = 'pause' and rolls_back is not true
  limit $3
  for update skip locked`,
);

// One that waits has no worker to hear it: whoever claims it when the wait is over obeys before anything else.
const ask = statement(
  'request_pause_of_scope',
  `update cronwright.queue set request = 'pause', request_by = $4, request_reason = $5, held_by = $3
  where tenant = $1 and ($2 = '' or pipeline = $2) and state in ('running', 'waiting') and request is null
    and rolls_back is not true
  returning run_id`,
);

const releasable = statement(
  'lock_releasable_runs',
  `select q.run_id, q.state, e.pipeline, e.ended_by, (
    select p.id from cronwright.pauses p
    where p.tenant = q.tenant and p.pipeline in ('', q.pipeline) and p.ended_at is null
    order by p.pipeline desc limit 1
  ) as other
  from cronwright.pauses e
  cross join lateral (
    select run_id, state, tenant, pipeline from cronwright.queue where held_by = e.id
    limit $1
    for update skip locked
  ) q
  where e.ended_at is not null
  limit $1`,
);

const handOver = statement(
  'hand_over_held_runs',
  `update cronwright.queue q set held_by = u.pause
  from unnest($1::uuid[], $2::uuid[]) as u(id, pause) where q.run_id = u.id and q.held_by is not null`,
);

// A claim that is under way must not find its run changed: only the request is taken back, and the worker forgets it.
const withdraw = statement(
  'withdraw_pauses',
  `update cronwright.queue
  set held_by = null, request = case when request = 'pause' then null else request end,
    request_by = case when request = 'pause' then null else request_by end,
    request_reason = case when request = 'pause' then null else request_reason end
  where run_id = any($1::uuid[]) and state <> 'paused'`,
);

/**
 * Safe at any time and from any node: it only makes true what the rows of pauses say. What to hold is looked for in the whole
 * queue, and only for the pauses that `isLookedAt` names.
 */
export async function settlePauses(
  db: Database,
  now: Date | null = null,
  isLookedAt: (pause: Pause) => boolean = () => true,
): Promise<SettledPauses> {
  await endOverduePauses(db, now);
  const inForce = await listPauses(db, null, now);
  const done: SettledPauses = { inForce, held: 0, asked: 0, letGo: 0, keys: [], hasTimer: false };
  for (const pause of inForce.filter(isLookedAt)) await hold(db, pause, done, now);
  await release(db, done, now);
  return done;
}

async function hold(db: Database, pause: Pause, done: SettledPauses, now: Date | null): Promise<void> {
  const { id, tenant, by } = pause;
  const pipeline = pause.pipeline ?? '';
  const reason = reasonOf(pause);
  const asked = await db.query(ask, [tenant, pipeline, id, by, reason]);
  done.asked += asked.rows.length;
  for (;;) {
    const { found, held, freed } = await db.transaction(async (tx) => {
      const { rows } = await tx.query<{ run_id: string; state: RunState }>(holdable, [tenant, pipeline, batch]);
      const runs: HeldRun[] = rows.map((row) => ({ id: row.run_id, state: row.state }));
      if (runs.length === 0) return { found: 0, held: [], freed: [] };
      return { found: runs.length, ...(await holdRuns(tx, runs, { actor: by, reason, heldBy: id, now })) };
    });
    done.held += held.length;
    done.keys.push(...freed);
    if (found < batch || held.length === 0) return;
  }
}

async function release(db: Database, done: SettledPauses, now: Date | null): Promise<void> {
  for (;;) {
    const found = await db.transaction(async (tx) => {
      const { rows } = await tx.query<ReleasableRow>(releasable, [batch]);
      if (rows.length > 0) await releaseBatch(tx, rows, done, now);
      return rows.length;
    });
    if (found < batch) return;
  }
}

interface ReleasableRow {
  run_id: string;
  state: RunState;
  pipeline: string;
  ended_by: string | null;
  other: string | null;
}

async function releaseBatch(
  tx: Queryable,
  rows: readonly ReleasableRow[],
  done: SettledPauses,
  now: Date | null,
): Promise<void> {
  const passed = rows.filter((row) => row.other !== null);
  if (passed.length > 0) {
    await tx.query(handOver, [passed.map((row) => row.run_id), passed.map((row) => row.other)]);
  }
  const free = rows.filter((row) => row.other === null);
  const asked = free.filter((row) => row.state !== 'paused').map((row) => row.run_id);
  if (asked.length > 0) await tx.query(withdraw, [asked]);
  for (const group of groupByEnd(free.filter((row) => row.state === 'paused'))) {
    const gone = await letGoRuns(
      tx,
      group.map((row) => row.run_id),
      { actor: group[0]?.ended_by ?? null, reason: endOf(group[0]), now },
    );
    done.letGo += gone.ids.length;
    done.keys.push(...gone.wanted);
    done.hasTimer ||= gone.hasTimer;
  }
}

function groupByEnd(rows: readonly ReleasableRow[]): ReleasableRow[][] {
  const groups = new Map<string, ReleasableRow[]>();
  for (const row of rows) {
    const key = `${row.pipeline}\n${row.ended_by}`;
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return [...groups.values()];
}

function reasonOf({ pipeline, reason }: Pause): string {
  const what = pipeline === null ? 'its tenant is paused' : 'its pipeline is paused';
  return reason === null ? what : `${what}: ${reason}`;
}

function endOf(row: ReleasableRow | undefined): string {
  const what = row?.pipeline === '' ? 'its tenant' : 'its pipeline';
  return row?.ended_by === null ? `the pause of ${what} is over` : `${what} was resumed`;
}
