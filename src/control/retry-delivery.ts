// Puts a call of the outbox that was given up back on its way: as if it had just been put there, under its old id.
import { statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { ControlContext } from './control-context.ts';

const retry = statement(
  'retry_delivery',
  `update cronwright.outbox
  set state = 'pending', attempts = 0, next_at = coalesce($3::timestamptz, now()), finished_at = null
  where id = $2 and tenant = $1 and state = 'failed'
  returning step_type`,
);

const find = statement('find_call', 'select state from cronwright.outbox where id = $2 and tenant = $1');

/** Throws `not_found`, and `conflict` where the call was not given up. */
export async function retryDelivery(
  { db, events }: ControlContext,
  { tenant, id, actor }: { tenant: string; id: string; actor: string },
): Promise<{ id: string; state: 'pending' }> {
  const { rows } = await db.query<{ step_type: string }>(retry, [tenant, id, null]);
  const [again] = rows;
  if (again) {
    events.emit('notification.requeued', { id, tenant, stepType: again.step_type, actor });
    return { id, state: 'pending' };
  }
  const [call] = (await db.query<{ state: string }>(find, [tenant, id])).rows;
  if (!call) throw new CronwrightError('not_found', `there is no call ${id} in the outbox`);
  throw new CronwrightError('conflict', `the call is ${call.state}; only a failed one can be retried`);
}
