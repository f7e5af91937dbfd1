// Functions and procedures of a database; aggregates, window functions and those of extensions are left out.
import type { SqlConnection } from 'cronwright/plugin';
import { type CatalogObject, type Extent, inSchemas, paramsOf } from './catalog-object.ts';

const functions = `
  select n.nspname::text as schema, p.proname::text as name, p.prokind::text as prokind,
    obj_description(p.oid, 'pg_proc') as comment, pg_get_function_arguments(p.oid) as arguments,
    pg_get_function_result(p.oid) as returns, l.lanname::text as language, pg_get_functiondef(p.oid) as definition
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
  where p.prokind in ('f', 'p') and ${inSchemas} and ($3::int8 is null or p.oid::int8 = $3)
    and not exists (select 1 from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
  order by 1, 3, 2, 5`;

export async function readFunctions(sql: SqlConnection, extent: Extent): Promise<CatalogObject[]> {
  const { rows } = await sql.query(functions, paramsOf(extent));
  return rows.map((row) => ({
    schema: String(row.schema),
    name: String(row.name),
    kind: row.prokind === 'p' ? 'procedure' : 'function',
    comment: row.comment === null ? null : String(row.comment),
    estimated_rows: null,
    columns: [],
    primary_key: [],
    foreign_keys: [],
    constraints: [],
    indexes: [],
    definition: String(row.definition).trim(),
    arguments: String(row.arguments),
    returns: row.returns === null ? null : String(row.returns),
    language: String(row.language),
  }));
}
