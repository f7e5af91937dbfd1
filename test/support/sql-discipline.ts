// What our SQL may not contain, so that the same statements run on PGlite, PostgreSQL and CockroachDB (DESIGN §13), read off
// PostgreSQL's own parse tree.
import { loadModule, parseSync } from 'libpg-query';

export interface Breach {
  rule: string;
  got: string;
}

/** By table: the columns that may be null. */
export type NullableColumns = ReadonlyMap<string, ReadonlySet<string>>;

/** What we read of a node; each kind has some of them. */
interface Fields {
  [key: string]: unknown;
  args?: unknown[];
  location?: number;
  relname?: string;
  schemaname?: string;
  alias?: { aliasname: string };
}
interface Node {
  type: string;
  fields: Fields;
}

await loadModule();

/** Kinds of statements and clauses that CockroachDB has not, or that hide state from the statements. */
const forbiddenNodes: Readonly<Record<string, string>> = {
  CreateTrigStmt: 'trigger',
  CreateFunctionStmt: 'function in the database',
  DoStmt: 'PL/pgSQL',
  CallStmt: 'procedure',
  CreateEnumStmt: 'enum',
  CreateSeqStmt: 'sequence',
  AlterSeqStmt: 'sequence',
  LockStmt: 'lock table',
  MergeStmt: 'merge',
  ListenStmt: 'listen',
  NotifyStmt: 'notify',
  CreateExtensionStmt: 'extension',
  RuleStmt: 'rule',
  CreateDomainStmt: 'domain',
};

const forbiddenConstraints: Readonly<Record<string, string>> = {
  CONSTR_FOREIGN: 'foreign key',
  CONSTR_IDENTITY: 'identity',
  CONSTR_EXCLUSION: 'exclusion constraint',
  CONSTR_ATTR_DEFERRABLE: 'deferrable constraint',
  CONSTR_ATTR_DEFERRED: 'deferrable constraint',
};

/** Functions that all three databases have, with the same meaning. */
const knownFunctions = new Set(
  `abs array_agg array_length array_position array_remove ceil clock_timestamp coalesce concat count cume_dist date_part
  date_trunc encode extract floor gen_random_uuid generate_series greatest jsonb_agg jsonb_array_elements
  jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
  jsonb_extract_path_text jsonb_object_agg jsonb_object_keys jsonb_set jsonb_strip_nulls jsonb_typeof least left length lower
  ltrim max md5 min mod now octet_length percentile_cont percentile_disc pg_typeof position power rank replace right round
  row_number rtrim sha256 split_part sqrt starts_with string_agg string_to_array array_to_string strpos substring sum avg
  timezone to_char to_jsonb to_timestamp trim unnest upper btrim bool_and bool_or dense_rank first_value lag last_value lead
  bit_length cardinality version json_array_length json_array_elements jsonb_path_exists`.split(/\s+/),
);

const unspecificTypes = new Set(['int2', 'int4', 'int8']);
const serialTypes = new Set(['serial', 'bigserial', 'smallserial', 'serial2', 'serial4', 'serial8']);
const systemColumns = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

/** Everything that is wrong with one or more statements; empty where nothing is. */
export function findBreaches(sql: string, nullable: NullableColumns): Breach[] {
  const { stmts = [] } = parseSync(sql) as { stmts?: { stmt: unknown }[] };
  const source = Buffer.from(sql);
  return stmts.flatMap(({ stmt }) => {
    const nodes = [...walk(stmt)];
    return [
      ...nodes.flatMap((node) => ownBreaches(node, source)),
      ...writesTwice(nodes),
      ...unqualifiedTables(nodes),
      ...untoldNulls(nodes, nullable),
      ...notRepeatable(nodes[0]),
    ];
  });
}

/** The nullable columns of the tables that these migrations make. */
export function nullableColumnsOf(migrations: readonly string[]): NullableColumns {
  const columns = new Map<string, Set<string>>();
  for (const sql of migrations) {
    const { stmts = [] } = parseSync(sql) as { stmts?: { stmt: unknown }[] };
    for (const { stmt } of stmts) for (const node of walk(stmt)) noteColumns(node, columns);
  }
  return columns;
}

function noteColumns({ type, fields }: Node, columns: Map<string, Set<string>>): void {
  if (type !== 'CreateStmt' && type !== 'AlterTableStmt') return;
  const table = (fields.relation as Fields).relname as string;
  const known = columns.get(table) ?? new Set<string>();
  columns.set(table, known);
  const inner = [...walk(fields)];
  const keys = inner
    .filter(({ type: kind, fields: f }) => kind === 'Constraint' && f.contype === 'CONSTR_PRIMARY')
    .flatMap(({ fields: f }) => names(f.keys));
  for (const { type: kind, fields: column } of inner) {
    if (kind !== 'ColumnDef') continue;
    const isNotNull = [...walk(column.constraints)].some(
      ({ fields: f }) => f.contype === 'CONSTR_NOTNULL' || f.contype === 'CONSTR_PRIMARY',
    );
    const name = column.colname as string;
    if (!isNotNull && !keys.includes(name)) known.add(name);
  }
}

function* walk(value: unknown): Generator<Node> {
  if (Array.isArray(value)) {
    for (const one of value) yield* walk(one);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      // Nodes are wrapped in their type's name, which alone is in capitals.
      if (/^[A-Z]/.test(key) && typeof inner === 'object' && inner !== null) {
        yield { type: key, fields: inner as Fields };
      } else if (key === 'lockedRels') {
        // Names of aliases.
        continue;
      } else if (key === 'relation' && typeof inner === 'object' && inner !== null) {
        yield { type: 'RangeVar', fields: inner as Fields };
      } else if (key === 'typeName' && typeof inner === 'object' && inner !== null) {
        yield { type: 'TypeName', fields: inner as Fields };
      }
      yield* walk(inner);
    }
  }
}

function ownBreaches({ type, fields }: Node, source: Buffer): Breach[] {
  const word = forbiddenNodes[type];
  if (word) return [{ rule: 'not in the subset', got: word }];
  switch (type) {
    case 'CreateStmt':
      return fields.partspec === undefined ? [] : [{ rule: 'not in the subset', got: 'partitions' }];
    case 'Constraint':
      return constraintBreaches(fields);
    case 'FuncCall':
      return functionBreaches(fields);
    case 'TypeName':
      return typeBreaches(fields, source);
    case 'RangeVar':
      return relationBreaches(fields);
    case 'ColumnRef':
      return names(fields.fields)
        .filter((name) => systemColumns.has(name))
        .map((got) => ({ rule: 'system column', got }));
    case 'A_Expr':
      return listBreaches(fields);
    default:
      return [];
  }
}

function constraintBreaches(fields: Fields): Breach[] {
  const word = forbiddenConstraints[fields.contype as string];
  if (word) return [{ rule: 'not in the subset', got: word }];
  return fields.deferrable ? [{ rule: 'not in the subset', got: 'deferrable constraint' }] : [];
}

function functionBreaches(fields: Fields): Breach[] {
  const name = names(fields.funcname).at(-1) ?? '';
  const breaches: Breach[] = [];
  if (!knownFunctions.has(name)) breaches.push({ rule: 'function beyond the subset', got: name });
  if (name === 'unnest') {
    for (const argument of (fields.args as unknown[] | undefined) ?? []) {
      if (isNode(argument, 'ParamRef')) breaches.push({ rule: 'array parameter without its type', got: name });
    }
  }
  return breaches;
}

/** `int` is eight bytes on CockroachDB and four elsewhere. */
function typeBreaches(fields: Fields, source: Buffer): Breach[] {
  const name = names(fields.names).at(-1) ?? '';
  if (serialTypes.has(name)) return [{ rule: 'not in the subset', got: name }];
  const at = fields.location as number | undefined;
  if (!unspecificTypes.has(name) || at === undefined || at < 0) return [];
  const written = /^\w+/.exec(source.subarray(at, at + 20).toString())?.[0] ?? '';
  return written === name || written === 'pg_catalog' ? [] : [{ rule: 'integer without its size', got: written }];
}

function relationBreaches(fields: Fields): Breach[] {
  if (fields.relpersistence === 't') return [{ rule: 'not in the subset', got: 'temporary table' }];
  const schema = fields.schemaname;
  if (schema === undefined || schema === 'cronwright') return [];
  return [{ rule: 'foreign schema', got: `${schema}.${fields.relname}` }];
}

/** A list of parameters is another statement for every length. */
function listBreaches(fields: Fields): Breach[] {
  if (fields.kind !== 'AEXPR_IN') return [];
  const parameters = [...walk(fields.rexpr)].filter(({ type }) => type === 'ParamRef');
  return parameters.length > 0 ? [{ rule: 'list of parameters', got: `in (${parameters.length} parameters)` }] : [];
}

/** A second write of one table within a statement does not see the first, and CockroachDB refuses it. */
function writesTwice(nodes: readonly Node[]): Breach[] {
  const written = nodes
    .filter(({ type }) => type === 'InsertStmt' || type === 'UpdateStmt' || type === 'DeleteStmt')
    .map(({ fields }) => (fields.relation as Fields).relname as string);
  return [...new Set(written.filter((table, i) => written.indexOf(table) !== i))].map((got) => ({
    rule: 'table written twice',
    got,
  }));
}

function unqualifiedTables(nodes: readonly Node[]): Breach[] {
  const named = new Set(
    nodes.filter(({ type }) => type === 'CommonTableExpr').map(({ fields }) => fields.ctename as string),
  );
  return nodes
    .filter(({ type, fields }) => type === 'RangeVar' && fields.schemaname === undefined)
    .map(({ fields }) => fields.relname as string)
    .filter((name) => !named.has(name))
    .map((got) => ({ rule: 'table without its schema', got }));
}

/** Nulls come last on PostgreSQL and first on CockroachDB. */
function untoldNulls(nodes: readonly Node[], nullable: NullableColumns): Breach[] {
  const tables = nodes.filter(({ type }) => type === 'RangeVar');
  const mayBeNull = (table: Node, column: string) => nullable.get(table.fields.relname as string)?.has(column) ?? false;
  return nodes
    .filter(({ type, fields }) => type === 'SortBy' && fields.sortby_nulls === 'SORTBY_NULLS_DEFAULT')
    .flatMap(({ fields }) => {
      const reference = (fields.node as { ColumnRef?: Fields }).ColumnRef;
      const path = names(reference?.fields);
      const column = path.at(-1) ?? '';
      const alias = path.at(-2);
      const meant = tables.filter(
        ({ fields: f }) => alias === undefined || (f.alias?.aliasname ?? f.relname) === alias,
      );
      return meant.some((table) => mayBeNull(table, column))
        ? [{ rule: 'order of nulls not told', got: path.join('.') }]
        : [];
    });
}

/** Every statement of a migration may be sent again. */
function notRepeatable(root: Node | undefined): Breach[] {
  if (!root) return [];
  const { type, fields } = root;
  const isMaking = type === 'CreateStmt' || type === 'IndexStmt' || type === 'CreateSchemaStmt';
  if (isMaking && !fields.if_not_exists) return [{ rule: 'not repeatable', got: `${type} without if not exists` }];
  if (type === 'DropStmt' && !fields.missing_ok) return [{ rule: 'not repeatable', got: 'drop without if exists' }];
  if (type !== 'AlterTableStmt') return [];
  return [...walk(fields.cmds)]
    .filter(({ type: kind, fields: command }) => kind === 'AlterTableCmd' && isOnce(command))
    .map(({ fields: command }) => ({ rule: 'not repeatable', got: command.subtype as string }));
}

function isOnce(command: Fields): boolean {
  const kind = command.subtype;
  if (kind === 'AT_AddConstraint') return true;
  return (kind === 'AT_AddColumn' || kind === 'AT_DropColumn' || kind === 'AT_DropConstraint') && !command.missing_ok;
}

function isNode(value: unknown, type: string): boolean {
  return typeof value === 'object' && value !== null && type in value;
}

/** The texts of a list of String nodes. */
function names(list: unknown): string[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((one: { String?: { sval?: string } }) => one.String?.sval ?? []);
}
