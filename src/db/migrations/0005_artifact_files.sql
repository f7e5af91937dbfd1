-- Artifacts beyond what the database takes are files; nodes that use different folders for them cannot work together.

alter table cronwright.artifacts add column if not exists in_file bool;

alter table cronwright.nodes add column if not exists artifact_files uuid;
