-- The tables that one daemon needs: definitions, schedules, runs, the live queue, history, logs and artifacts.
-- Written to the subset that PostgreSQL 14 and CockroachDB 25.2 share; one idempotent statement at a time.

create schema if not exists cronwright;

-- Every version of every pipeline that was ever applied; exactly one version of a pipeline is active.
create table if not exists cronwright.pipelines (
  tenant text not null,
  id text not null,
  version text not null,
  definition jsonb not null,
  active boolean not null,
  created_at timestamptz not null,
  primary key (tenant, id, version)
);

create unique index if not exists pipelines_active on cronwright.pipelines (tenant, id) where active;

-- Every nominal time up to cursor_at is decided; version is the compare-and-set that lets one scheduler decide the next ones.
create table if not exists cronwright.schedules (
  tenant text not null,
  id text not null,
  pipeline text not null,
  definition jsonb not null,
  enabled boolean not null,
  cursor_at timestamptz not null,
  next_at timestamptz,
  version int8 not null,
  paused_at timestamptz,
  paused_until timestamptz,
  paused_by text,
  paused_reason text,
  last_run_id uuid,
  last_nominal_at timestamptz,
  error text,
  removed_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant, id)
);

create index if not exists schedules_due on cronwright.schedules (next_at) where next_at is not null;

-- Nominal times that did not become runs, as ranges with a count; `enqueued` counts those whose runs have been pruned.
create table if not exists cronwright.occurrences (
  id uuid not null,
  tenant text not null,
  schedule text not null,
  outcome text not null check (outcome in ('enqueued', 'missed', 'skipped_overlap', 'skipped_paused', 'skipped_calendar')),
  first_at timestamptz not null,
  last_at timestamptz not null,
  count int8 not null,
  reason text not null,
  recorded_at timestamptz not null,
  primary key (id)
);

create index if not exists occurrences_of_schedule on cronwright.occurrences (tenant, schedule, last_at);

-- One row a run, for ever. state is null while the run is live (its row in queue says which state) and final once set.
-- No index names a column that a completed run changes, so that the finish stays a heap-only update; failure repeats state
-- for every end but completed.
create table if not exists cronwright.runs (
  id uuid not null,
  tenant text not null,
  pipeline text not null,
  pipeline_version text not null,
  schedule text,
  nominal_at timestamptz,
  nominal_count int4 not null,
  late boolean not null,
  origin text not null check (origin in ('schedule', 'api', 'cli', 'backfill', 'retry', 'fork', 'parent', 'sensor', 'webhook')),
  priority int2 not null check (priority between 1 and 10),
  queue text not null,
  inputs jsonb,
  dry_run boolean not null,
  actor text,
  parent_id uuid,
  traceparent text,
  created_at timestamptz not null,
  run_at timestamptz,
  state text check (state in ('completed', 'failed', 'cancelled', 'rolled_back', 'dead_letter')),
  failure text,
  started_at timestamptz,
  finished_at timestamptz,
  attempt int4,
  claims int8,
  node uuid,
  error jsonb,
  failed_items int4,
  progress int2,
  message text,
  primary key (id)
);

create unique index if not exists runs_occurrence on cronwright.runs (tenant, schedule, nominal_at) where origin = 'schedule';

create index if not exists runs_of_pipeline on cronwright.runs (tenant, pipeline, id);

create index if not exists runs_not_completed on cronwright.runs (tenant, failure, id) where failure is not null;

create index if not exists runs_of_parent on cronwright.runs (parent_id) where parent_id is not null;

-- The live runs, narrow, deleted at the finish. token rises with every claim and fences every write of a worker.
create table if not exists cronwright.queue (
  run_id uuid not null,
  tenant text not null,
  queue text not null,
  pipeline text not null,
  pipeline_version text not null,
  schedule text,
  priority int2 not null,
  fair int8 not null,
  weight text not null check (weight in ('light', 'heavy')),
  state text not null check (state in ('scheduled', 'pending', 'running', 'waiting', 'retrying', 'paused', 'rolling_back', 'rollback_failed')),
  limits text[],
  blocked_on text,
  run_at timestamptz,
  wait_kind text,
  token int8 not null,
  claims int4 not null,
  attempt int4 not null,
  attempt_started_at timestamptz,
  node uuid,
  lease_until timestamptz,
  request text check (request in ('pause', 'cancel')),
  request_by text,
  request_reason text,
  enqueued_at timestamptz not null,
  started_at timestamptz,
  step text,
  progress int2,
  message text,
  progress_at timestamptz,
  primary key (run_id)
);

create index if not exists queue_ready on cronwright.queue (queue, weight, priority, fair, run_id)
  where state = 'pending' and blocked_on is null;

create index if not exists queue_blocked on cronwright.queue (tenant, blocked_on, priority, fair, run_id)
  where state = 'pending' and blocked_on is not null;

create index if not exists queue_timers on cronwright.queue (run_at) where run_at is not null;

create index if not exists queue_running on cronwright.queue (node) where state = 'running';

create index if not exists queue_of_schedule on cronwright.queue (tenant, schedule) where schedule is not null;

-- One row a unit of a limit; run_id is who holds it. A retired slot is given to nobody any more.
create table if not exists cronwright.slots (
  tenant text not null,
  key text not null,
  n int4 not null,
  run_id uuid,
  retired boolean not null,
  primary key (tenant, key, n)
);

create index if not exists slots_of_run on cronwright.slots (run_id) where run_id is not null;

-- The durable outcome of every step (item = -1) and every item of a fan-out (item >= 0).
create table if not exists cronwright.step_runs (
  run_id uuid not null,
  step text not null,
  item int4 not null,
  tenant text not null,
  state text not null check (state in ('pending', 'running', 'waiting', 'completed', 'failed', 'skipped', 'compensated', 'cancelled')),
  attempts int4 not null,
  retries int4 not null,
  token int8 not null,
  output jsonb,
  error jsonb,
  checkpoint jsonb,
  started_at timestamptz,
  finished_at timestamptz,
  retry_at timestamptz,
  rate_limited_ms int8 not null,
  primary key (run_id, step, item)
);

-- One row a run and flush: an array of transitions, the last of which is number seq; dense per run. json, not jsonb: they are
-- written for every run, read as a whole and never searched, so that taking each apart would be for nothing.
create table if not exists cronwright.history (
  run_id uuid not null,
  seq int4 not null,
  tenant text not null,
  node uuid,
  at timestamptz not null,
  transitions json not null,
  primary key (run_id, seq)
);

-- Chunks of a run's log, in order of (token, seq): lines is an array of {at, level, step, item, attempt, stream, text}.
create table if not exists cronwright.logs (
  run_id uuid not null,
  token int8 not null,
  seq int4 not null,
  tenant text not null,
  lines jsonb not null,
  at timestamptz not null,
  primary key (run_id, token, seq)
);

create table if not exists cronwright.artifacts (
  id uuid not null,
  tenant text not null,
  run_id uuid not null,
  step text not null,
  item int4 not null,
  name text not null,
  media_type text not null,
  size int8 not null,
  sha256 text not null,
  created_at timestamptz not null,
  primary key (id)
);

create index if not exists artifacts_of_run on cronwright.artifacts (run_id, id);

create table if not exists cronwright.artifact_chunks (
  artifact_id uuid not null,
  n int4 not null,
  tenant text not null,
  content bytea not null,
  primary key (artifact_id, n)
);

-- beat rises with every heartbeat; a node is dead where it stands still for a lease.
create table if not exists cronwright.nodes (
  id uuid not null,
  name text not null,
  version text not null,
  started_at timestamptz not null,
  beat int8 not null,
  beat_at timestamptz not null,
  workers int4 not null,
  in_flight int4 not null,
  queues text[],
  config_hash text,
  stopped_at timestamptz,
  primary key (id)
);

-- What an Idempotency-Key was answered with.
create table if not exists cronwright.idempotency_keys (
  tenant text not null,
  key text not null,
  request_hash text not null,
  status int4 not null,
  answer jsonb not null,
  created_at timestamptz not null,
  primary key (tenant, key)
);
