// What every write of a worker has in common: step outcomes and history, in one statement, only for runs whose token still is the worker's.
import type { Json } from '../base/json.ts';
import { type Statement, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { StepState, Transition } from '../domain/run.ts';

export interface StepWrite {
  step: string;
  /** -1: the step itself. */
  item: number;
  state: StepState;
  attempts: number;
  retries: number;
  output: Json | undefined;
  error: StoredError | null;
  startedAt: Date | null;
  finishedAt: Date | null;
  retryAt: Date | null;
  rateLimitedMs: number;
}

/** One run's part of a flush. */
export interface FencedWrite {
  runId: string;
  tenant: string;
  token: number;
  steps: readonly StepWrite[];
  transitions: readonly Transition[];
  /** Number of the last of `transitions`. */
  seq: number;
}

/**
 * Two flushes of one run may commit in either order: that a step has begun never replaces what it came to.
 *
 * Builds a statement around `fence`, a CTE body that returns the run_id of every run whose token matched. It reads the
 * runs as `unnest($1::uuid[], $2::int8[])`; parameters of its own begin at $23. `rest` are further CTEs that read `fenced`.
 */
export function fencedStatement(name: string, fence: string, rest: string, result: string): Statement {
  return statement(
    name,
    `with fenced as (
      ${fence}
    ), steps as (
      insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, error,
        started_at, finished_at, retry_at, rate_limited_ms)
      select s.run_id, s.step, s.item, s.tenant, s.state, s.attempts, s.retries, s.token, s.output::jsonb, s.error::jsonb,
        s.started_at, s.finished_at, s.retry_at, s.rate_limited_ms
      from unnest($3::uuid[], $4::text[], $5::int4[], $6::text[], $7::text[], $8::int4[], $9::int4[], $10::int8[],
        $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[], $16::int8[])
        as s(run_id, step, item, tenant, state, attempts, retries, token, output, error, started_at, finished_at, retry_at,
          rate_limited_ms)
      where s.run_id in (select run_id from fenced)
      on conflict (run_id, step, item) do update
      set state = excluded.state, attempts = excluded.attempts, retries = excluded.retries, token = excluded.token,
        output = excluded.output, error = excluded.error, started_at = excluded.started_at,
        finished_at = excluded.finished_at, retry_at = excluded.retry_at, rate_limited_ms = excluded.rate_limited_ms
      where excluded.state <> 'running' or excluded.token > step_runs.token or excluded.attempts > step_runs.attempts
    ), told as (
      insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
      select h.run_id, h.seq, h.tenant, $22::uuid, h.at, h.transitions::json
      from unnest($17::uuid[], $18::int4[], $19::text[], $20::timestamptz[], $21::text[])
        as h(run_id, seq, tenant, at, transitions)
      where h.run_id in (select run_id from fenced)
      on conflict do nothing
    )${rest}
    ${result}`,
    { idempotent: true },
  );
}

/** Parameters $1…$22 of a fenced statement. `at` is the time of the flush. */
export function fencedParams(writes: readonly FencedWrite[], node: string | null, at: Date): unknown[] {
  const rows = lastOfEach(writes);
  const told = writes.filter((write) => write.transitions.length > 0);
  return [
    writes.map((write) => write.runId),
    writes.map((write) => write.token),
    rows.map((row) => row.write.runId),
    rows.map((row) => row.step.step),
    rows.map((row) => row.step.item),
    rows.map((row) => row.write.tenant),
    rows.map((row) => row.step.state),
    rows.map((row) => row.step.attempts),
    rows.map((row) => row.step.retries),
    rows.map((row) => row.write.token),
    rows.map((row) => (row.step.output === undefined ? null : JSON.stringify(row.step.output))),
    rows.map((row) => (row.step.error === null ? null : JSON.stringify(row.step.error))),
    rows.map((row) => row.step.startedAt),
    rows.map((row) => row.step.finishedAt),
    rows.map((row) => row.step.retryAt),
    rows.map((row) => row.step.rateLimitedMs),
    told.map((write) => write.runId),
    told.map((write) => write.seq),
    told.map((write) => write.tenant),
    told.map(() => at),
    told.map((write) => JSON.stringify(write.transitions)),
    node,
  ];
}

interface StepRow {
  write: FencedWrite;
  step: StepWrite;
}

/** A statement can write a row only once: of two writes of one step in a batch the later stays. */
function lastOfEach(writes: readonly FencedWrite[]): StepRow[] {
  const all: StepRow[] = [];
  const runs = new Set<string>();
  let canRepeat = false;
  for (const write of writes) {
    canRepeat ||= write.steps.length > 1 || runs.has(write.runId);
    runs.add(write.runId);
    for (const step of write.steps) all.push({ write, step });
  }
  if (!canRepeat) return all;
  const last = new Map<string, StepRow>();
  for (const row of all) last.set(`${row.write.runId}/${row.step.step}/${row.step.item}`, row);
  return [...last.values()];
}
