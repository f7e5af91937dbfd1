-- What several nodes tell each other: what each has to offer, which configuration was put in force last and by whom, and
-- which node has a run's files.

alter table cronwright.nodes add column if not exists labels text[];

-- The newest row is the configuration in force; older ones are its history.
create table if not exists cronwright.config_applies (
  id uuid not null,
  node uuid not null,
  node_name text not null,
  hash text not null,
  pipelines int4 not null,
  changed int4 not null,
  at timestamptz not null,
  primary key (id)
);

-- The node that has the run's workspace; null: none has, or any will do.
alter table cronwright.queue add column if not exists workspace_node uuid;

create index if not exists queue_of_workspace on cronwright.queue (workspace_node) where workspace_node is not null;
