-- Runs that stand for a step, or for items of a step, of another run: their parent waits for them.

-- Which part of its parent the run is: step, first item and the one after the last (-1: the step itself), generation, depth,
-- the keys of slots that its ancestors hold, and the items' values. Null: the run is nobody's child.
alter table cronwright.runs add column if not exists child jsonb;

-- True: the run carries out a part of its parent's pipeline, and is no run of the whole of it.
alter table cronwright.runs add column if not exists is_part bool;

-- True until the parent has taken over what the run came to.
alter table cronwright.runs add column if not exists child_open bool;

create index if not exists runs_open_children on cronwright.runs (parent_id) where child_open is true;
