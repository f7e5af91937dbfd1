// The parameters of a function, and the objects that one object is connected with: by foreign keys, views and functions.
import type { SqlConnection } from 'cronwright/plugin';
import { z } from 'zod';

export const parameter = z.object({
  name: z.string().nullable(),
  type: z.string(),
  mode: z.enum(['in', 'out', 'inout', 'variadic', 'table']).describe('`table`: a column of what it returns.'),
});

const modes: Readonly<Record<string, z.infer<typeof parameter>['mode']>> = {
  i: 'in',
  o: 'out',
  b: 'inout',
  v: 'variadic',
  t: 'table',
};

const parameters = `
  select u.n::int4 as n, nullif(p.proargnames[u.n], '') as name, format_type(u.type, null) as type,
    coalesce(p.proargmodes[u.n]::text, 'i') as mode
  from pg_catalog.pg_proc p
  cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as u(type, n)
  where p.oid::int8 = $1 order by u.n`;

export async function readParameters(sql: SqlConnection, oid: number): Promise<z.infer<typeof parameter>[]> {
  const { rows } = await sql.query(parameters, [oid]);
  return rows.map((row) => ({
    name: row.name === null ? null : String(row.name),
    type: String(row.type),
    mode: modes[String(row.mode)] ?? 'in',
  }));
}

export const related = z.object({
  how: z.enum(['references', 'referenced_by', 'reads', 'read_by']).describe('Foreign keys; views and functions.'),
  id: z.string(),
  by: z.string().nullable().describe('The definition of the foreign key.'),
});

// A view depends on what it reads through its rewrite rule; a function only where its body is parsed (BEGIN ATOMIC).
const relatedObjects = `
  with named as (
    select c.oid, n.nspname::text || '.' || c.relname::text as id
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    union all
    select p.oid, n.nspname::text || '.' || p.proname::text || '(' || oidvectortypes(p.proargtypes) || ')'
    from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where n.nspname <> 'pg_catalog'
  ), reading as (
    select coalesce(r.ev_class, d.objid) as reader, d.refobjid as source
    from pg_catalog.pg_depend d
    left join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
    where d.refclassid in ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_proc'::regclass)
      and (r.oid is not null or d.classid = 'pg_catalog.pg_proc'::regclass) and d.deptype = 'n'
  )
  select distinct o.how, n.id, o.by from (
    select 'references' as how, k.confrelid as oid, pg_get_constraintdef(k.oid) as by
    from pg_catalog.pg_constraint k where k.contype = 'f' and k.conrelid::int8 = $1
    union all
    select 'referenced_by', k.conrelid, pg_get_constraintdef(k.oid)
    from pg_catalog.pg_constraint k where k.contype = 'f' and k.confrelid::int8 = $1
    union all
    select 'reads', source, null from reading where reader::int8 = $1 and source <> reader
    union all
    select 'read_by', reader, null from reading where source::int8 = $1 and source <> reader
  ) o join named n on n.oid = o.oid
  order by 1, 2, 3`;

export async function readRelated(sql: SqlConnection, oid: number): Promise<z.infer<typeof related>[]> {
  const { rows } = await sql.query(relatedObjects, [oid]);
  return rows.map((row) => ({
    how: String(row.how) as z.infer<typeof related>['how'],
    id: String(row.id),
    by: row.by === null ? null : String(row.by),
  }));
}
