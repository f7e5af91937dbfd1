// Where documents of objects are kept: a table of the user's own database, with all versions of each, of which one is current.
import { createHash } from 'node:crypto';
import { type Json, type SqlConnection, StepError } from 'cronwright/plugin';
import { z } from 'zod';

export const storePlace = z.strictObject({
  connection: z.string().min(1).describe('A connection from the configuration that may write.'),
  table: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}$/, 'expected schema.table in lower case')
    .default('documentation.object_documentation')
    .describe('`schema.table`; made where it is missing.'),
});

export interface Document {
  objectId: string;
  title: string;
  body: string;
  runId: string;
  /** `template`, or provider and model. */
  generatedBy: string;
  usd: number;
}

export interface StoredVersion {
  version: number;
  /** False: the version before had the same body, and it stays. */
  isNew: boolean;
  sha256: string;
}

const mostTries = 5;

/** Makes schema and table where they are missing. Several may do so at once. */
export async function ensureStore(sql: SqlConnection, table: string): Promise<void> {
  if (await hasStore(sql, table)) return;
  const [schema] = table.split('.');
  try {
    await sql.query(`create schema if not exists ${schema}`);
    await sql.query(`create table if not exists ${table} (
      object_id text not null, version int4 not null, current boolean not null, title text not null, body text not null,
      sha256 text not null, run_id text not null, generated_by text not null, usd numeric(14, 6) not null,
      created_at timestamptz not null default now(), primary key (object_id, version))`);
  } catch (error) {
    // "If not exists" loses a race with another one that makes it.
    if (!(await hasStore(sql, table))) throw error;
  }
}

async function hasStore(sql: SqlConnection, table: string): Promise<boolean> {
  const { rows } = await sql.query('select to_regclass($1::text) is not null as there', [table]);
  return rows[0]?.there === true;
}

/** Those of `ids` that have a document. */
export async function documentedIds(sql: SqlConnection, table: string, ids: readonly string[]): Promise<Set<string>> {
  if (!(await hasStore(sql, table))) return new Set();
  const text = `select object_id from ${table} where current and object_id = any($1::text[])`;
  const { rows } = await sql.query(text, [[...ids]]);
  return new Set(rows.map((row) => String(row.object_id)));
}

/** Once however often it is tried: what the run has stored, it does not store again. */
export async function storeVersion(sql: SqlConnection, table: string, document: Document): Promise<StoredVersion> {
  const sha256 = createHash('sha256').update(document.body).digest('hex');
  for (let tries = 1; tries <= mostTries; tries++) {
    await sql.query(insertText(table), insertParams(document, sha256));
    const { rows } = await sql.query(latestText(table), [document.objectId]);
    const [latest] = rows;
    if (latest?.sha256 !== sha256) continue;
    await markCurrent(sql, table, document.objectId);
    return { version: Number(latest.version), isNew: latest.run_id === document.runId, sha256 };
  }
  const text = `others store versions of ${document.objectId} all the time: gave up after ${mostTries} tries`;
  throw new StepError('transient', text, { name: 'StoreBusy' });
}

/** Takes back what a run has stored of an object: the version before it becomes current again. Returns the versions that went. */
export async function removeVersions(
  sql: SqlConnection,
  table: string,
  { objectId, runId }: Pick<Document, 'objectId' | 'runId'>,
): Promise<number[]> {
  if (!(await hasStore(sql, table))) return [];
  const text = `delete from ${table} where object_id = $1::text and run_id = $2::text returning version`;
  const { rows } = await sql.query(text, [objectId, runId]);
  await markCurrent(sql, table, objectId);
  return rows.map((row) => Number(row.version));
}

// Not current yet: until the next statement moves the mark, the version before it has it, and there always is one.
const insertText = (table: string) => `
  insert into ${table} (object_id, version, current, title, body, sha256, run_id, generated_by, usd)
  select $1::text, coalesce(max(t.version), 0) + 1, false, $2::text, $3::text, $4::text, $5::text, $6::text, $7::numeric
  from ${table} t where t.object_id = $1
  having not exists (
    select 1 from ${table} l where l.object_id = $1 and l.sha256 = $4
      and l.version = (select max(m.version) from ${table} m where m.object_id = $1))
  on conflict (object_id, version) do nothing`;

function insertParams(document: Document, sha256: string): Json[] {
  const { objectId, title, body, runId, generatedBy, usd } = document;
  return [objectId, title, body, sha256, runId, generatedBy, usd];
}

const latestText = (table: string) =>
  `select version, sha256, run_id from ${table} where object_id = $1::text order by version desc limit 1`;

async function markCurrent(sql: SqlConnection, table: string, objectId: string): Promise<void> {
  const isLatest = `version = (select max(m.version) from ${table} m where m.object_id = $1::text)`;
  const text = `update ${table} set current = (${isLatest}) where object_id = $1::text and current <> (${isLatest})`;
  await sql.query(text, [objectId]);
}
