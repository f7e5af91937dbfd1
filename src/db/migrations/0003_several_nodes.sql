-- What several nodes tell each other: what each has to offer, which configuration was put in force last and by whom, and
-- which node has a run's files.

alter table cronwright.nodes add column if not exists labels text[];

-- The data directory it keeps workspaces in; the same after a restart.
alter table cronwright.nodes add column if not exists home uuid;

-- Pipeline versions whose step types it does not have.
alter table cronwright.nodes add column if not exists lacks text[];

-- The row with the highest seq is the configuration in force; older ones are its history. seq is the one before plus one, and
-- unique: of two applies at the same time one is first, and the other comes after it.
create table if not exists cronwright.config_applies (
  id uuid not null,
  seq int4 not null,
  node uuid not null,
  node_name text not null,
  hash text not null,
  pipelines int4 not null,
  changed int4 not null,
  at timestamptz not null,
  primary key (id)
);

create unique index if not exists config_applies_in_order on cronwright.config_applies (seq);

-- The data directory of the node that carried the run out last: files of the run that are elsewhere are stale.
alter table cronwright.queue add column if not exists home uuid;

-- Since when a run that can go on waits for the node with its files; null: any node may take it.
alter table cronwright.queue add column if not exists pinned_at timestamptz;

create index if not exists queue_pinned_since on cronwright.queue (pinned_at)
  where state = 'pending' and pinned_at is not null;

create index if not exists queue_pinned_to on cronwright.queue (home) where pinned_at is not null;
