-- Sensors: what is looked at between runs, and how far it was seen.

-- One row a sensor of a pipeline in force. cursor is what its plugin gave at the last look, as JSON text; null: nobody looked yet.
-- generation changes where the cursor is forgotten. due_at is the next look, or, while a node looks, when another node may take its
-- place; null: never. Whoever raises version owns what follows; look_id is the look that raised it last.
create table if not exists cronwright.sensors (
  tenant text not null,
  id text not null,
  pipeline text not null,
  uses text not null,
  definition jsonb not null,
  enabled bool not null,
  generation uuid not null,
  cursor text,
  due_at timestamptz,
  version int8 not null,
  look_id uuid,
  failures int4 not null,
  error text,
  looked_at timestamptz,
  found_at timestamptz,
  found int8 not null,
  paused_at timestamptz,
  paused_until timestamptz,
  paused_by text,
  paused_reason text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  primary key (tenant, id)
);

create index if not exists sensors_due on cronwright.sensors (due_at);

-- One row a thing that a sensor found, with the run it started: none starts a second one. It goes with its run.
create table if not exists cronwright.sensor_events (
  tenant text not null,
  sensor text not null,
  generation uuid not null,
  key text not null,
  run_id uuid not null,
  look_id uuid not null,
  data jsonb,
  found_at timestamptz not null,
  primary key (tenant, sensor, generation, key)
);

create index if not exists sensor_events_of_run on cronwright.sensor_events (run_id);

create index if not exists sensor_events_by_time on cronwright.sensor_events (tenant, sensor, found_at);
