// Checkpoint: makes outcomes of steps durable while their runs go on.
import type { Queryable } from '../db/database.ts';
import { type FencedWrite, fencedParams, fencedStatement } from './fenced-write.ts';

// The share lock makes a rescue wait for this write or this write see the rescue's token: a stale worker writes nothing.
const write = fencedStatement(
  'write_checkpoints',
  `select q.run_id
      from unnest($1::uuid[], $2::int8[]) as f(id, token)
      join cronwright.queue q on q.run_id = f.id and q.token = f.token
      for share of q`,
  '',
  'select run_id from fenced',
);

/** Returns the ids of the runs that were still the worker's; nothing was written for the others. */
export async function writeCheckpoints(
  db: Queryable,
  writes: readonly FencedWrite[],
  node: string | null,
  at: Date,
): Promise<Set<string>> {
  const { rows } = await db.query<{ run_id: string }>(write, fencedParams(writes, node, at));
  return new Set(rows.map((row) => row.run_id));
}
