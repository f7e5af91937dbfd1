-- Calls of step types that go out apart from any run (notifications), tried until they are delivered or given up.

-- next_at is also the lease: a claim moves it beyond the longest attempt, so that a call whose node died is due again. token
-- rises with every claim and fences the outcome. sum_of is set where the call stands for several failed runs: how many.
create table if not exists cronwright.outbox (
  id uuid not null,
  tenant text not null,
  run_id uuid,
  pipeline text not null,
  step text not null,
  step_type text not null,
  input jsonb not null,
  sum_of int8,
  state text not null check (state in ('pending', 'delivered', 'failed')),
  attempts int4 not null,
  next_at timestamptz,
  token int8 not null,
  error jsonb,
  created_at timestamptz not null,
  finished_at timestamptz,
  primary key (id)
);

create index if not exists outbox_due on cronwright.outbox (next_at) where next_at is not null;

create index if not exists outbox_open on cronwright.outbox (state, id) where state <> 'delivered';

create index if not exists outbox_of_run on cronwright.outbox (run_id) where run_id is not null;

create index if not exists outbox_by_time on cronwright.outbox (created_at, id);

create index if not exists outbox_finished on cronwright.outbox (finished_at) where finished_at is not null;
