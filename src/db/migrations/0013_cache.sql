-- Results of steps that later runs take instead of running the step again.

-- One row a key: what the step came to when it last completed, and in which run. scope is the pipeline, or empty where all
-- pipelines of the tenant share; key is a hash. The output is a copy: the run it comes from may be pruned before it.
create table if not exists cronwright.step_cache (
  tenant text not null,
  step_type text not null,
  scope text not null,
  key text not null,
  run_id uuid not null,
  step text not null,
  item int4 not null,
  output jsonb,
  completed_at timestamptz not null,
  expires_at timestamptz not null,
  primary key (tenant, step_type, scope, key)
);

create index if not exists step_cache_of_run on cronwright.step_cache (run_id);

create index if not exists step_cache_expires on cronwright.step_cache (expires_at);
