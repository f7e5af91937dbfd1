// Removes calls that have long been delivered or given up, and gives up those that no node has the step type for.
import { type Queryable, statement } from '../db/database.ts';

const batch = 1_000;
/** Days that an ended call can be looked at, and is known if its step is tried again. */
const keepDays = 14;
/** Days after which a call that nobody can make is given up; the schedule of retries is over by then. */
const giveUpDays = 7;

const ended = statement(
  'prune_outbox',
  `delete from cronwright.outbox
  where id = any(array(
    select id from cronwright.outbox
    where finished_at < coalesce($1::timestamptz, now()) - $2::int4 * interval '1 day' limit $3))`,
  { idempotent: true },
);

const orphaned = statement(
  'give_up_outbox',
  `update cronwright.outbox
  set state = 'failed', next_at = null, finished_at = coalesce($1::timestamptz, now()),
    error = jsonb_build_object('name', 'UnknownStepType', 'class', 'fatal', 'message',
      'no node has had the step type ' || step_type || ' for days; is its plugin listed in the configuration?')
  where state = 'pending' and next_at < coalesce($1::timestamptz, now()) - interval '1 day'
    and created_at < coalesce($1::timestamptz, now()) - $2::int4 * interval '1 day'`,
  { idempotent: true },
);

/** One pass; true where there may be more. */
export async function pruneOutbox(db: Queryable, now: Date | null = null): Promise<boolean> {
  await db.query(orphaned, [now, giveUpDays]);
  return (await db.query(ended, [now, keepDays, batch])).count >= batch;
}
