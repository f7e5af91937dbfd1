// Loads what a run that ran before needs in order to go on: its checkpoints.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepState } from '../domain/run.ts';

/** A step's row (item = -1) or the row of one item. */
export interface StepRecord {
  runId: string;
  step: string;
  item: number;
  state: StepState;
  attempts: number;
  retries: number;
  output: Json;
  error: StoredError | null;
  startedAt: Date | null;
  finishedAt: Date | null;
  retryAt: Date | null;
  rateLimitedMs: number;
  /** What somebody put in place of the step's own output. */
  edited?: { output: Json } | null;
  /** The run that did it; null: this one. */
  doneBy?: string | null;
  /** It stays the work of another run. */
  isBorrowed?: boolean | null;
}

// One look-up a run: without statistics, `run_id = any(…)` is taken for most of the table and all of it is read. `offset 0`
// keeps the planner from turning it back into that.
const loadSteps_ = statement(
  'load_step_runs',
  `select s.*
  from unnest($1::uuid[]) as u(id)
  cross join lateral (
    select run_id, step, item, state, attempts, retries, output, error, started_at, finished_at, retry_at, rate_limited_ms,
      edited, done_by, is_borrowed
    from cronwright.step_runs where run_id = u.id and item < 0
    offset 0
  ) s`,
);

const lastSeq = statement(
  'load_last_seq',
  `select u.id as run_id, h.seq
  from unnest($1::uuid[]) as u(id)
  cross join lateral (select max(seq) as seq from cronwright.history where run_id = u.id) h
  where h.seq is not null`,
);

/** A row of `cronwright.step_runs` without its key. */
export interface StepRow {
  item: number;
  state: StepState;
  attempts: number;
  retries: number;
  output: Json;
  error: StoredError | null;
  started_at: Date | null;
  finished_at: Date | null;
  retry_at: Date | null;
  rate_limited_ms: number;
  edited: { output: Json } | null;
  done_by: string | null;
  is_borrowed: boolean | null;
}

export function toStepRecord(runId: string, step: string, row: StepRow): StepRecord {
  return {
    runId,
    step,
    item: row.item,
    state: row.state,
    attempts: row.attempts,
    retries: row.retries,
    output: row.output,
    error: row.error,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    retryAt: row.retry_at,
    rateLimitedMs: row.rate_limited_ms,
    edited: row.edited,
    doneBy: row.done_by,
    isBorrowed: row.is_borrowed,
  };
}

/** The steps alone; of items there may be very many (`loadItems`). */
export async function loadSteps(db: Queryable, ids: readonly string[]): Promise<Map<string, StepRecord[]>> {
  const { rows } = await db.query<StepRow & { run_id: string; step: string }>(loadSteps_, [ids]);
  const byRun = new Map<string, StepRecord[]>();
  for (const row of rows) {
    const steps = byRun.get(row.run_id) ?? [];
    byRun.set(row.run_id, steps);
    steps.push(toStepRecord(row.run_id, row.step, row));
  }
  return byRun;
}

/** Number of the last stored transition of each run; 1 (the enqueue, which is not stored) where there is none. */
export async function loadLastSeq(db: Queryable, ids: readonly string[]): Promise<Map<string, number>> {
  const { rows } = await db.query<{ run_id: string; seq: number }>(lastSeq, [ids]);
  return new Map(rows.map((row) => [row.run_id, row.seq]));
}
