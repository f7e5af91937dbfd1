-- Who comes first between tenants, slots that tenants share, runs that grew old waiting, and peers that asked for quiet.

-- The order key given out last to a tenant at a queue and priority. Tenant '' is what was claimed last there: its virtual time.
-- added is what the last note gave out, so that the notes of several nodes add up.
create table if not exists cronwright.fair_tags (
  tenant text not null,
  queue text not null,
  priority int2 not null,
  tag int8 not null,
  added int8 not null,
  updated_at timestamptz not null,
  primary key (queue, priority, tenant)
);

create index if not exists fair_tags_news on cronwright.fair_tags (updated_at);

-- Runs of all tenants that wait for a slot of their queue, in one line.
create index if not exists queue_blocked_on_queue on cronwright.queue (blocked_on, priority, fair, run_id)
  where state = 'pending' and blocked_on like 'queue:%';

-- When waiting raised the run's priority last; null: never.
alter table cronwright.queue add column if not exists aged_at timestamptz;

create index if not exists queue_aged on cronwright.queue (aged_at) where aged_at is not null;

-- Until when the runs of a tenant do not call what a key names, because it answered that it is called too often.
create table if not exists cronwright.rate_limits (
  tenant text not null,
  key text not null,
  since timestamptz not null,
  until timestamptz not null,
  reason text not null,
  run_id uuid not null,
  set_by uuid not null,
  primary key (tenant, key)
);

create index if not exists rate_limits_by_end on cronwright.rate_limits (until);
