-- What becomes of undoing what steps did.

-- One row a step (item = -1) or item of a fan-out that is undone, or was. was: the state that the step had before. times: how
-- often it was undone and then opened again by a rollback to another step (state reset).
create table if not exists cronwright.compensations (
  run_id uuid not null,
  step text not null,
  item int4 not null,
  tenant text not null,
  state text not null check (state in ('running', 'completed', 'failed', 'irreversible', 'reset')),
  was text not null,
  attempts int4 not null,
  retries int4 not null,
  times int4 not null,
  error jsonb,
  started_at timestamptz,
  finished_at timestamptz,
  retry_at timestamptz,
  primary key (run_id, step, item)
);

-- The run that did the step, where this one took it over; null: this one.
alter table cronwright.step_runs add column if not exists done_by uuid;

-- True: a fork keeps it, and it stays the work of the run it was forked from: never undone with this one.
alter table cronwright.step_runs add column if not exists is_borrowed bool;
