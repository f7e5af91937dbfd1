// A node says that it is there, and when it leaves.
import { type Queryable, statement } from '../db/database.ts';

export interface NodeRecord {
  id: string;
  name: string;
  version: string;
  workers: number;
  inFlight: number;
  /** null: serves all queues. */
  queues: readonly string[] | null;
  configHash: string;
}

const register = statement(
  'register_node',
  `insert into cronwright.nodes (id, name, version, started_at, beat, beat_at, workers, in_flight, queues, config_hash)
  values ($1, $2, $3, coalesce($8::timestamptz, now()), 0, coalesce($8::timestamptz, now()), $4, $5, $6::text[], $7)
  on conflict (id) do update set config_hash = excluded.config_hash, workers = excluded.workers,
    in_flight = excluded.in_flight, queues = excluded.queues`,
  { idempotent: true },
);

const leave = statement(
  'leave_node',
  'update cronwright.nodes set stopped_at = coalesce($2::timestamptz, now()) where id = $1',
  { idempotent: true },
);

export async function registerNode(db: Queryable, node: NodeRecord, now: Date | null = null): Promise<void> {
  await db.query(register, [
    node.id,
    node.name,
    node.version,
    node.workers,
    node.inFlight,
    node.queues,
    node.configHash,
    now,
  ]);
}

const forget = statement('forget_node', 'delete from cronwright.nodes where id = $1', { idempotent: true });

/** For a node that came for one run only. */
export async function forgetNode(db: Queryable, id: string): Promise<void> {
  await db.query(forget, [id]);
}

export async function leaveNode(db: Queryable, id: string, now: Date | null = null): Promise<void> {
  await db.query(leave, [id, now]);
}
