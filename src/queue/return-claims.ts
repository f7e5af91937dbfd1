// Gives claims back that came to nothing before anything of their runs had begun; they count for nothing.
import { type Queryable, statement } from '../db/database.ts';

const giveBack = statement(
  'return_claims',
  `update cronwright.queue q
  set state = 'pending', node = null, lease_until = null, claims = greatest(q.claims - 1, 0)
  from unnest($1::uuid[], $2::int8[]) as u(id, token)
  where q.run_id = u.id and q.token = u.token and q.state = 'running'`,
  { idempotent: true },
);

export async function returnClaims(db: Queryable, claims: readonly { runId: string; token: number }[]): Promise<void> {
  await db.query(giveBack, [claims.map((claim) => claim.runId), claims.map((claim) => claim.token)]);
}

const giveBackLost = statement(
  'return_lost_claims',
  `update cronwright.queue
  set state = 'pending', node = null, lease_until = null, claims = greatest(claims - 1, 0)
  where node = $1 and state = 'running' and run_id <> all($2::uuid[])`,
  { idempotent: true },
);

/** Gives back what a node holds by the record and does not know of: claims whose answer was lost. */
export async function returnLostClaims(db: Queryable, node: string, known: Iterable<string>): Promise<void> {
  await db.query(giveBackLost, [node, [...known]]);
}

// Off the route it came on, onto that of its version: the node does not ask for that one again, so the run cannot come back
// to it, and what it leaves to others is in the way of no claim.
const setAside = statement(
  'set_aside_runs',
  `update cronwright.queue q
  set state = 'pending', node = null, lease_until = null, claims = greatest(q.claims - 1, 0), pinned_at = null,
    queue = split_part(split_part(q.queue, '@', 1), '#', 1) || '#' || q.pipeline_version
  from unnest($1::uuid[], $2::int8[]) as u(id, token)
  where q.run_id = u.id and q.token = u.token and q.state = 'running'`,
  { idempotent: true },
);

/** Gives back claims of versions that the node lacks step types of, to nodes that have them. */
export async function setAsideRuns(db: Queryable, claims: readonly { runId: string; token: number }[]): Promise<void> {
  await db.query(setAside, [claims.map((claim) => claim.runId), claims.map((claim) => claim.token)]);
}
