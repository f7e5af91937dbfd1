-- Pauses of whole pipelines and tenants: while one lasts, nothing of it starts.

-- One row a pause; pipeline is empty where it is the whole tenant's. It lasts until until_at or until ended_at, whichever is
-- first; the ended ones are kept because schedules that catch up must know what was paused.
create table if not exists cronwright.pauses (
  id uuid not null,
  tenant text not null,
  pipeline text not null,
  paused_at timestamptz not null,
  paused_by text not null,
  reason text,
  until_at timestamptz,
  ended_at timestamptz,
  ended_by text,
  primary key (id)
);

create unique index if not exists pauses_in_force on cronwright.pauses (tenant, pipeline) where ended_at is null;

create index if not exists pauses_of_pipeline on cronwright.pauses (tenant, pipeline, ended_at);

-- The pause that holds the run, or that asks its worker to hold it; null: nobody, or a person who meant this run alone.
alter table cronwright.queue add column if not exists held_by uuid;

create index if not exists queue_held on cronwright.queue (held_by) where held_by is not null;
