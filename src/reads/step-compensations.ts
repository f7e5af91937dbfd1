// How far the undoing of each step of a run is.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { maybeInstant, storedError } from './view-fields.ts';

export const compensationView = z.object({
  state: z.enum(['running', 'completed', 'failed', 'irreversible']),
  attempts: z.int(),
  error: storedError.nullable(),
  started_at: maybeInstant,
  finished_at: maybeInstant,
});

export type CompensationView = z.infer<typeof compensationView>;

// Of a fan-out the item that could not be undone tells most.
const compensations = statement(
  'list_run_compensations',
  `select step, state, attempts, error, started_at, finished_at from cronwright.compensations
  where run_id = $1 and state <> 'reset'
  order by step, case state when 'failed' then 0 when 'running' then 1 else 2 end, item`,
);

/** By step; of a fan-out the item that is the worst off. */
export async function stepCompensations(db: Queryable, id: string): Promise<Map<string, CompensationView>> {
  const { rows } = await db.query<CompensationView & { step: string }>(compensations, [id]);
  const byStep = new Map<string, CompensationView>();
  for (const { step, ...row } of rows) if (!byStep.has(step)) byStep.set(step, row);
  return byStep;
}
