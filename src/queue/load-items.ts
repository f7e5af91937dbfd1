// Items of fan-outs: states without outputs, in pages, and outputs only where somebody reads them.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import { type StepRecord, type StepRow, toStepRecord } from './load-runs.ts';

const page = 2_000;

const items = statement(
  'load_items',
  `select item, state, attempts, retries, error, started_at, finished_at, retry_at, rate_limited_ms, edited, done_by,
    is_borrowed, case when $5 then output end as output
  from cronwright.step_runs where run_id = $1 and step = $2 and item > $3
  order by item limit $4`,
);

/** Every item of a step that has a row, a page at a time; outputs only where they are asked for. */
export async function* loadItems(
  db: Queryable,
  runId: string,
  step: string,
  withOutputs: boolean,
): AsyncGenerator<StepRecord> {
  for (let last = -1; ; ) {
    const { rows } = await db.query<StepRow>(items, [runId, step, last, page, withOutputs]);
    for (const row of rows) {
      last = row.item;
      yield toStepRecord(runId, step, row);
    }
    if (rows.length < page) return;
  }
}

const states = statement(
  'load_item_states',
  `select state, array_agg(item) as items from cronwright.step_runs
  where run_id = $1 and step = $2 and item >= 0 and state in ('completed', 'failed', 'skipped')
  group by state`,
);

// What ended all items comes before what ended its own.
const firstError = statement(
  'find_first_failed_item',
  `select error from cronwright.step_runs
  where run_id = $1 and step = $2 and item >= 0 and state = 'failed'
  order by coalesce(error->>'scope', '') desc, item limit 1`,
);

export interface SettledItems {
  completed: readonly number[];
  failed: readonly number[];
  skipped: readonly number[];
}

export async function loadSettledItems(db: Queryable, runId: string, step: string): Promise<SettledItems> {
  const { rows } = await db.query<{ state: 'completed' | 'failed' | 'skipped'; items: number[] }>(states, [
    runId,
    step,
  ]);
  const settled = { completed: [] as number[], failed: [] as number[], skipped: [] as number[] };
  for (const row of rows) settled[row.state] = row.items;
  return settled;
}

export async function findItemError(db: Queryable, runId: string, step: string): Promise<StoredError | undefined> {
  return (await db.query<{ error: StoredError | null }>(firstError, [runId, step])).rows[0]?.error ?? undefined;
}

const outputPage = 200;

const outputs = statement(
  'load_item_outputs',
  `select item, output, length(output::text) as size from cronwright.step_runs
  where run_id = $1 and step = $2 and item > $3
  order by item limit $4`,
);

/**
 * The outputs of a step's items in their order, null for one that has none. Undefined where they are longer than `most`
 * characters of JSON in all.
 */
export async function loadItemOutputs(
  db: Queryable,
  runId: string,
  step: string,
  most: number,
): Promise<Json[] | undefined> {
  const found: Json[] = [];
  let size = 0;
  for (let last = -1; ; ) {
    const { rows } = await db.query<{ item: number; output: Json; size: number | null }>(outputs, [
      runId,
      step,
      last,
      outputPage,
    ]);
    for (const row of rows) {
      last = row.item;
      size += row.size ?? 0;
      if (size > most) return undefined;
      while (found.length < row.item) found.push(null);
      found.push(row.output);
    }
    if (rows.length < outputPage) return found;
  }
}
