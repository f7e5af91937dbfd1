// A dump without pg_dump: the statements that make a database and its rows again, all read in one repeatable-read transaction.
import { Readable } from 'node:stream';
import type pg from 'pg';
import { type DataTable, readSqlSchema } from './sql-schema.ts';

export interface SqlDump {
  /** The text; the transaction ends with it. */
  text: Readable;
  tables: readonly string[];
  omitted: readonly string[];
  /** Rows so far, by table. */
  counts: Record<string, number>;
}

const rowsAtOnce = 200;

/** The same text for the same values, whatever the session was before. */
const settings = `set session characteristics as transaction isolation level repeatable read, read only;
  set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; set extra_float_digits = 3; set bytea_output = 'hex';
  set timezone = 'UTC'; set search_path = ''; set standard_conforming_strings = on; set statement_timeout = 0`;

const head = `-- A PostgreSQL database as SQL statements: definitions, rows as INSERT, then constraints, indexes, views and triggers.
set statement_timeout = 0;
set client_encoding = 'UTF8';
set standard_conforming_strings = on;
set check_function_bodies = false;
set datestyle = 'ISO, MDY';
set intervalstyle = 'postgres';
set timezone = 'UTC';
set search_path = '';
`;

/** `onTable` is told before each table. The caller ends the client. */
export async function openSqlDump(
  client: pg.Client,
  options: {
    schemas: readonly string[] | undefined;
    signal: AbortSignal;
    onTable: (done: number, total: number, name: string) => void;
  },
): Promise<SqlDump> {
  const { signal, onTable } = options;
  await client.query(settings);
  await client.query('begin');
  const schema = await readSqlSchema(client, options.schemas);
  const counts: Record<string, number> = {};

  async function* text(): AsyncGenerator<string> {
    yield head;
    yield statements(schema.beforeData);
    for (const [done, table] of schema.tables.entries()) {
      onTable(done, schema.tables.length, table.name);
      counts[table.name] = 0;
      for await (const { sql, rows } of rowsOf(client, table, signal)) {
        counts[table.name] = (counts[table.name] ?? 0) + rows;
        yield sql;
      }
    }
    for (const { sequence, target } of schema.sequences) {
      const { rows } = await client.query<{ last_value: string; is_called: boolean }>(
        `select last_value::text, is_called from ${sequence}`,
      );
      const value = rows[0];
      if (value) yield `select pg_catalog.setval(${target}, ${value.last_value}, ${value.is_called});\n`;
    }
    yield statements(schema.afterData);
    yield '-- end of dump\n';
    await client.query('commit');
  }

  return {
    text: Readable.from(text()),
    tables: schema.tables.map(({ name }) => name),
    omitted: schema.omitted,
    counts,
  };
}

function statements(list: readonly string[]): string {
  return list.map((one) => `${one.replace(/;\s*$/, '')};\n`).join('');
}

async function* rowsOf(
  client: pg.Client,
  table: DataTable,
  signal: AbortSignal,
): AsyncGenerator<{ sql: string; rows: number }> {
  const values = table.values === null ? `''` : `'(' || ${table.values} || ')'`;
  await client.query(`declare dumped_rows no scroll cursor for select ${values} as row from only ${table.target}`);
  for (;;) {
    signal.throwIfAborted();
    const { rows } = await client.query<{ row: string }>(`fetch forward ${rowsAtOnce} from dumped_rows`);
    if (rows.length === 0) break;
    yield { sql: insert(table, rows), rows: rows.length };
  }
  await client.query('close dumped_rows');
}

function insert({ target, columns }: DataTable, rows: readonly { row: string }[]): string {
  if (columns === null) return rows.map(() => `insert into ${target} default values;\n`).join('');
  const values = rows.map(({ row }) => row).join(',\n');
  return `insert into ${target} (${columns}) overriding system value values\n${values};\n`;
}
