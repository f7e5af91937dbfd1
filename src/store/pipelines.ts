// Keeps every version of every pipeline, so that a run goes on with the definition it began with.
import { type Queryable, statement } from '../db/database.ts';
import type { Pipeline } from '../domain/pipeline.ts';

const save = statement(
  'save_pipelines',
  `insert into cronwright.pipelines (tenant, id, version, definition, active, created_at)
  select u.tenant, u.id, u.version, u.definition::jsonb, false, coalesce($5::timestamptz, now())
  from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as u(tenant, id, version, definition)
  on conflict do nothing`,
  { idempotent: true },
);

// Two statements: an index that allows one active version per pipeline is checked row by row.
const deactivate = statement(
  'deactivate_pipelines',
  `update cronwright.pipelines p set active = false
  where p.active and not exists (
    select 1 from unnest($1::text[], $2::text[], $3::text[]) as u(tenant, id, version)
    where u.tenant = p.tenant and u.id = p.id and u.version = p.version)`,
  { idempotent: true },
);

const activate = statement(
  'activate_pipelines',
  `update cronwright.pipelines p set active = true
  from unnest($1::text[], $2::text[], $3::text[]) as u(tenant, id, version)
  where u.tenant = p.tenant and u.id = p.id and u.version = p.version and not p.active`,
  { idempotent: true },
);

const load = statement(
  'load_pipeline_version',
  'select definition from cronwright.pipelines where tenant = $1 and id = $2 and version = $3',
);

/** Keeps these versions, so that runs of theirs can be read and carried on; what is in force stays as it is. */
export async function storePipelines(
  db: Queryable,
  pipelines: readonly Pipeline[],
  now: Date | null = null,
): Promise<void> {
  await db.query(save, [...keyColumns(pipelines), pipelines.map((one) => JSON.stringify(one)), now]);
}

/**
 * Makes these the pipelines in force; all others stay stored and inactive. Call it in a transaction, after recordApply: two of
 * these at a time would leave a mixture.
 */
export async function savePipelines(
  tx: Queryable,
  pipelines: readonly Pipeline[],
  now: Date | null = null,
): Promise<void> {
  const key = keyColumns(pipelines);
  await storePipelines(tx, pipelines, now);
  await tx.query(deactivate, key);
  await tx.query(activate, key);
}

function keyColumns(pipelines: readonly Pipeline[]): string[][] {
  return [pipelines.map((one) => one.tenant), pipelines.map((one) => one.id), pipelines.map((one) => one.version)];
}

export async function loadPipelineVersion(
  db: Queryable,
  tenant: string,
  id: string,
  version: string,
): Promise<Pipeline | undefined> {
  const { rows } = await db.query<{ definition: Pipeline }>(load, [tenant, id, version]);
  return rows[0]?.definition;
}
