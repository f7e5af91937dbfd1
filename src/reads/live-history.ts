// What happened over all runs since an instant, for the live stream: new entries by time, entries by key, and what came before.
import { type Queryable, statement } from '../db/database.ts';
import type { Transition } from '../domain/run.ts';
import { enqueuedTransition } from './enqueued-transition.ts';

/** A stored row of history, or a run's enqueue (number 1, which is told by the run's own row). */
export interface HistoryEntry {
  runId: string;
  tenant: string;
  pipeline: string;
  schedule: string | null;
  /** Number of the last of `transitions`, which are numbered without a hole. */
  seq: number;
  node: string | null;
  /** When it was written, in milliseconds since the epoch. */
  at: number;
  transitions: readonly Transition[];
  /** The run carries out a part of its parent, and is no run of the whole pipeline. */
  isPart?: boolean | undefined;
}

export interface HistoryKey {
  runId: string;
  seq: number;
}

/** A place in the order of writing. The instant is the database's own text, because a Date has no microseconds. */
interface Place {
  at: string;
  runId: string;
  seq: number;
}

const keysSince = statement(
  'list_history_keys_since',
  `select run_id, seq, at::text as place, (extract(epoch from at) * 1000)::float8 as at_ms from cronwright.history
  where at >= $1::timestamptz and (at, run_id, seq) > ($1::timestamptz, $2::uuid, $3::int4)
  order by at, run_id, seq limit $4`,
);

const runsSince = statement(
  'list_run_ids_since',
  'select id from cronwright.runs where id > $1::uuid order by id limit $2',
);

const byKeys = statement(
  'read_history_entries',
  `select h.run_id, h.seq, h.node, h.at, h.transitions, r.tenant, r.pipeline, r.schedule, r.is_part
  from unnest($1::uuid[], $2::int4[]) as u(run_id, seq)
  join cronwright.history h on h.run_id = u.run_id and h.seq = u.seq
  join cronwright.runs r on r.id = u.run_id
  order by h.at, h.run_id, h.seq`,
);

const enqueuedByIds = statement(
  'read_enqueued_runs',
  `select id, tenant, pipeline, schedule, created_at, run_at, origin, actor, parent_id
  from cronwright.runs where id = any($1::uuid[]) order by id`,
);

const below = statement(
  'read_history_below',
  `select h.run_id, h.seq, h.node, h.at, h.transitions, r.tenant, r.pipeline, r.schedule, r.is_part
  from unnest($1::uuid[], $2::int4[]) as u(run_id, seq)
  cross join lateral (
    select o.* from cronwright.history o where o.run_id = u.run_id and o.seq < u.seq order by o.seq desc limit 100
  ) h
  join cronwright.runs r on r.id = u.run_id`,
);

const page = statement(
  'replay_history',
  `select h.run_id, h.seq, h.node, h.at, h.at::text as place, h.transitions, r.tenant, r.pipeline, r.schedule, r.is_part
  from cronwright.history h join cronwright.runs r on r.id = h.run_id
  where h.at >= $1::timestamptz and (h.at, h.run_id, h.seq) > ($1::timestamptz, $2::uuid, $3::int4)
    and h.at < $4::timestamptz and ($5::text is null or h.tenant = $5) and ($6::uuid[] is null or h.run_id = any($6))
  order by h.at, h.run_id, h.seq limit $7`,
);

const enqueuedPage = statement(
  'replay_enqueued_runs',
  `select id, tenant, pipeline, schedule, created_at, run_at, origin, actor, parent_id
  from cronwright.runs
  where id > $1::uuid and id < $2::uuid and ($3::text is null or tenant = $3) and ($4::uuid[] is null or id = any($4))
  order by id limit $5`,
);

const oldest = statement('find_oldest_history', 'select at from cronwright.history order by at limit 1');

const leastId = '00000000-0000-0000-0000-000000000000';

interface EntryRow {
  run_id: string;
  seq: number;
  node: string | null;
  at: Date;
  transitions: Transition[];
  tenant: string;
  pipeline: string;
  schedule: string | null;
  is_part: boolean | null;
}

interface EnqueuedRow {
  id: string;
  tenant: string;
  pipeline: string;
  schedule: string | null;
  created_at: Date;
  run_at: Date | null;
  origin: string;
  actor: string | null;
  parent_id: string | null;
}

/** The least id that a run made at that instant can have: ids are UUIDs of version 7, which begin with their time. */
export function leastIdAt(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** The instant in an id, by the clock of the node that made it. */
export function instantOfId(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

/** Keys of all rows written since an instant, in order of writing, page by page. */
export async function* historyKeysSince(
  db: Queryable,
  sinceMs: number,
  limit: number,
): AsyncGenerator<(HistoryKey & { at: number })[]> {
  let place: Place = { at: new Date(sinceMs).toISOString(), runId: leastId, seq: -1 };
  for (;;) {
    const { rows } = await db.query<{ run_id: string; seq: number; place: string; at_ms: number }>(keysSince, [
      place.at,
      place.runId,
      place.seq,
      limit,
    ]);
    yield rows.map((row) => ({ runId: row.run_id, seq: row.seq, at: row.at_ms }));
    const last = rows.at(-1);
    if (last === undefined || rows.length < limit) return;
    place = { at: last.place, runId: last.run_id, seq: last.seq };
  }
}

/** Ids of all runs made since an instant, page by page. */
export async function* runIdsSince(db: Queryable, sinceMs: number, limit: number): AsyncGenerator<string[]> {
  let after = leastIdAt(sinceMs);
  for (;;) {
    const { rows } = await db.query<{ id: string }>(runsSince, [after, limit]);
    yield rows.map((row) => row.id);
    if (rows.length < limit) return;
    after = rows.at(-1)?.id ?? after;
  }
}

export async function readEntries(db: Queryable, keys: readonly HistoryKey[]): Promise<HistoryEntry[]> {
  if (keys.length === 0) return [];
  const { rows } = await db.query<EntryRow>(byKeys, [keys.map((key) => key.runId), keys.map((key) => key.seq)]);
  return rows.map(toEntry);
}

export async function readEnqueued(db: Queryable, ids: readonly string[]): Promise<HistoryEntry[]> {
  if (ids.length === 0) return [];
  return (await db.query<EnqueuedRow>(enqueuedByIds, [ids])).rows.map(toEnqueued);
}

/** For each key: what its run has below that number, the enqueue included; at most the last 100 rows. */
export async function readBelow(db: Queryable, keys: readonly HistoryKey[]): Promise<HistoryEntry[]> {
  if (keys.length === 0) return [];
  const ids = keys.map((key) => key.runId);
  const [enqueued, stored] = await Promise.all([
    readEnqueued(db, ids),
    db.query<EntryRow>(below, [ids, keys.map((key) => key.seq)]),
  ]);
  return [...enqueued, ...stored.rows.map(toEntry)];
}

/** What a replay asks for; null: all. */
export interface ReplayScope {
  tenant: string | null;
  runs: readonly string[] | null;
}

/**
 * Everything written from one instant to before another, in order of writing, page by page; a run's enqueue comes before what
 * follows it, also where the clock of the node that made its id is `skewMs` ahead.
 */
export async function* replayHistory(
  db: Queryable,
  window: { fromMs: number; toMs: number; skewMs: number; limit: number },
  scope: ReplayScope,
): AsyncGenerator<HistoryEntry[]> {
  const { limit, skewMs } = window;
  const toMs = new Date(window.toMs).toISOString();
  let place: Place = { at: new Date(window.fromMs).toISOString(), runId: leastId, seq: -1 };
  let enqueuedTo = leastIdAt(window.fromMs);
  for (;;) {
    const { rows } = await db.query<EntryRow & { place: string }>(page, [
      place.at,
      place.runId,
      place.seq,
      toMs,
      scope.tenant,
      scope.runs,
      limit,
    ]);
    const last = rows.at(-1);
    const isLast = last === undefined || rows.length < limit;
    const enqueuedUntil = leastIdAt((isLast ? window.toMs : last.at.getTime()) + skewMs);
    for (;;) {
      const params = [enqueuedTo, enqueuedUntil, scope.tenant, scope.runs, limit];
      const enqueued = (await db.query<EnqueuedRow>(enqueuedPage, params)).rows;
      if (enqueued.length > 0) yield enqueued.map(toEnqueued);
      if (enqueued.length < limit) break;
      enqueuedTo = enqueued.at(-1)?.id ?? enqueuedTo;
    }
    if (enqueuedUntil > enqueuedTo) enqueuedTo = enqueuedUntil;
    if (rows.length > 0) yield rows.map(toEntry);
    if (isLast) return;
    place = { at: last.place, runId: last.run_id, seq: last.seq };
  }
}

/** When the oldest row that is kept was written; undefined where nothing is. */
export async function oldestHistoryMs(db: Queryable): Promise<number | undefined> {
  return (await db.query<{ at: Date }>(oldest)).rows[0]?.at.getTime();
}

function toEntry(row: EntryRow): HistoryEntry {
  const { run_id: runId, seq, node, at, transitions, tenant, pipeline, schedule } = row;
  return { runId, tenant, pipeline, schedule, seq, node, at: at.getTime(), transitions, isPart: row.is_part === true };
}

function toEnqueued(row: EnqueuedRow): HistoryEntry {
  const {
    id: runId,
    tenant,
    pipeline,
    schedule,
    created_at: at,
    run_at: runAt,
    origin,
    actor,
    parent_id: parentId,
  } = row;
  const transition = enqueuedTransition({ at, runAt, origin, actor, parentId, schedule });
  return { runId, tenant, pipeline, schedule, seq: 1, node: null, at: at.getTime(), transitions: [transition] };
}
