// Cancels the live children of runs, and theirs: those that nobody works on end at once where they have nothing to do before, the others are asked.
import { type Database, type Queryable, statement } from '../db/database.ts';
import type { Origin } from '../domain/run.ts';
import type { SlotKey } from './admit-runs.ts';
import { callToEnd } from './call-to-end.ts';
import { cancelRuns } from './cancel-runs.ts';

/** Deeper than runs may start runs. */
const maxLevels = 12;

const lockChildren = statement(
  'lock_live_children',
  `select q.run_id, q.state, q.node, q.started_at is not null as began, coalesce(q.request, '') = 'cancel' as asked,
    q.request_rollback is true as asked_to_undo, q.rolls_back is true as rolls_back, r.is_part is true as is_part
  from cronwright.queue q join cronwright.runs r on r.id = q.run_id
  where q.run_id = any(array(
    select r.id from cronwright.runs r where r.parent_id = any($1::uuid[]) and r.child_open is true and r.state is null))
  order by q.run_id
  for update of q`,
);

// A part of a run leaves the clean-up to that run, and what it did is that run's to undo.
const look = statement(
  'look_at_begun_children',
  `select r.id,
    r.is_part is not true and jsonb_array_length(coalesce(p.definition -> 'finally', '[]'::jsonb)) > 0 as cleans_up,
    r.is_part is not true and exists (
      select 1 from cronwright.step_runs s where s.run_id = r.id and s.started_at is not null) as has_steps
  from cronwright.runs r
  left join cronwright.pipelines p on p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version
  where r.id = any($1::uuid[])`,
);

const ask = statement(
  'request_cancel_of_children',
  `update cronwright.queue
  set request = 'cancel', request_by = $2, request_reason = $3,
    request_rollback = case when run_id = any($4::uuid[]) then true else request_rollback end
  where run_id = any($1::uuid[]) and state = 'running'`,
);

const ending = statement(
  'count_ending_children',
  `select count(*)::int4 as n
  from cronwright.runs r join cronwright.queue q on q.run_id = r.id
  where r.parent_id = any($1::uuid[]) and r.child_open is true and r.state is null
    and q.state not in ('rollback_failed', 'paused')`,
);

export interface CancelWish {
  actor: string | null;
  reason: string | null;
  /** What they did is to be undone first; parts only end, for what they did their parent undoes. */
  rollback: boolean;
}

export interface CancelledChildren {
  ended: { runId: string; tenant: string; pipeline: string; origin: Origin }[];
  /** Nodes that hold children which were asked. */
  asked: string[];
  /** How many may be claimed now, to clean up or to undo what they did. */
  called: number;
  /** How many have not ended and will, by themselves. */
  left: number;
  /** Slots that are free now, or that those called need. */
  admits: SlotKey[];
}

/** All levels below `parents`; a child that is at work passes it on to its own children when it obeys. */
export async function cancelChildren(
  db: Database,
  parents: readonly string[],
  wish: CancelWish,
): Promise<CancelledChildren> {
  const all: CancelledChildren = { ended: [], asked: [], called: 0, left: 0, admits: [] };
  let level = parents;
  for (let depth = 0; depth < maxLevels && level.length > 0; depth += 1) {
    const { called, ...found } = await db.transaction((tx) => cancelLevel(tx, level, wish), { idempotent: true });
    all.ended.push(...found.ended);
    all.asked.push(...found.asked);
    all.admits.push(...found.admits);
    all.called += called.length;
    all.left += found.left;
    // Of those called, too: their children may hold all the places that a claim could take.
    level = [...found.ended.map((run) => run.runId), ...called];
  }
  return all;
}

/** Children that were asked to end and come to it by themselves. */
export async function countEnding(db: Queryable, parents: readonly string[]): Promise<number> {
  return (await db.query<{ n: number }>(ending, [parents])).rows[0]?.n ?? 0;
}

interface ChildRow {
  run_id: string;
  state: string;
  node: string | null;
  began: boolean;
  asked: boolean;
  asked_to_undo: boolean;
  rolls_back: boolean;
  is_part: boolean;
}

type CancelledLevel = Omit<CancelledChildren, 'called'> & { called: string[] };

async function cancelLevel(tx: Queryable, parents: readonly string[], wish: CancelWish): Promise<CancelledLevel> {
  const { actor, reason, rollback } = wish;
  const found: CancelledLevel = { ended: [], asked: [], called: [], left: 0, admits: [] };
  const { rows } = await tx.query<ChildRow>(lockChildren, [parents]);
  const open = rows.filter((row) => !isEnding(row, rollback));
  const running = open.filter((row) => row.state === 'running');
  if (running.length > 0) {
    const toUndo = running.filter((row) => rollback && !row.is_part).map((row) => row.run_id);
    await tx.query(ask, [running.map((row) => row.run_id), actor, reason, toUndo]);
    found.asked = [...new Set(running.flatMap((row) => row.node ?? []))];
  }
  const { undo, cleanUp, rest } = await sortOut(
    tx,
    open.filter((row) => row.state !== 'running'),
    rollback,
  );
  const toCall = [...undo, ...cleanUp].map((row) => ({ id: row.run_id, state: row.state, undo: undo.includes(row) }));
  if (toCall.length > 0) {
    const { called, wanted } = await callToEnd(tx, toCall, wish);
    found.called = called;
    found.admits.push(...wanted);
  }
  if (rest.length > 0) await endAtOnce(tx, rest, wish, found);
  const gone = new Set(found.ended.map((run) => run.runId));
  const isCalled = new Set(found.called);
  const comesToIt = (row: ChildRow) => row.state !== 'rollback_failed' && row.state !== 'paused';
  found.left = rows.filter((row) => !gone.has(row.run_id) && (isCalled.has(row.run_id) || comesToIt(row))).length;
  return found;
}

/** Nothing more is to be asked of it. What could not be undone waits for a person, and is never given up. */
function isEnding(row: ChildRow, rollback: boolean): boolean {
  if (row.rolls_back || row.state === 'rollback_failed' || row.asked_to_undo) return true;
  // A part whose worker died after it was asked has nothing left to do: nobody has to claim it for that.
  return row.asked && (row.is_part ? row.state === 'running' : !rollback);
}

async function sortOut(
  tx: Queryable,
  rows: readonly ChildRow[],
  rollback: boolean,
): Promise<{ undo: ChildRow[]; cleanUp: ChildRow[]; rest: ChildRow[] }> {
  const begun = rows.filter((row) => row.began);
  const ids = begun.map((row) => row.run_id);
  const seen =
    ids.length === 0 ? [] : (await tx.query<{ id: string; cleans_up: boolean; has_steps: boolean }>(look, [ids])).rows;
  const undone = new Set(seen.filter((one) => rollback && one.has_steps).map((one) => one.id));
  const cleaned = new Set(seen.filter((one) => one.cleans_up && !undone.has(one.id)).map((one) => one.id));
  const undo = rows.filter((row) => undone.has(row.run_id));
  const others = rows.filter((row) => !undone.has(row.run_id) && (row.is_part || !row.asked));
  return {
    undo,
    cleanUp: others.filter((row) => cleaned.has(row.run_id)),
    rest: others.filter((row) => !cleaned.has(row.run_id)),
  };
}

async function endAtOnce(
  tx: Queryable,
  rows: readonly ChildRow[],
  { actor, reason }: CancelWish,
  found: CancelledLevel,
): Promise<void> {
  const message = `cancelled with its parent${reason === null ? '' : `: ${reason}`}`;
  const runs = rows.map((row) => ({ id: row.run_id, state: row.state }));
  const { ended, freed } = await cancelRuns(tx, runs, { actor, reason, message });
  for (const run of ended) found.ended.push({ ...run, origin: 'parent' });
  found.admits.push(...freed);
}
