// Loads the items of fan-outs that have started, in order to undo them; what each came to only when its turn comes.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepState } from '../domain/run.ts';

export interface StartedItem {
  item: number;
  state: StepState;
  attempts: number;
  error: StoredError | null;
  startedAt: Date | null;
  finishedAt: Date | null;
  doneBy: string | null;
  isBorrowed: boolean | null;
}

const startedItems = statement(
  'load_started_items',
  `select item, state, attempts, error, started_at, finished_at, done_by, is_borrowed
  from cronwright.step_runs
  where run_id = $1 and step = $2 and item >= 0 and started_at is not null`,
);

const itemOutput = statement(
  'load_item_output',
  'select output from cronwright.step_runs where run_id = $1 and step = $2 and item = $3',
);

export async function loadStartedItems(db: Queryable, runId: string, step: string): Promise<StartedItem[]> {
  const { rows } = await db.query<{
    item: number;
    state: StepState;
    attempts: number;
    error: StoredError | null;
    started_at: Date | null;
    finished_at: Date | null;
    done_by: string | null;
    is_borrowed: boolean | null;
  }>(startedItems, [runId, step]);
  return rows.map(({ started_at, finished_at, done_by, is_borrowed, ...row }) => ({
    ...row,
    startedAt: started_at,
    finishedAt: finished_at,
    doneBy: done_by,
    isBorrowed: is_borrowed,
  }));
}

export async function loadItemOutput(
  db: Queryable,
  runId: string,
  step: string,
  item: number,
): Promise<Json | undefined> {
  const { rows } = await db.query<{ output: Json }>(itemOutput, [runId, step, item]);
  return rows[0]?.output ?? undefined;
}
