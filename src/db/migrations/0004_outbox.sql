-- Calls of step types that go out apart from any run (notifications), tried until they are delivered or given up.

create table if not exists cronwright.outbox (
  id uuid not null,
  tenant text not null,
  run_id uuid,
  step_type text not null,
  input jsonb not null,
  state text not null check (state in ('pending', 'delivered', 'failed')),
  attempts int4 not null,
  next_at timestamptz,
  lease_until timestamptz,
  token int8 not null,
  error jsonb,
  created_at timestamptz not null,
  finished_at timestamptz,
  primary key (id)
);

create index if not exists outbox_due on cronwright.outbox (next_at) where next_at is not null;

create index if not exists outbox_of_run on cronwright.outbox (run_id) where run_id is not null;
