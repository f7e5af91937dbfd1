// The durable outcomes of a run that another run could go on from: completed and skipped steps and items.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { requireRun } from './get-run.ts';
import { anyJson, maybeInstant, type Page } from './view-fields.ts';

export const checkpointView = z
  .object({
    step: z.string(),
    item: z.int().nullable().describe('null: the step itself'),
    state: z.enum(['completed', 'skipped']),
    attempts: z.int(),
    started_at: maybeInstant,
    finished_at: maybeInstant,
    output: anyJson,
  })
  .meta({ id: 'Checkpoint' });

export type CheckpointView = z.infer<typeof checkpointView>;

// By the columns of the table: the item that is given out is null for the step itself, and would come last.
const list = statement(
  'list_run_checkpoints',
  `select step, nullif(item, -1) as item, state, attempts, started_at, finished_at, output
  from (
    select *, date_trunc('milliseconds', coalesce(finished_at, started_at, to_timestamp(0))) as at
    from cronwright.step_runs where run_id = $1 and state in ('completed', 'skipped')) s
  where ($2::timestamptz is null or (s.at, s.step, s.item) > ($2, $3::text, $4::int4))
  order by s.at, s.step, s.item limit $5`,
);

/** As they came to their ends. Throws `not_found`. */
export async function runCheckpoints(
  db: Queryable,
  tenant: string | null,
  id: string,
  options: { cursor?: string | undefined; limit: number },
): Promise<Page<CheckpointView>> {
  await requireRun(db, tenant, id);
  const { cursor, limit } = options;
  const [at, step, item] = cursor === undefined ? [null, '', -1] : unpackCursor(cursor, ['number', 'string', 'number']);
  const after = at === null ? null : new Date(Number(at));
  const { rows } = await db.query<CheckpointView>(list, [id, after, step, item, limit + 1]);
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > items.length && last ? packCursor(positionOf(last)) : null };
}

function positionOf({ finished_at, started_at, step, item }: CheckpointView): (string | number)[] {
  return [(finished_at ?? started_at)?.getTime() ?? 0, step, item ?? -1];
}
