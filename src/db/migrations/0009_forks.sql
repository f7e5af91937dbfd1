-- What a fork of a run was given in place of what its parent's steps said.

-- {"output": …}: somebody put this in place of the step's own output. It stays, also where the step has to run again for the
-- sake of its files; null: nobody did.
alter table cronwright.step_runs add column if not exists edited jsonb;
