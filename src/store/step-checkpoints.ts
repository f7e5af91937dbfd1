// Keeps the state that a step saves within itself; fenced by the claim's token.
import type { Json } from '../base/json.ts';
import { type Queryable, statement } from '../db/database.ts';

export interface StepKey {
  runId: string;
  tenant: string;
  step: string;
  /** -1: the step itself. */
  item: number;
  token: number;
  attempt: number;
}

const load = statement(
  'load_step_checkpoint',
  'select checkpoint from cronwright.step_runs where run_id = $1 and step = $2 and item = $3',
);

const save = statement(
  'save_step_checkpoint',
  `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, checkpoint, started_at,
    rate_limited_ms)
  select q.run_id, $2, $3, q.tenant, 'running', $5, 0, q.token, $6::jsonb, coalesce($7::timestamptz, now()), 0
  from cronwright.queue q where q.run_id = $1 and q.token = $4
  for share of q
  on conflict (run_id, step, item) do update set checkpoint = excluded.checkpoint, token = excluded.token
  returning run_id`,
  { idempotent: true },
);

export async function loadStepCheckpoint(
  db: Queryable,
  key: Pick<StepKey, 'runId' | 'step' | 'item'>,
): Promise<Json | undefined> {
  const { rows } = await db.query<{ checkpoint: Json }>(load, [key.runId, key.step, key.item]);
  return rows[0]?.checkpoint ?? undefined;
}

/** False where the run is no longer the caller's; nothing was written then. */
export async function saveStepCheckpoint(
  db: Queryable,
  key: StepKey,
  state: Json,
  now: Date | null = null,
): Promise<boolean> {
  const { count } = await db.query(save, [
    key.runId,
    key.step,
    key.item,
    key.token,
    key.attempt,
    JSON.stringify(state),
    now,
  ]);
  return count > 0;
}
