// Which configuration is in force on all nodes: every apply is a row, and the last one counts.
import { type Queryable, statement } from '../db/database.ts';
import type { Pipeline } from '../domain/pipeline.ts';

export interface ConfigApply {
  seq: number;
  /** Who applied it. */
  node: string;
  nodeName: string;
  hash: string;
  at: Date;
}

interface ApplyRow {
  seq: number;
  node: string;
  node_name: string;
  hash: string;
  at: Date;
}

const newest = statement(
  'newest_config_apply',
  'select seq, node, node_name, hash, at from cronwright.config_applies order by seq desc limit 1',
);

// `seq` is the compare-and-set: whoever applies at the same time waits here for the other's commit, then finds the number taken.
const record = statement(
  'record_config_apply',
  `insert into cronwright.config_applies (id, seq, node, node_name, hash, pipelines, changed, at)
  select $1, coalesce((select max(seq) from cronwright.config_applies), 0) + 1, $2, $3, $4, cardinality($5::text[]),
    (select count(*) from unnest($5::text[], $6::text[], $7::text[]) as u(tenant, id, version)
      where not exists (select 1 from cronwright.pipelines p
        where p.tenant = u.tenant and p.id = u.id and p.version = u.version and p.active))
    + (select count(*) from cronwright.pipelines p
      where p.active and not exists (select 1 from unnest($5::text[], $6::text[]) as u(tenant, id)
        where u.tenant = p.tenant and u.id = p.id)),
    coalesce($8::timestamptz, now())
  on conflict do nothing
  returning seq`,
  { idempotent: true },
);

const recorded = statement('find_config_apply', 'select seq from cronwright.config_applies where id = $1');

// One statement, one snapshot: the definitions are those of the apply they come with.
const inForce = statement(
  'load_pipelines_in_force',
  `select a.seq, a.node, a.node_name, a.hash, a.at, p.definition
  from (select seq, node, node_name, hash, at from cronwright.config_applies order by seq desc limit 1) a
  left join cronwright.pipelines p on p.active`,
);

/** Undefined where nothing was ever applied. */
export async function newestApply(db: Queryable): Promise<ConfigApply | undefined> {
  const row = (await db.query<ApplyRow>(newest)).rows[0];
  return row && applyOf(row);
}

/**
 * First in the transaction that puts these pipelines in force; returns the number of the apply. Undefined where another one
 * came first: then the whole is to be tried again.
 */
export async function recordApply(
  tx: Queryable,
  apply: { id: string; node: string; nodeName: string; hash: string; pipelines: readonly Pipeline[] },
  now: Date | null = null,
): Promise<number | undefined> {
  const { id, node, nodeName, hash, pipelines } = apply;
  const { rows } = await tx.query<{ seq: number }>(record, [
    id,
    node,
    nodeName,
    hash,
    pipelines.map((one) => one.tenant),
    pipelines.map((one) => one.id),
    pipelines.map((one) => one.version),
    now,
  ]);
  // A commit whose answer was lost is repeated: then it is there already, under the same id.
  return rows[0]?.seq ?? (await tx.query<{ seq: number }>(recorded, [id])).rows[0]?.seq;
}

/** What is in force now, with its definitions. */
export async function loadInForce(
  db: Queryable,
): Promise<{ apply: ConfigApply; pipelines: readonly Pipeline[] } | undefined> {
  const { rows } = await db.query<ApplyRow & { definition: Pipeline | null }>(inForce);
  const first = rows[0];
  if (!first) return undefined;
  return { apply: applyOf(first), pipelines: rows.flatMap((row) => (row.definition === null ? [] : [row.definition])) };
}

function applyOf(row: ApplyRow): ConfigApply {
  return { seq: row.seq, node: row.node, nodeName: row.node_name, hash: row.hash, at: row.at };
}
