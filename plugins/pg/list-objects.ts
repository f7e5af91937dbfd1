// Which objects a database has, and which of them is meant by a name that people write.
import type { SqlConnection } from 'cronwright/plugin';
import { type Extent, inSchemas, type Kind, kindOfRelation, paramsOf } from './catalog-object.ts';

export interface ListedObject {
  oid: number;
  /** `schema.name`, of functions with the types of their arguments: `schema.name(integer, text)`. */
  id: string;
  schema: string;
  name: string;
  kind: Kind;
  comment: string | null;
}

// An id, `schema.name` or a bare name; $4 null: all.
const listed = `
  select * from (
    select c.oid::int8 as oid, n.nspname::text || '.' || c.relname::text as id, n.nspname::text as schema, c.relname::text as name,
      c.relkind::text as kind, obj_description(c.oid, 'pg_class') as comment
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f', 'v', 'm') and ${inSchemas} and ($3::int8 is null or c.oid::int8 = $3)
    union all
    select p.oid::int8, n.nspname::text || '.' || p.proname::text || '(' || oidvectortypes(p.proargtypes) || ')',
      n.nspname::text, p.proname::text, case when p.prokind = 'p' then 'procedure' else 'function' end,
      obj_description(p.oid, 'pg_proc')
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where p.prokind in ('f', 'p') and ${inSchemas} and ($3::int8 is null or p.oid::int8 = $3)
      and not exists (select 1 from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
  ) o
  where $4::text[] is null or o.id = any($4) or o.schema || '.' || o.name = any($4) or o.name = any($4)
  order by o.schema, o.kind, o.id`;

/** `wanted`: as people name them; undefined: all. */
export async function listObjects(
  sql: SqlConnection,
  extent: Extent,
  wanted?: readonly string[],
): Promise<ListedObject[]> {
  const { rows } = await sql.query(listed, [...paramsOf(extent), wanted === undefined ? null : [...wanted]]);
  return rows.map((row) => ({
    oid: Number(row.oid),
    id: String(row.id),
    schema: String(row.schema),
    name: String(row.name),
    kind: kindOfRelation[String(row.kind)] ?? (String(row.kind) as Kind),
    comment: row.comment === null ? null : String(row.comment),
  }));
}

export type Found = { object: ListedObject } | { problem: string };

/** The one object that `wanted` names: by its id, else by `schema.name`, else by its bare name. */
export function findObject(objects: readonly ListedObject[], wanted: string): Found {
  const ways = [
    ({ id }: ListedObject) => id,
    ({ schema, name }: ListedObject) => `${schema}.${name}`,
    ({ name }: ListedObject) => name,
  ];
  for (const nameOf of ways) {
    const found = objects.filter((one) => nameOf(one) === wanted);
    const [object] = found;
    if (object && found.length === 1) return { object };
    if (found.length > 1) {
      return {
        problem: `"${wanted}" may be any of ${found.map(({ id }) => id).join(', ')}: expected one of these ids`,
      };
    }
  }
  return { problem: `the database has no object "${wanted}", or this user may not see it` };
}
