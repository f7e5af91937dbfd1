-- What people and steps ask of a live run beyond cancel: to hold still, to wait for an answer, to undo what it did.

-- Since when the clock of the run's timeout stands still (paused, waiting for people); null: it runs.
alter table cronwright.queue add column if not exists clock_stopped_at timestamptz;

-- The state a paused run was in before.
alter table cronwright.queue add column if not exists paused_from text;

-- What a request to cancel asks for besides: to undo what was done (true), down to a step that is kept (null: all).
alter table cronwright.queue add column if not exists request_rollback bool;

alter table cronwright.queue add column if not exists request_to text;

-- True: all that is left of the run is its rollback, whoever works on it; rollback_to is the step that is kept.
alter table cronwright.queue add column if not exists rolls_back bool;

alter table cronwright.queue add column if not exists rollback_to text;

-- An answer came that no claim has seen yet.
alter table cronwright.queue add column if not exists signalled bool;

-- True: history has rows of it from before its first claim, and its first worker numbers on from them.
alter table cronwright.queue add column if not exists has_history bool;
