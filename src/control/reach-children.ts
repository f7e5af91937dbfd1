// Passes on to the live children of a run what was asked of it.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { cancelChildren } from '../queue/cancel-children.ts';
import { admitQuietly } from './announce-runs.ts';
import type { ControlContext } from './control-context.ts';

const live = statement(
  'list_live_children',
  'select id from cronwright.runs where parent_id = $1 and child_open is true and state is null order by id',
);

/** One that cannot be asked (any more) is passed over: the run's own answer does not depend on it. */
export async function reachChildren(
  { db, events }: ControlContext,
  parentId: string,
  ask: (id: string) => Promise<unknown>,
): Promise<void> {
  const { rows } = await db.query<{ id: string }>(live, [parentId]);
  for (const { id } of rows) {
    try {
      await ask(id);
    } catch (error) {
      if (error instanceof CronwrightError && (error.code === 'conflict' || error.code === 'not_found')) continue;
      events.emit('service.crashed', { service: 'children', error: String(error) });
    }
  }
}

/** Ends the children that nobody works on and that have nothing to do before, and asks the others, whatever their number. */
export async function cancelChildrenOf(
  context: ControlContext,
  parentId: string,
  by: { actor: string; reason?: string | undefined; rollback: boolean },
): Promise<void> {
  const { db, events, wake } = context;
  const wish = { actor: by.actor, reason: by.reason ?? null, rollback: by.rollback };
  const { ended, asked, called, admits } = await cancelChildren(db, [parentId], wish);
  for (const child of ended) {
    events.emit('run.finished', { ...child, state: 'cancelled', result: 'cancellation', durationMs: 0 });
  }
  for (const node of asked) wake.requests(node);
  await admitQuietly(context, admits);
  if (called > 0 || admits.length > 0) wake.workers();
}

// Its next worker holds it: until then children that end would make it go on.
const callToPause = statement(
  'call_parent_to_pause',
  `with called as (
    update cronwright.queue
    set state = 'pending', run_at = null, wait_kind = null, request = 'pause', request_by = $2, request_reason = $3,
      held_by = null
    where run_id = $1 and state = 'waiting' and wait_kind = 'children' and request is null
    returning run_id, tenant
  )
  insert into cronwright.history (run_id, seq, tenant, node, at, transitions)
  select c.run_id, coalesce((select max(h.seq) from cronwright.history h where h.run_id = c.run_id), 1) + 1, c.tenant, null,
    now(), jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('event', 'run.woken', 'from', 'waiting', 'to', 'pending',
      'at', floor(extract(epoch from now()) * 1000), 'actor', $2::text, 'reason', 'pause')))
  from called c
  returning run_id`,
);

/** True where the run waits for its children and will now be held. Call it with the run's row locked. */
export async function askParentToPause(
  tx: Queryable,
  by: { id: string; actor: string; reason?: string | undefined },
): Promise<boolean> {
  return (await tx.query(callToPause, [by.id, by.actor, by.reason ?? null])).rows.length > 0;
}
