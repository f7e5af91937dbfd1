-- Views for people who look with SQL, under the words of older schedulers, and the promises about time that were not kept.

-- One row a run, live or ended. state has five words of old and CANCELLED; run_state is the state as everything else calls it.
create or replace view cronwright.scheduled_runs as
  select r.id as run_id,
    case coalesce(r.state, q.state, 'pending')
      when 'scheduled' then 'SCHEDULED'
      when 'pending' then 'PENDING'
      when 'paused' then 'PENDING'
      when 'retrying' then 'PENDING'
      when 'running' then 'RUNNING'
      when 'waiting' then 'RUNNING'
      when 'rolling_back' then 'RUNNING'
      when 'completed' then 'COMPLETED'
      when 'cancelled' then 'CANCELLED'
      else 'FAILED'
    end as state,
    coalesce(r.nominal_at, r.run_at, r.created_at) as scheduled_time,
    r.tenant as tenant_id,
    r.pipeline as config_id,
    r.pipeline_version as config_version,
    r.schedule as schedule_id,
    r.id as pipeline_logging_id,
    r.created_at,
    coalesce(r.started_at, q.started_at) as started_at,
    r.finished_at as completed_at,
    (extract(epoch from coalesce(r.finished_at, now()) - coalesce(r.started_at, q.started_at)))::float8 as duration,
    r.error->>'message' as error,
    r.error->>'name' as error_name,
    greatest(coalesce(r.attempt, q.attempt, 1) - 1, 0)::int4 as retry_count,
    coalesce((p.definition->'retry'->>'maxRetries')::int4, 0) as max_retries,
    case when q.state = 'retrying' then q.run_at end as next_retry_at,
    coalesce(q.priority, r.priority) as priority,
    r.origin,
    coalesce(r.node, q.node) as worker_id,
    coalesce(r.state, q.state, 'pending') as run_state
  from cronwright.runs r
  left join cronwright.queue q on q.run_id = r.id
  left join cronwright.pipelines p on p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version;

-- One row a live run, as the workers see it: a run leaves it when it ends. status has the words of older job queues; state, queue,
-- weight, priority, fair and queue_id are the columns of the index that claims go by.
create or replace view cronwright.pipeline_queue as
  select q.run_id as queue_id,
    case
      when q.state in ('pending', 'scheduled') then 'queued'
      when q.state = 'running' then 'processing'
      when q.state = 'retrying' or (q.state = 'waiting' and q.wait_kind = 'step_retry') then 'error'
      else q.state
    end as status,
    q.state,
    q.queue,
    q.weight,
    q.priority,
    q.fair,
    q.blocked_on,
    q.enqueued_at as created_at,
    q.run_at,
    q.tenant as tenant_id,
    q.pipeline as config_id,
    q.pipeline_version as config_version,
    q.schedule as schedule_id,
    n.name as worker,
    q.node as worker_id,
    q.lease_until,
    q.claims,
    q.attempt,
    q.wait_kind,
    q.step,
    q.progress,
    coalesce(r.error->>'message', q.message) as error,
    (extract(epoch from coalesce(q.started_at, now()) - greatest(q.enqueued_at, coalesce(q.run_at, q.enqueued_at))))::float8
      as wait_seconds
  from cronwright.queue q
  left join cronwright.nodes n on n.id = q.node
  left join cronwright.runs r on r.id = q.run_id;

-- One row a promise that was not kept: subject is the occurrence (schedule@instant) or the run, kind what was promised. Its key
-- is what makes it be told once, whoever finds it. count is how many nominal times were missed together.
create table if not exists cronwright.sla_misses (
  tenant text not null,
  subject text not null,
  kind text not null check (kind in ('start', 'complete')),
  pipeline text not null,
  schedule text,
  nominal_at timestamptz,
  run_id uuid,
  count int8 not null,
  within_ms int8 not null,
  due_at timestamptz not null,
  missed_at timestamptz not null,
  primary key (tenant, subject, kind)
);

create index if not exists sla_misses_of_run on cronwright.sla_misses (run_id) where run_id is not null;

create index if not exists sla_misses_of_schedule on cronwright.sla_misses (tenant, schedule, missed_at) where schedule is not null;

create index if not exists sla_misses_by_time on cronwright.sla_misses (missed_at);

-- One row a thing of another system that a run was made of: source is what that system calls it. Its key is what makes it be
-- taken over once. Gone with its run.
create table if not exists cronwright.imports (
  tenant text not null,
  pipeline text not null,
  source text not null,
  run_id uuid not null,
  primary key (tenant, pipeline, source)
);

create index if not exists imports_of_run on cronwright.imports (run_id);
