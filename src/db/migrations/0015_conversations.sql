-- Threads of messages of runs.

-- One row a message. run_id is the run that the thread belongs to: the parent, where a part of it has spoken; said_in is the run
-- that it was first said in, where this one took it over. owner is the idempotency key of the step, item or repair that said it, in
-- the attempt of the claim with this token; key names the call of it, n the message within the call: a later attempt's call takes
-- the place of the earlier one's.
create table if not exists cronwright.conversations (
  run_id uuid not null,
  thread text not null,
  seq int4 not null,
  tenant text not null,
  role text not null check (role in ('system', 'user', 'assistant')),
  content text not null,
  owner text not null,
  key text not null,
  n int4 not null,
  step text not null,
  item int4 not null,
  attempt int4 not null,
  token int8 not null,
  said_in uuid,
  at timestamptz not null,
  primary key (run_id, thread, seq)
);

create unique index if not exists conversations_once on cronwright.conversations (run_id, thread, key, n);
