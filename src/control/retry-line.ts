// The retries of a run, and theirs: a run that was retried already is not retried again by mistake.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal, type RunState } from '../domain/run.ts';
import { liveState } from '../queue/live-state.ts';
import { forbiddenTransition } from './forbidden-transition.ts';
import { findRollbackOf } from './take-over-steps.ts';

export interface RetryInLine {
  id: string;
  state: RunState;
}

const lock = statement('lock_run_to_retry', 'select id from cronwright.runs where id = $1 for update');

// One that lives or has completed says more than a newer one that has ended badly.
const newest = statement(
  'find_newest_retry',
  `with recursive line(id, depth) as (
    select id, 1::int4 from cronwright.runs where parent_id = $1 and origin = 'retry'
    union all
    select c.id, l.depth + 1 from line l join cronwright.runs c on c.parent_id = l.id
    where c.origin = 'retry' and l.depth < 100
  )
  select r.id, coalesce(r.state, ${liveState('q')}, 'pending') as state
  from line l join cronwright.runs r on r.id = l.id left join cronwright.queue q on q.run_id = r.id
  order by r.state is null desc, coalesce(r.state = 'completed', false) desc, r.id desc limit 1`,
);

const partOf = statement('find_run_of_part', 'select parent_id as id from cronwright.runs where id = $1 and is_part');

/** What a run's line of retries has come to: one that lives, else one that has completed, else the newest. */
async function findNewestRetry(db: Queryable, id: string): Promise<RetryInLine | undefined> {
  return (await db.query<RetryInLine>(newest, [id])).rows[0];
}

/** What cannot be retried by itself: the run that does so, or has done so; undefined where it can. */
export async function findWhereItGoesOn(db: Queryable, id: string): Promise<string | undefined> {
  const whole = (await db.query<{ id: string }>(partOf, [id])).rows[0]?.id;
  return whole ?? (await findNewestRetry(db, id))?.id ?? (await findRollbackOf(db, id));
}

/** Throws `conflict` where the run is a part of another: what it did is undone with that one. */
export async function refuseToUndoPart(db: Queryable, id: string, state: RunState): Promise<void> {
  const whole = (await db.query<{ id: string }>(partOf, [id])).rows[0]?.id;
  if (whole === undefined) return;
  throw forbiddenTransition(id, state, 'rolling_back', `it is a part of run "${whole}"; roll that one back`);
}

/** Keeps others from retrying the run meanwhile. Throws `conflict` where it was retried already. */
export async function refuseRetried(tx: Queryable, id: string, state: RunState): Promise<void> {
  await tx.query(lock, [id]);
  const retry = await findNewestRetry(tx, id);
  if (!retry) return;
  throw new CronwrightError('conflict', `run "${id}" was retried already: ${whatBecameOf(retry)}`, {
    details: { state, requested: 'retry', retried_by: retry.id, retry_state: retry.state },
  });
}

function whatBecameOf({ id, state }: RetryInLine): string {
  if (!isTerminal(state)) return `its retry "${id}" is ${state}`;
  if (state === 'completed') return `its retry "${id}" has completed`;
  return `its newest retry "${id}" is ${state}; retry that one, which keeps what was completed since`;
}
