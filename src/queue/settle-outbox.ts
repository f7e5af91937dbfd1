// Settle: what became of a claimed call: delivered, given up, to be tried again, or not to be made at all.
import { type Queryable, statement } from '../db/database.ts';
import type { StoredError } from '../domain/outcome.ts';

export type OutboxOutcome =
  | { state: 'delivered' }
  | { state: 'failed'; error: StoredError }
  | { state: 'pending'; error: StoredError; delayMs: number }
  /** The attempt was cut short by this node and does not count. */
  | { state: 'released' };

const settle = statement(
  'settle_outbox',
  `update cronwright.outbox
  set state = $3::text, error = $4::jsonb, attempts = attempts - $5::int4,
    next_at = case when $3::text = 'pending'
      then coalesce($7::timestamptz, now()) + $6::int8 * interval '1 millisecond' end,
    finished_at = case when $3::text <> 'pending' then coalesce($7::timestamptz, now()) end
  where id = $1 and token = $2::int8 and state = 'pending'`,
  { idempotent: true },
);

const drop = statement('drop_from_outbox', 'delete from cronwright.outbox where id = $1 and token = $2::int8', {
  idempotent: true,
});

/** False where another node has claimed it since. */
export async function settleOutbox(
  db: Queryable,
  { id, token }: { id: string; token: number },
  outcome: OutboxOutcome,
  now: Date | null = null,
): Promise<boolean> {
  const isReleased = outcome.state === 'released';
  const error = 'error' in outcome ? JSON.stringify(outcome.error) : null;
  const delayMs = outcome.state === 'pending' ? outcome.delayMs : 0;
  const state = isReleased ? 'pending' : outcome.state;
  const { count } = await db.query(settle, [id, token, state, error, isReleased ? 1 : 0, delayMs, now]);
  return count > 0;
}

/** For a sum of nothing but the run that was told of already. */
export async function dropFromOutbox(db: Queryable, { id, token }: { id: string; token: number }): Promise<void> {
  await db.query(drop, [id, token]);
}
