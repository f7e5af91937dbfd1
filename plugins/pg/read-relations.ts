// Tables and views of a database, each with its columns, keys, constraints and indexes, in four queries.
import type { Json, SqlConnection } from 'cronwright/plugin';
import { type CatalogObject, type Extent, inSchemas, kindOfRelation, paramsOf } from './catalog-object.ts';

const relations = `
  select c.oid::int8 as id, n.nspname::text as schema, c.relname::text as name, c.relkind::text as relkind,
    obj_description(c.oid, 'pg_class') as comment, c.reltuples::float8 as estimated_rows,
    case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end as definition
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'f', 'v', 'm') and ${inSchemas} and ($3::int8 is null or c.oid::int8 = $3)
  order by 2, 4, 3`;

const columns = `
  select a.attrelid::int8 as id, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
    not a.attnotnull as nullable, pg_get_expr(d.adbin, d.adrelid) as default, col_description(a.attrelid, a.attnum) as comment
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_class c on c.oid = a.attrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'f', 'v', 'm') and ${inSchemas}
    and ($3::int8 is null or a.attrelid::int8 = $3)
  order by a.attrelid, a.attnum`;

const constraints = `
  select k.conrelid::int8 as id, k.conname::text as name, k.contype::text as contype, pg_get_constraintdef(k.oid) as definition,
    array(select a.attname::text from unnest(k.conkey) with ordinality as u(attnum, n)
      join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum order by u.n) as columns
  from pg_catalog.pg_constraint k join pg_catalog.pg_namespace n on n.oid = k.connamespace
  where k.conrelid <> 0 and k.contype in ('p', 'f', 'u', 'c', 'x') and ${inSchemas}
    and ($3::int8 is null or k.conrelid::int8 = $3)
  order by k.conrelid, k.conname`;

const indexes = `
  select i.indrelid::int8 as id, x.relname::text as name, i.indisunique as unique, pg_get_indexdef(i.indexrelid) as definition
  from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
  join pg_catalog.pg_namespace n on n.oid = x.relnamespace
  where not i.indisprimary and ${inSchemas} and ($3::int8 is null or i.indrelid::int8 = $3)
  order by i.indrelid, x.relname`;

type Row = Record<string, Json>;

export async function readRelations(sql: SqlConnection, extent: Extent): Promise<CatalogObject[]> {
  const params = paramsOf(extent);
  const read = async (text: string) => (await sql.query(text, params)).rows;
  const found = await read(relations);
  const columnsOf = byRelation(await read(columns));
  const constraintsOf = byRelation(await read(constraints));
  const indexesOf = byRelation(await read(indexes));
  return found.map((row) =>
    toObject(row, {
      columns: columnsOf.get(row.id) ?? [],
      constraints: constraintsOf.get(row.id) ?? [],
      indexes: indexesOf.get(row.id) ?? [],
    }),
  );
}

function byRelation(rows: readonly Row[]): Map<Json | undefined, Row[]> {
  const groups = new Map<Json | undefined, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.id);
    if (group) group.push(row);
    else groups.set(row.id, [row]);
  }
  return groups;
}

function toObject(
  row: Row,
  parts: { columns: readonly Row[]; constraints: readonly Row[]; indexes: readonly Row[] },
): CatalogObject {
  const isKey = (kind: string) => (one: Row) => one.contype === kind;
  const constrained = new Set(parts.constraints.map(({ name }) => name));
  return {
    schema: text(row.schema),
    name: text(row.name),
    kind: kindOfRelation[text(row.relkind)] ?? 'table',
    comment: textOrNull(row.comment),
    // Below zero: never analysed.
    estimated_rows: typeof row.estimated_rows === 'number' && row.estimated_rows >= 0 ? row.estimated_rows : null,
    columns: parts.columns.map((one) => ({
      name: text(one.name),
      type: text(one.type),
      nullable: one.nullable === true,
      default: textOrNull(one.default),
      comment: textOrNull(one.comment),
    })),
    primary_key: parts.constraints.filter(isKey('p')).flatMap((one) => texts(one.columns)),
    foreign_keys: parts.constraints.filter(isKey('f')).map((one) => ({
      name: text(one.name),
      columns: texts(one.columns),
      references: text(one.definition).replace(/^.*? REFERENCES /s, ''),
    })),
    constraints: parts.constraints
      .filter(({ contype }) => contype !== 'p' && contype !== 'f')
      .map((one) => ({ name: text(one.name), definition: text(one.definition) })),
    // The index behind a constraint is told by the constraint.
    indexes: parts.indexes
      .filter(({ name }) => !constrained.has(name ?? null))
      .map((one) => ({ name: text(one.name), unique: one.unique === true, definition: text(one.definition) })),
    definition: textOrNull(row.definition)?.trim() ?? null,
    arguments: null,
    returns: null,
    language: null,
  };
}

function text(value: Json | undefined): string {
  return String(value);
}

function textOrNull(value: Json | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}

function texts(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
