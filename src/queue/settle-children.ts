// What the children of a run have come to, and taking it over: outcomes of items are copied within the database.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepState, TerminalState } from '../domain/run.ts';

/** A child that its parent has not taken over. */
export interface OpenChild {
  id: string;
  from: number;
  to: number;
  /** The try of the step that made it. */
  generation: number;
  isPart: boolean;
  /** null: it is live. */
  state: TerminalState | null;
  error: StoredError | null;
  failedItems: number;
}

const columns = `id, (child ->> 'from')::int4 as item_from, (child ->> 'to')::int4 as item_to,
    (child ->> 'generation')::int4 as generation, is_part is true as is_part, state, error, failed_items`;

const open = statement(
  'list_open_children',
  `select ${columns}
  from cronwright.runs where parent_id = $1 and child_open is true and child ->> 'step' = $2`,
);

const openOne = statement(
  'read_open_child',
  `select ${columns} from cronwright.runs where id = $1 and child_open is true`,
);

interface OpenChildRow {
  id: string;
  item_from: number;
  item_to: number;
  generation: number;
  is_part: boolean;
  state: TerminalState | null;
  error: StoredError | null;
  failed_items: number | null;
}

/** Of one step, those of its earlier tries included. */
export async function listOpenChildren(db: Queryable, parentId: string, step: string): Promise<OpenChild[]> {
  return (await db.query<OpenChildRow>(open, [parentId, step])).rows.map(toOpenChild);
}

export async function readOpenChild(db: Queryable, id: string): Promise<OpenChild | undefined> {
  const [row] = (await db.query<OpenChildRow>(openOne, [id])).rows;
  return row && toOpenChild(row);
}

function toOpenChild(row: OpenChildRow): OpenChild {
  return {
    id: row.id,
    from: row.item_from,
    to: row.item_to,
    generation: row.generation,
    isPart: row.is_part,
    state: row.state,
    error: row.error,
    failedItems: row.failed_items ?? 0,
  };
}

// Only the parent's own worker takes over, and outputs never travel through it. What is settled stays as it is.
const copyItems = statement(
  'copy_items_of_children',
  `with fenced as (
    select run_id, tenant from cronwright.queue where run_id = $1 and token = $2 for share
  )
  insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, error, started_at,
    finished_at, retry_at, rate_limited_ms)
  select f.run_id, c.step, c.item, f.tenant, c.state, c.attempts, c.retries, $2, c.output, c.error, c.started_at,
    c.finished_at, null, c.rate_limited_ms
  from fenced f
  cross join cronwright.step_runs c
  where c.run_id = any($3::uuid[]) and c.step = $4 and c.item >= 0 and c.state in ('completed', 'failed', 'skipped')
  on conflict (run_id, step, item) do update
  set state = excluded.state, attempts = excluded.attempts, retries = excluded.retries, token = excluded.token,
    output = excluded.output, error = excluded.error, started_at = excluded.started_at,
    finished_at = excluded.finished_at, retry_at = null, rate_limited_ms = excluded.rate_limited_ms
  where step_runs.state not in ('completed', 'skipped')
  returning item, state`,
  { idempotent: true },
);

/** Takes over what ended items of these children came to. */
export async function copyItemsOfChildren(
  db: Queryable,
  parent: { runId: string; token: number; step: string },
  children: readonly string[],
): Promise<void> {
  if (children.length > 0) await db.query(copyItems, [parent.runId, parent.token, children, parent.step]);
}

const asked = statement(
  'is_asked_to_end',
  "select 1 as found from cronwright.queue where run_id = $1 and token = $2 and request = 'cancel'",
);

/** Whether the parent itself is to end, and its worker may not have heard of it: then children ended for that. */
export async function isAskedToEnd(db: Queryable, parent: { runId: string; token: number }): Promise<boolean> {
  return (await db.query(asked, [parent.runId, parent.token])).rows.length > 0;
}

const close = statement(
  'close_children',
  'update cronwright.runs set child_open = null where id = any($1::uuid[]) and child_open is true',
  { idempotent: true },
);

/** The parent has taken them over. A crash before this only takes them over once more. */
export async function closeChildren(db: Queryable, children: readonly string[]): Promise<void> {
  if (children.length > 0) await db.query(close, [children]);
}

const reopen = statement(
  'reopen_failed_items',
  `with fenced as (
    select run_id from cronwright.queue where run_id = $1 and token = $2 for share
  )
  update cronwright.step_runs s
  set state = 'pending', retries = 0, error = null, finished_at = null, token = $2
  where s.run_id in (select run_id from fenced) and s.step = $3 and s.item >= 0 and s.state = 'failed'`,
  { idempotent: true },
);

const hasChildren = statement(
  'find_child_of_generation',
  `select id from cronwright.runs
  where parent_id = $1 and child ->> 'step' = $2 and (child ->> 'generation')::int4 = $3 limit 1`,
);

/** Failed items of earlier tries of the step are open again, unless this try has begun. */
export async function reopenFailedItems(
  db: Queryable,
  parent: { runId: string; token: number; step: string; generation: number },
): Promise<void> {
  const begun = await db.query(hasChildren, [parent.runId, parent.step, parent.generation]);
  if (begun.rows.length === 0) await db.query(reopen, [parent.runId, parent.token, parent.step]);
}

const outcome = statement(
  'read_outcome_of_child',
  `select step, state, output, error, attempts, started_at from cronwright.step_runs where run_id = $1 and item = -1`,
);

export interface StepOutcome {
  step: string;
  state: StepState;
  output: Json;
  error: StoredError | null;
  attempts: number;
}

/** What the steps of a child came to. */
export async function readOutcomes(db: Queryable, child: string): Promise<StepOutcome[]> {
  return (await db.query<StepOutcome>(outcome, [child])).rows;
}
