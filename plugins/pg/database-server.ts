// Where the server of a named connection is: for the clients and programs of PostgreSQL, which take it from their environment.
import { type SqlConnection, type StepContext, StepError } from 'cronwright/plugin';
import pg from 'pg';

export interface DatabaseServer {
  sql: SqlConnection;
  database: string;
  /** `server_version`, such as `15.18`. */
  version: string;
  major: number;
  /** For programs: PGHOST, PGPASSWORD and the like; nothing of it goes into arguments. */
  env: Readonly<Record<string, string>>;
  /** A session of its own; `database` in place of the connection's. */
  connect(options?: { database?: string }): Promise<pg.Client>;
}

/** What libpq calls the parameters of a URL. */
const variables: Readonly<Record<string, string>> = {
  host: 'PGHOST',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  dbname: 'PGDATABASE',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  options: 'PGOPTIONS',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
};

/** Fatal where the connection is `self` or the step runs in a process of its own; a server that does not answer is transient. */
export async function databaseServer(ctx: StepContext, connection: string): Promise<DatabaseServer> {
  const sql = await ctx.sql(connection, { readOnly: true });
  if (sql.serverUrl === undefined) {
    const text = `the connection ${connection} has no server that others can reach; name one of \`connections\` in the configuration`;
    throw new StepError('fatal', text, { name: 'NoServer' });
  }
  const url = sql.serverUrl();
  const { rows } = await sql.query(
    `select current_database()::text as database, current_setting('server_version') as version,
      (current_setting('server_version_num')::int / 10000)::int as major`,
  );
  const env = { ...environmentOf(url), PGAPPNAME: `cronwright ${connection}` };
  return {
    sql,
    database: String(rows[0]?.database),
    version: String(rows[0]?.version).split(' ')[0] ?? '',
    major: Number(rows[0]?.major),
    env,
    async connect({ database } = {}) {
      const client = new pg.Client({ connectionString: withDatabase(url, database), application_name: env.PGAPPNAME });
      // A session that breaks says so at its next query.
      client.on('error', () => {});
      await client.connect();
      return client;
    },
  };
}

/** The variables of libpq for a URL; what the URL leaves out is left to libpq. */
function environmentOf(text: string): Record<string, string> {
  const url = new URL(text);
  const env: Record<string, string> = {
    ...given('PGHOST', decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1')),
    ...given('PGPORT', url.port),
    ...given('PGUSER', decodeURIComponent(url.username)),
    ...given('PGPASSWORD', decodeURIComponent(url.password)),
    ...given('PGDATABASE', decodeURIComponent(url.pathname.slice(1))),
  };
  for (const [name, value] of url.searchParams) {
    const variable = variables[name];
    if (variable !== undefined) env[variable] = value;
  }
  return { ...env, PGCONNECT_TIMEOUT: '15' };
}

function given(name: string, value: string): Record<string, string> {
  return value === '' ? {} : { [name]: value };
}

function withDatabase(text: string, database: string | undefined): string {
  if (database === undefined) return text;
  const url = new URL(text);
  url.pathname = `/${encodeURIComponent(database)}`;
  url.searchParams.delete('dbname');
  return url.href;
}
