// The durable outcomes of a run that another run could go on from: completed and skipped steps and items.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { requireRun } from './get-run.ts';
import { anyJson, maybeInstant, type Page } from './view-fields.ts';

export const checkpointView = z
  .object({
    step: z.string(),
    item: z.int().describe('-1: the step itself'),
    state: z.enum(['completed', 'skipped']),
    attempts: z.int(),
    started_at: maybeInstant,
    finished_at: maybeInstant,
    output: anyJson,
  })
  .meta({ id: 'Checkpoint' });

export type CheckpointView = z.infer<typeof checkpointView>;

const list = statement(
  'list_run_checkpoints',
  `select step, item, state, attempts, started_at, finished_at, output from cronwright.step_runs
  where run_id = $1 and state in ('completed', 'skipped') and (step, item) > ($2, $3)
  order by step, item limit $4`,
);

/** By step and item. Throws `not_found`. */
export async function runCheckpoints(
  db: Queryable,
  tenant: string | null,
  id: string,
  options: { cursor?: string | undefined; limit: number },
): Promise<Page<CheckpointView>> {
  await requireRun(db, tenant, id);
  const [step, item] = options.cursor === undefined ? ['', -2] : unpackCursor(options.cursor, ['string', 'number']);
  const { rows } = await db.query<CheckpointView>(list, [id, step, item, options.limit + 1]);
  const items = rows.slice(0, options.limit);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > items.length && last ? packCursor([last.step, last.item]) : null };
}
