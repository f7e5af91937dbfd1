// Enqueue: makes runs durable and live in one statement, as many as the caller has.
import { type Queryable, statement } from '../db/database.ts';
import type { NewRun } from '../domain/new-run.ts';
import { fairParam, queueInsert, runInsert, runParams } from './run-columns.ts';

// A run is inserted into queue only together with its row in runs: repeating the statement after a lost answer can
// neither double a run nor bring a finished one back.
const enqueue = statement(
  'enqueue_runs',
  `with r as (
    ${runInsert}
    on conflict do nothing
    returning id
  )
  ${queueInsert(21)}
  where u.id in (select id from r)
  returning run_id, state = 'paused' as held`,
  { idempotent: true },
);

/** Enqueues; returns the ids that were new. Runs with limits start blocked: call `admitRuns` for their keys afterwards. */
export async function enqueueRuns(db: Queryable, runs: readonly NewRun[], now: Date | null = null): Promise<string[]> {
  if (runs.length === 0) return [];
  const { rows } = await db.query<{ run_id: string; held: boolean }>(enqueue, [
    ...runParams(runs, now),
    fairParam(runs),
  ]);
  for (const { run_id, held } of rows) {
    const run = held ? runs.find((one) => one.id === run_id) : undefined;
    if (run) run.isHeld = true;
  }
  return rows.map((row) => row.run_id);
}
