// Loads how far the undoing of runs has come, and what was undone before a rollback opened it again.
import { type Queryable, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepState } from '../domain/run.ts';
import type { CompensationState, CompensationWrite } from './write-rollback.ts';

const load = statement(
  'load_compensations',
  `select c.*
  from unnest($1::uuid[]) as u(id)
  cross join lateral (
    select run_id, step, item, state, was, attempts, retries, times, error, started_at, finished_at, retry_at
    from cronwright.compensations where run_id = u.id
    offset 0
  ) c`,
);

export async function loadCompensations(
  db: Queryable,
  ids: readonly string[],
): Promise<Map<string, CompensationWrite[]>> {
  const { rows } = await db.query<{
    run_id: string;
    step: string;
    item: number;
    state: CompensationState;
    was: StepState;
    attempts: number;
    retries: number;
    times: number;
    error: StoredError | null;
    started_at: Date | null;
    finished_at: Date | null;
    retry_at: Date | null;
  }>(load, [ids]);
  const byRun = new Map<string, CompensationWrite[]>();
  for (const { run_id, started_at, finished_at, retry_at, ...row } of rows) {
    const own = byRun.get(run_id) ?? [];
    byRun.set(run_id, own);
    own.push({ ...row, startedAt: started_at, finishedAt: finished_at, retryAt: retry_at });
  }
  return byRun;
}
