// Admit: gives free slots to the runs that wait for them, best first; a run is ready only once it holds all its slots.
import { type Database, type Queryable, statement } from '../db/database.ts';

export interface SlotKey {
  tenant: string;
  key: string;
}

interface Candidate {
  runId: string;
  tenant: string;
  limits: string[];
  blockedOn: string;
}

/** How many slots of one key, and how many waiting runs, one call looks at. */
const batch = 200;
/** A run that lacks another slot moves to that key's line; so many times the next in line is looked at. */
const maxRounds = 20;

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
  `select w.run_id, w.tenant, w.limits, w.blocked_on
  from unnest($1::text[], $2::text[]) as u(tenant, key)
  cross join lateral (
    select q.run_id, q.tenant, q.limits, q.blocked_on, q.priority, q.fair from cronwright.queue q
    where q.tenant = u.tenant and q.blocked_on = u.key and q.state = 'pending'
    order by q.priority, q.fair, q.run_id
    limit $3
    for update skip locked
  ) w
  order by w.priority, w.fair, w.run_id`,
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
export async function admitWithin(tx: Queryable, keys: readonly SlotKey[]): Promise<string[]> {
  const free = new FreeSlots(tx);
  await free.lock(keys);
  const ready: string[] = [];
  let open = free.withSlots(keys);
  for (let round = 0; round < maxRounds && open.length > 0; round += 1) {
    const candidates = await lockCandidates(tx, open, free.most(open));
    if (candidates.length === 0) break;
    await free.lock(candidates.flatMap((run) => run.limits.map((key) => ({ tenant: run.tenant, key }))));
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

async function lockCandidates(tx: Queryable, keys: readonly SlotKey[], limit: number): Promise<Candidate[]> {
  const { rows } = await tx.query<{ run_id: string; tenant: string; limits: string[]; blocked_on: string }>(
    lockWaiting,
    [keys.map((key) => key.tenant), keys.map((key) => key.key), Math.min(limit, batch)],
  );
  return rows.map((row) => ({
    runId: row.run_id,
    tenant: row.tenant,
    limits: row.limits,
    blockedOn: row.blocked_on,
  }));
}

/** The free slots this transaction has locked, handed out in memory and written once. */
class FreeSlots {
  private readonly free = new Map<string, number[]>();
  private readonly taken: { tenant: string; key: string; n: number; runId: string }[] = [];
  private readonly tx: Queryable;

  constructor(tx: Queryable) {
    this.tx = tx;
  }

  async lock(keys: readonly SlotKey[]): Promise<void> {
    const unknown = new Map<string, SlotKey>();
    for (const key of keys) if (!this.free.has(slotId(key))) unknown.set(slotId(key), key);
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

  /** Takes one slot of each key for the run, or none and names the first key that has none. */
  take(run: Candidate): string | undefined {
    const lists = run.limits.map((key) => ({ key, slots: this.free.get(slotId({ tenant: run.tenant, key })) ?? [] }));
    const missing = lists.find((list) => list.slots.length === 0);
    if (missing) return missing.key;
    for (const { key, slots } of lists) {
      this.taken.push({ tenant: run.tenant, key, n: slots.shift() ?? 0, runId: run.runId });
    }
    return undefined;
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
