// Which nodes live, what their own files say, and which configuration was applied last: one look for all of it.
import { type Queryable, statement } from '../db/database.ts';

export interface LiveNode {
  id: string;
  name: string;
  /** Hash of its own files. */
  configHash: string;
}

const live = statement(
  'look_at_nodes',
  `select n.id, n.name, n.config_hash, (select max(seq) from cronwright.config_applies) as seq
  from cronwright.nodes n
  where n.stopped_at is null and n.config_hash is not null
    and n.beat_at > coalesce($2::timestamptz, now()) - $1::int4 * interval '1 millisecond'`,
);

/** Daemons only, not what came for one run. A node counts as live until its heartbeat is older than `leaseMs`. `seq`: the last apply. */
export async function findLiveNodes(
  db: Queryable,
  leaseMs: number,
  now: Date | null = null,
): Promise<{ nodes: LiveNode[]; seq: number | undefined }> {
  const { rows } = await db.query<{ id: string; name: string; config_hash: string; seq: number | null }>(live, [
    leaseMs,
    now,
  ]);
  return {
    nodes: rows.map((row) => ({ id: row.id, name: row.name, configHash: row.config_hash })),
    seq: rows[0]?.seq ?? undefined,
  };
}
