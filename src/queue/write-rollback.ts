// Makes durable how far the undoing of a run is: that it has begun, and each compensation's start and end.
import { type Queryable, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepState } from '../domain/run.ts';
import { type FencedWrite, fencedParams, fencedStatement } from './fenced-write.ts';

export type CompensationState = 'running' | 'completed' | 'failed' | 'irreversible' | 'reset';

export interface CompensationWrite {
  step: string;
  /** -1: the step itself. */
  item: number;
  state: CompensationState;
  /** The state that the step had before. */
  was: StepState;
  attempts: number;
  retries: number;
  /** How often the step was undone and opened again. */
  times: number;
  error: StoredError | null;
  startedAt: Date | null;
  finishedAt: Date | null;
  retryAt: Date | null;
}

export interface RollbackWrite extends FencedWrite {
  /** From now on all that is left of the run is its rollback, down to the step that is kept (null: all). */
  begins?: { to: string | null };
  compensations: readonly CompensationWrite[];
}

// The request is obeyed with the same write that makes the rollback what is left of the run: a crash finds the one or the other.
const write = fencedStatement(
  'write_rollback',
  `update cronwright.queue q
      set rolls_back = case when b.begins then true else q.rolls_back end,
        rollback_to = case when b.begins then b.keeps else q.rollback_to end,
        request = case when b.begins then null else q.request end,
        request_by = case when b.begins then null else q.request_by end,
        request_reason = case when b.begins then null else q.request_reason end,
        request_rollback = case when b.begins then null else q.request_rollback end,
        request_to = case when b.begins then null else q.request_to end
      from unnest($1::uuid[], $2::int8[], $23::bool[], $24::text[]) as b(id, token, begins, keeps)
      where q.run_id = b.id and q.token = b.token
      returning q.run_id`,
  `, undone as (
      insert into cronwright.compensations (run_id, step, item, tenant, state, was, attempts, retries, times, error,
        started_at, finished_at, retry_at)
      select c.run_id, c.step, c.item, c.tenant, c.state, c.was, c.attempts, c.retries, c.times, c.error::jsonb,
        c.started_at, c.finished_at, c.retry_at
      from unnest($25::uuid[], $26::text[], $27::int4[], $28::text[], $29::text[], $30::text[], $31::int4[], $32::int4[],
        $33::int4[], $34::text[], $35::timestamptz[], $36::timestamptz[], $37::timestamptz[])
        as c(run_id, step, item, tenant, state, was, attempts, retries, times, error, started_at, finished_at, retry_at)
      where c.run_id in (select run_id from fenced)
      on conflict (run_id, step, item) do update
      set state = excluded.state, was = excluded.was, attempts = excluded.attempts, retries = excluded.retries,
        times = excluded.times, error = excluded.error, started_at = excluded.started_at,
        finished_at = excluded.finished_at, retry_at = excluded.retry_at
    )`,
  'select run_id from fenced',
);

/** Returns the ids of the runs that were still the worker's; nothing was written for the others. */
export async function writeRollbacks(
  db: Queryable,
  writes: readonly RollbackWrite[],
  node: string | null,
  at: Date,
): Promise<Set<string>> {
  const rows = lastOfEach(writes);
  const column = <T>(pick: (row: CompensationRow) => T): T[] => rows.map(pick);
  const { rows: written } = await db.query<{ run_id: string }>(write, [
    ...fencedParams(writes, node, at),
    writes.map((one) => one.begins !== undefined),
    writes.map((one) => one.begins?.to ?? null),
    column(({ run }) => run.runId),
    column(({ row }) => row.step),
    column(({ row }) => row.item),
    column(({ run }) => run.tenant),
    column(({ row }) => row.state),
    column(({ row }) => row.was),
    column(({ row }) => row.attempts),
    column(({ row }) => row.retries),
    column(({ row }) => row.times),
    column(({ row }) => (row.error === null ? null : JSON.stringify(row.error))),
    column(({ row }) => row.startedAt),
    column(({ row }) => row.finishedAt),
    column(({ row }) => row.retryAt),
  ]);
  return new Set(written.map((row) => row.run_id));
}

interface CompensationRow {
  run: FencedWrite;
  row: CompensationWrite;
}

/** A statement can write a row only once. */
function lastOfEach(writes: readonly RollbackWrite[]): CompensationRow[] {
  const last = new Map<string, CompensationRow>();
  for (const run of writes) {
    for (const row of run.compensations) last.set(`${run.runId}/${row.step}/${row.item}`, { run, row });
  }
  return [...last.values()];
}

// One that was carried out by child runs keeps counting its tries: the ids of its next children follow from that number.
const reopen = statement(
  'reopen_rolled_back_steps',
  `with fenced as (
    select q.run_id from cronwright.queue q where q.run_id = $1 and q.token = $2 for share of q
  ), reopened as (
    update cronwright.step_runs s
    set state = 'pending', retries = 0, output = null, error = null, checkpoint = null, edited = null, started_at = null,
      finished_at = null, retry_at = null, rate_limited_ms = 0,
      attempts = case when exists (
        select 1 from cronwright.runs c where c.parent_id = s.run_id and c.child ->> 'step' = s.step
      ) then s.attempts + 1 else 0 end
    where s.run_id in (select run_id from fenced) and s.step = any($3::text[]) and s.item = -1
  )
  select run_id from fenced`,
  { idempotent: true },
);

const forget = statement(
  'forget_rolled_back_items',
  `with fenced as (
    select q.run_id from cronwright.queue q where q.run_id = $1 and q.token = $2 for share of q
  ), reset as (
    update cronwright.compensations set state = 'reset', times = times + case when state = 'completed' then 1 else 0 end,
      error = null, retry_at = null
    where run_id in (select run_id from fenced) and step = any($3::text[]) and state <> 'reset'
  ), unasked as (
    delete from cronwright.waits where run_id in (select run_id from fenced) and step = any($3::text[])
  ), unsaid as (
    delete from cronwright.conversations where run_id in (select run_id from fenced) and step = any($3::text[])
  ), unread as (
    update cronwright.runs set child_open = null, child = child || '{"undone": true}'::jsonb
    where parent_id in (select run_id from fenced) and state is not null and child ->> 'step' = any($3::text[])
      and (child_open is true or (is_part is true and child -> 'undone' is null))
  ), gone as (
    delete from cronwright.step_runs
    where run_id in (select run_id from fenced) and step = any($3::text[]) and item >= 0
  )
  select run_id from fenced`,
  { idempotent: true },
);

/**
 * The steps are as if they had never begun, their own checkpoints included. False where the run is no longer the worker's.
 * First the steps: a crash in between leaves nothing that would look as if it were still to be undone.
 */
export async function reopenSteps(
  db: Queryable,
  run: { runId: string; token: number; steps: readonly string[] },
): Promise<boolean> {
  const params = [run.runId, run.token, run.steps];
  const { rows } = await db.query(reopen, params);
  return rows.length > 0 && (await db.query(forget, params)).rows.length > 0;
}
