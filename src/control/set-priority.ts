// Changes the priority of a run that has not ended; it counts from the next claim on.
import { statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal, type RunState } from '../domain/run.ts';
import type { ControlContext } from './control-context.ts';
import { lockRun } from './lock-run.ts';
import { reachChildren } from './reach-children.ts';

interface PriorityRequest {
  tenant: string;
  id: string;
  actor: string;
  priority: number;
  reason?: string | undefined;
}

export interface PrioritizedRun {
  id: string;
  state: RunState;
  priority: number;
}

// In the line it comes to it takes a place at the time of that line: its key was given out for another (src/queue/age-runs.ts).
// A run's history is its worker's to number while it runs; the log tells of those.
const change = statement(
  'set_priority',
  `with changed as (
    update cronwright.queue set priority = $2::int2, has_history = true,
      fair = least(fair, coalesce((select f.tag from cronwright.fair_tags f
        where f.tenant = '' and f.queue = substring(queue.queue, '^[^{#@]+') and f.priority = $2::int2), 0))
    where run_id = $1 and priority <> $2::int2
    returning run_id, tenant, state
  ), kept as (
    update cronwright.runs set priority = $2::int2 where id in (select run_id from changed)
  ), told as (
    insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
    select c.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = c.run_id), 1) + 1, c.tenant,
      null, now(), jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.prioritized',
        'at', floor(extract(epoch from now()) * 1000), 'actor', $3::text, 'reason', $4::text,
        'data', jsonb_build_object('priority', $2::int2))))
    from changed c where c.state <> 'running'
  )
  select run_id from changed`,
);

/** Throws `not_found`, and `conflict` where the run has ended. */
export async function setPriority(
  context: ControlContext,
  { tenant, id, actor, priority, reason }: PriorityRequest,
): Promise<PrioritizedRun> {
  const { db, events, wake } = context;
  // Also where only the answer to the first commit was lost, and the repeat finds it done.
  let isNew = false;
  const run = await db.transaction(
    async (tx) => {
      const run = await lockRun(tx, tenant, id);
      if (isTerminal(run.state)) throw hasEnded(id, run.state);
      const { rows } = await tx.query(change, [id, priority, actor, reason ?? null]);
      isNew ||= rows.length > 0;
      return run;
    },
    { idempotent: true },
  );
  if (isNew) {
    const why = reason === undefined ? {} : { reason };
    events.emit('run.prioritized', { runId: id, tenant, pipeline: run.pipeline, priority, actor, ...why });
    wake.workers();
  }
  await reachChildren(context, id, (child) => setPriority(context, { tenant, id: child, actor, priority, reason }));
  return { id, state: run.state, priority };
}

function hasEnded(id: string, state: RunState): CronwrightError {
  return new CronwrightError('conflict', `run "${id}" is ${state} and cannot be given a priority: it has ended`, {
    details: { state, requested: 'priority' },
  });
}
