// Admit: gives free slots to the runs that wait for them, best first; a run is ready only once it holds all its slots.
import { type Database, type Queryable, statement } from '../db/database.ts';
import { slotOwner } from '../domain/new-run.ts';

export interface SlotKey {
  tenant: string;
  key: string;
}

interface Candidate {
  runId: string;
  tenant: string;
  priority: number;
  fair: number;
  limits: string[];
  blockedOn: string;
  /** It has waited for long, and keeps the slots it gets while it waits for the others. */
  isPatient: boolean;
}

/** How many slots of one key, and how many waiting runs, one call looks at. */
const batch = 200;
/** A run that lacks another slot moves to that key's line; so many times the next in line is looked at. */
const maxRounds = 20;
/**
 * A run that needs several slots takes all of them or none, and others may pass it for ever where the slots are never free at
 * the same time. After this time it takes what it gets, in the order of its keys, which is the same for all: two runs never
 * wait for each other.
 */
const patienceMs = 10_000;

// A schedule's slot is a limit of one and needs no configuration; it is made when first asked for.
const makeScheduleSlots = statement(
  'make_schedule_slots',
  `insert into cronwright.slots (tenant, key, n, run_id, retired)
  select u.tenant, u.key, 1, null, false from unnest($1::text[], $2::text[]) as u(tenant, key)
  where u.key like 'schedule:%'
  on conflict do nothing`,
);

const lockFreeSlots = statement(
  'lock_free_slots',
  `select f.tenant, f.key, f.n
  from unnest($1::text[], $2::text[]) as u(tenant, key)
  cross join lateral (
    select s.tenant, s.key, s.n from cronwright.slots s
    where s.tenant = u.tenant and s.key = u.key and s.run_id is null and not s.retired
    order by s.n
    limit $3
    for update skip locked
  ) f`,
);

const lockWaiting = statement(
  'lock_waiting_runs',
  `select w.run_id, w.tenant, w.limits, w.blocked_on, w.priority, w.fair,
    w.enqueued_at < now() - $4::int4 * interval '1 millisecond' as patient
  from unnest($1::text[], $2::text[]) as u(tenant, key)
  cross join lateral (
    select q.run_id, q.tenant, q.limits, q.blocked_on, q.priority, q.fair, q.enqueued_at from cronwright.queue q
    where q.tenant = u.tenant and q.blocked_on = u.key and q.state = 'pending'
    order by q.priority, q.fair, q.run_id
    limit $3
    for update skip locked
  ) w
  order by w.priority, w.fair, w.run_id`,
);

// The line of a queue's slots is one for all tenants. The key is repeated in words, so that the index for it is known to fit.
const lockWaitingOfAll = statement(
  'lock_waiting_runs_of_all',
  `select w.run_id, w.tenant, w.limits, w.blocked_on, w.priority, w.fair,
    w.enqueued_at < now() - $3::int4 * interval '1 millisecond' as patient
  from unnest($1::text[]) as u(key)
  cross join lateral (
    select q.run_id, q.tenant, q.limits, q.blocked_on, q.priority, q.fair, q.enqueued_at from cronwright.queue q
    where q.blocked_on = u.key and q.blocked_on like 'queue:%' and q.state = 'pending'
    order by q.priority, q.fair, q.run_id
    limit $2
    for update skip locked
  ) w
  order by w.priority, w.fair, w.run_id`,
);

const heldSlots = statement(
  'find_held_slots',
  'select run_id, key from cronwright.slots where run_id = any($1::uuid[])',
);

const takeSlots = statement(
  'take_slots',
  `update cronwright.slots s set run_id = u.run_id
  from unnest($1::text[], $2::text[], $3::int4[], $4::uuid[]) as u(tenant, key, n, run_id)
  where s.tenant = u.tenant and s.key = u.key and s.n = u.n`,
);

const moveInLine = statement(
  'move_in_line',
  `update cronwright.queue q set blocked_on = u.blocked_on
  from unnest($1::uuid[], $2::text[]) as u(run_id, blocked_on)
  where q.run_id = u.run_id`,
);

const blockedKeys = statement(
  'find_blocked_keys',
  `with recursive k(tenant, key) as (
    (select tenant, blocked_on from cronwright.queue
     where state = 'pending' and blocked_on is not null
     order by tenant, blocked_on nulls last limit 1)
    union all
    select n.tenant, n.blocked_on from k cross join lateral (
      select q.tenant, q.blocked_on from cronwright.queue q
      where q.state = 'pending' and q.blocked_on is not null and (q.tenant, q.blocked_on) > (k.tenant, k.key)
      order by q.tenant, q.blocked_on nulls last limit 1) n
  )
  select tenant, key from k limit 10000`,
  { idempotent: true },
);

/** Every key that a run waits for: for the sweep that finds what a lost race left behind. */
export async function findBlockedKeys(db: Queryable): Promise<SlotKey[]> {
  return (await db.query<{ tenant: string; key: string }>(blockedKeys)).rows;
}

/** Admits what the given keys allow; returns the runs that became ready. */
export function admitRuns(db: Database, keys: readonly SlotKey[]): Promise<string[]> {
  if (keys.length === 0) return Promise.resolve([]);
  return db.transaction((tx) => admitWithin(tx, keys), { idempotent: true });
}

/** The same within a transaction of the caller's. */
export async function admitWithin(tx: Queryable, wanted: readonly SlotKey[]): Promise<string[]> {
  const keys = distinctKeys(wanted);
  const free = new FreeSlots(tx);
  await free.lock(keys);
  const ready: string[] = [];
  let open = free.withSlots(keys);
  for (let round = 0; round < maxRounds && open.length > 0; round += 1) {
    const candidates = await lockCandidates(tx, open, free.most(open));
    if (candidates.length === 0) break;
    await free.lock(candidates.flatMap((run) => run.limits.map((key) => ({ tenant: run.tenant, key }))));
    await free.lookUpHeld(candidates.filter((run) => run.isPatient && run.limits.length > 1));
    const moved: { runId: string; blockedOn: string | null }[] = [];
    for (const run of candidates) {
      const missing = free.take(run);
      if (missing === undefined) ready.push(run.runId);
      if (missing !== run.blockedOn) moved.push({ runId: run.runId, blockedOn: missing ?? null });
    }
    await tx.query(moveInLine, [moved.map((run) => run.runId), moved.map((run) => run.blockedOn)]);
    if (moved.length === 0) break;
    open = free.withSlots(open);
  }
  await free.writeTaken();
  return ready;
}

/** As the slots are kept: those of a queue belong to nobody in particular. */
function distinctKeys(keys: readonly SlotKey[]): SlotKey[] {
  const distinct = new Map<string, SlotKey>();
  for (const { tenant, key } of keys) {
    const slot = { tenant: slotOwner(tenant, key), key };
    distinct.set(slotId(slot), slot);
  }
  return [...distinct.values()];
}

interface WaitingRow {
  run_id: string;
  tenant: string;
  limits: string[];
  blocked_on: string;
  priority: number;
  fair: number;
  patient: boolean;
}

async function lockCandidates(tx: Queryable, keys: readonly SlotKey[], most: number): Promise<Candidate[]> {
  const limit = Math.min(most, batch);
  const ofAll = keys.filter((key) => key.tenant === '*');
  const ofTenants = keys.filter((key) => key.tenant !== '*');
  const rows: WaitingRow[] = [];
  if (ofTenants.length > 0) {
    const columns = [ofTenants.map((key) => key.tenant), ofTenants.map((key) => key.key)];
    rows.push(...(await tx.query<WaitingRow>(lockWaiting, [...columns, limit, patienceMs])).rows);
  }
  if (ofAll.length > 0) {
    const found = await tx.query<WaitingRow>(lockWaitingOfAll, [ofAll.map((key) => key.key), limit, patienceMs]);
    rows.push(...found.rows);
    rows.sort((a, b) => a.priority - b.priority || a.fair - b.fair || (a.run_id < b.run_id ? -1 : 1));
  }
  return rows.map((row) => ({
    runId: row.run_id,
    tenant: row.tenant,
    priority: row.priority,
    fair: row.fair,
    limits: row.limits,
    blockedOn: row.blocked_on,
    isPatient: row.patient,
  }));
}

/** The free slots this transaction has locked, handed out in memory and written once. */
class FreeSlots {
  private readonly free = new Map<string, number[]>();
  private readonly taken: { tenant: string; key: string; n: number; runId: string }[] = [];
  /** What patient runs hold already, as `run key`. */
  private readonly held = new Set<string>();
  private readonly tx: Queryable;

  constructor(tx: Queryable) {
    this.tx = tx;
  }

  async lookUpHeld(runs: readonly Candidate[]): Promise<void> {
    if (runs.length === 0) return;
    const ids = runs.map((run) => run.runId);
    const { rows } = await this.tx.query<{ run_id: string; key: string }>(heldSlots, [ids]);
    for (const { run_id, key } of rows) this.held.add(`${run_id} ${key}`);
  }

  async lock(wanted: readonly SlotKey[]): Promise<void> {
    const unknown = new Map<string, SlotKey>();
    for (const key of distinctKeys(wanted)) if (!this.free.has(slotId(key))) unknown.set(slotId(key), key);
    if (unknown.size === 0) return;
    // In one order everywhere, so that two admits do not wait for each other.
    const sorted = [...unknown.keys()].sort().map((id) => unknown.get(id) as SlotKey);
    const columns = [sorted.map((key) => key.tenant), sorted.map((key) => key.key)];
    for (const id of unknown.keys()) this.free.set(id, []);
    if (sorted.some((key) => key.key.startsWith('schedule:'))) await this.tx.query(makeScheduleSlots, columns);
    const { rows } = await this.tx.query<{ tenant: string; key: string; n: number }>(lockFreeSlots, [
      ...columns,
      batch,
    ]);
    for (const row of rows) this.free.get(slotId(row))?.push(row.n);
  }

  withSlots(keys: readonly SlotKey[]): SlotKey[] {
    return keys.filter((key) => (this.free.get(slotId(key))?.length ?? 0) > 0);
  }

  most(keys: readonly SlotKey[]): number {
    return Math.max(...keys.map((key) => this.free.get(slotId(key))?.length ?? 0));
  }

  /**
   * Takes one slot of each key for the run, or names the first key that has none. A patient run has taken those before it
   * then, any other none.
   */
  take(run: Candidate): string | undefined {
    const lacking = run.limits.filter((key) => !this.held.has(`${run.runId} ${key}`));
    // A schedule's slot is made when it is asked for, so keys come in an order of their own; what is kept is in one for all.
    const keys = run.isPatient ? lacking.sort() : lacking;
    const lists = keys.map((key) => {
      const tenant = slotOwner(run.tenant, key);
      return { tenant, key, slots: this.free.get(slotId({ tenant, key })) ?? [] };
    });
    const missing = lists.findIndex((list) => list.slots.length === 0);
    if (missing >= 0 && !run.isPatient) return lists[missing]?.key;
    for (const { tenant, key, slots } of missing < 0 ? lists : lists.slice(0, missing)) {
      this.taken.push({ tenant, key, n: slots.shift() ?? 0, runId: run.runId });
      this.held.add(`${run.runId} ${key}`);
    }
    return lists[missing]?.key;
  }

  async writeTaken(): Promise<void> {
    if (this.taken.length === 0) return;
    await this.tx.query(takeSlots, [
      this.taken.map((slot) => slot.tenant),
      this.taken.map((slot) => slot.key),
      this.taken.map((slot) => slot.n),
      this.taken.map((slot) => slot.runId),
    ]);
  }
}

function slotId(key: SlotKey): string {
  return `${key.tenant} ${key.key}`;
}
