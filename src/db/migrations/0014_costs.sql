-- Money and units that steps spend: the ledger, what is held from budgets, and answers of models that are kept.

-- One row a spending, or a reservation that is not settled. usd is what counts for budgets: the estimate while the row is held or
-- unknown (the attempt ended without a word: the money is probably spent), what was really spent once it is spent. held_usd is what
-- was held; null: nothing was. whole_id is the run that it counts for: the parent's, where run_id carries out a part of it.
create table if not exists cronwright.costs (
  id uuid not null,
  tenant text not null,
  pipeline text not null,
  run_id uuid not null,
  whole_id uuid not null,
  step text not null,
  item int4 not null,
  attempt int4 not null,
  token int8 not null,
  what text not null,
  provider text,
  model text,
  prompt_hash text,
  prompt_tokens int8 not null,
  completion_tokens int8 not null,
  cached_tokens int8 not null,
  units jsonb,
  state text not null check (state in ('held', 'spent', 'unknown')),
  held_usd numeric(18, 6),
  usd numeric(18, 6) not null,
  month text not null,
  at timestamptz not null,
  settled_at timestamptz,
  primary key (id)
);

create index if not exists costs_of_run on cronwright.costs (whole_id, id);

create index if not exists costs_of_tenant on cronwright.costs (tenant, at);

-- What is held now, of all runs.
create index if not exists costs_held on cronwright.costs (run_id) where state = 'held';

create index if not exists costs_by_time on cronwright.costs (at);

-- One row a sum that a budget may bound: of a run (key run:ID) or of a tenant's month (month:YYYY-MM, in UTC). A reservation is
-- an update on the condition that spent, held, unknown and what is asked stay within limit and extra: what people have allowed
-- beyond it. estimated: what the run was expected to cost; null: nobody said. warned_at: when it was first told that it is near.
create table if not exists cronwright.cost_totals (
  tenant text not null,
  key text not null,
  run_id uuid,
  spent numeric(18, 6) not null,
  held numeric(18, 6) not null,
  unknown numeric(18, 6) not null,
  extra numeric(18, 6) not null,
  limit_usd numeric(18, 6),
  estimated numeric(18, 6),
  prompt_tokens int8 not null,
  completion_tokens int8 not null,
  cached_tokens int8 not null,
  warned_at timestamptz,
  primary key (tenant, key)
);

create index if not exists cost_totals_of_run on cronwright.cost_totals (run_id) where run_id is not null;

-- One row a reservation that people have let go beyond a budget; n counts those of the step (item = -1) or item.
create table if not exists cronwright.budget_grants (
  run_id uuid not null,
  step text not null,
  item int4 not null,
  n int4 not null,
  tenant text not null,
  cost_id uuid not null,
  usd numeric(18, 6) not null,
  granted_by text,
  at timestamptz not null,
  primary key (run_id, step, item, n)
);

-- One row a question to a model of a tenant (a hash of all that decides the answer): what it was answered, for as long as that is
-- kept. run_id and step are where it was asked.
create table if not exists cronwright.llm_responses (
  tenant text not null,
  hash text not null,
  response jsonb not null,
  run_id uuid not null,
  step text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (tenant, hash)
);

create index if not exists llm_responses_expires on cronwright.llm_responses (expires_at);
