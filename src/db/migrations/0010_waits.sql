-- What runs ask of people, and how long they sleep.

-- One row a question of a step (item = -1) or of one item of its fan-out; attempt is how many tries of the step there had been.
-- asked_by is who asks: the step itself, or the worker because the step has failed for good (exhausted, error), because a
-- crash interrupted it (interrupted), or a repair that was made without a person (fix). told: history has the answer.
create table if not exists cronwright.waits (
  run_id uuid not null,
  step text not null,
  item int4 not null,
  key text not null,
  tenant text not null,
  kind text not null check (kind in ('approval', 'manual_edit', 'ai_fix', 'timer', 'budget')),
  asked_by text not null check (asked_by in ('step', 'exhausted', 'error', 'interrupted', 'fix')),
  attempt int4 not null,
  message text,
  form jsonb,
  choices text[],
  approvers text[],
  starter_may_answer bool not null,
  asked_at timestamptz not null,
  timeout_at timestamptz,
  on_timeout text not null check (on_timeout in ('fail', 'approve', 'reject', 'continue')),
  state text not null check (state in ('open', 'answered', 'timed_out', 'cancelled')),
  decision text,
  data jsonb,
  answered_by text,
  answered_at timestamptz,
  told bool not null,
  primary key (run_id, step, item, key)
);

-- The questions that are open, of all runs.
create index if not exists waits_open on cronwright.waits (tenant, asked_at, run_id) where state = 'open';
