// A node says that it is there, and when it leaves.
import { type Queryable, statement } from '../db/database.ts';
import { unpinRunsOf } from './unpin-runs.ts';

export interface NodeRecord {
  id: string;
  name: string;
  version: string;
  workers: number;
  inFlight: number;
  /** null: serves all queues. */
  queues: readonly string[] | null;
  labels: readonly string[];
  /** The data directory it keeps workspaces in. */
  home: string;
  /** Of its own files; null: it came for one run, and applies nothing. */
  configHash: string | null;
}

const register = statement(
  'register_node',
  `insert into cronwright.nodes (id, name, version, started_at, beat, beat_at, workers, in_flight, queues, config_hash,
    labels, home)
  values ($1, $2, $3, coalesce($8::timestamptz, now()), 0, coalesce($8::timestamptz, now()), $4, $5, $6::text[], $7,
    $9::text[], $10)
  on conflict (id) do update set config_hash = excluded.config_hash, workers = excluded.workers,
    in_flight = excluded.in_flight, queues = excluded.queues, labels = excluded.labels`,
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
    node.labels,
    node.home,
  ]);
}

const forget = statement('forget_node', 'delete from cronwright.nodes where id = $1', { idempotent: true });

/** For a node that came for one run only. */
export async function forgetNode(db: Queryable, id: string): Promise<void> {
  await db.query(forget, [id]);
}

/** What waits for it alone goes to all. */
export async function leaveNode(
  db: Queryable,
  node: { id: string; home: string },
  now: Date | null = null,
): Promise<void> {
  await db.query(leave, [node.id, now]);
  await unpinRunsOf(db, [node.home]);
}

const lack = statement('note_lacks', 'update cronwright.nodes set lacks = $2::text[] where id = $1', {
  idempotent: true,
});

/** Tells the others which pipeline versions the node lacks step types of. */
export async function noteLacks(db: Queryable, id: string, versions: readonly string[]): Promise<void> {
  await db.query(lack, [id, versions]);
}
