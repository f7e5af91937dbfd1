// PostgreSQL and CockroachDB: a pool of connections to a server named by a URL.
import pg from 'pg';
import type { Database, Isolation, Queryable } from './database.ts';
import type { DatabaseHooks } from './database-event.ts';
import { createPooledDatabase } from './pooled-database.ts';
import { createPostgresHints } from './postgres-hints.ts';
import { connectError, describeDatabaseUrl } from './postgres-url.ts';
import { createReentryGuard, noReentryGuard } from './reentry-guard.ts';
import { applySessionSettings } from './session-settings.ts';
import { sqlTypes } from './sql-values.ts';
import { createStatementNames } from './statement-names.ts';

export interface PostgresOptions extends DatabaseHooks {
  /** postgres:// or postgresql://, TLS by its `sslmode` as pg reads it. */
  url: string;
  /** Connections of the pool; each dedicated connection comes on top. Default 10. */
  maxConnections?: number;
  /** Default: read committed on PostgreSQL, the server's own on CockroachDB. */
  isolation?: Isolation;
  /** Shown in pg_stat_activity. Default `cronwright`. */
  applicationName?: string;
  /** Milliseconds for one connection attempt. Default 10,000. */
  connectTimeoutMs?: number;
  /** Milliseconds without an answer after which a connection counts as lost. Default 60,000. */
  queryTimeoutMs?: number;
  /**
   * Refuses a query beside an open transaction of the same asynchronous context, as PGlite always does. Default false:
   * here it takes another connection, and tracking contexts slows every promise before Node 24. Tests set it.
   */
  reentryGuard?: boolean;
}

/**
 * Connects at the first use. Where the server cannot be reached, a use rejects with CronwrightError `unavailable`.
 * Connect directly or through a pooler in session mode: sessions keep settings and prepared statements.
 */
export function createPostgres(options: PostgresOptions): Database {
  const address = describeDatabaseUrl(options.url);
  const names = createStatementNames();
  const applicationName = options.applicationName ?? 'cronwright';
  const queryTimeoutMs = options.queryTimeoutMs ?? 60_000;
  const dedicatedPools = new Set<() => Promise<void>>();
  let kind: Database['kind'] = 'postgres';
  let kindKnown = false;

  async function prepareSession(client: pg.ClientBase): Promise<void> {
    // While a client is checked out the pool does not listen, and an unheard 'error' event ends the process.
    client.on('error', () => {});
    if (!kindKnown) {
      const { rows } = await client.query<{ version: string }>('select version() as version');
      kind = rows[0]?.version.startsWith('CockroachDB') ? 'cockroachdb' : 'postgres';
      kindKnown = true;
    }
    await applySessionSettings(client, {
      cockroachdb: kind === 'cockroachdb',
      ...(options.isolation === undefined ? {} : { isolation: options.isolation }),
    });
  }

  function createPool(name: string, max: number, idleTimeoutMillis: number): pg.Pool {
    const pool = new pg.Pool({
      connectionString: options.url,
      application_name: name,
      max,
      idleTimeoutMillis,
      types: sqlTypes,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      // Several queries of one transaction travel together; an answer that never comes ends the connection.
      pipeline: true,
      onConnect: prepareSession,
      Client: clientWithConnectTimeout(options.connectTimeoutMs ?? 10_000),
    });
    pool.on('error', (error) => options.onEvent?.({ type: 'connection_lost', reason: error.message }));
    return pool;
  }

  const hints = createPostgresHints({
    url: options.url,
    applicationName: `${applicationName} hints`,
    connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
    send: (statement, params) => main.query(statement, params),
  });

  function createDatabase(pool: pg.Pool, closeRest: () => Promise<void>): Database {
    return createPooledDatabase({
      kind: () => kind,
      pool,
      names,
      guard: options.reentryGuard ? createReentryGuard() : noReentryGuard,
      hooks: options,
      queryTimeoutMs,
      connectFailed: (error) => connectError(address, error),
      dedicated,
      hints: () => (kindKnown && kind === 'postgres' ? hints : undefined),
      closeRest,
    });
  }

  /** A pool of one: it comes back by itself after a drop, and its queries go out in order. */
  async function dedicated(name: string): Promise<Queryable & { close(): Promise<void> }> {
    const database = createDatabase(createPool(`${applicationName} ${name}`, 1, 0), async () => {});
    const close = async () => {
      dedicatedPools.delete(close);
      await database.close();
    };
    dedicatedPools.add(close);
    try {
      await database.query(ping);
    } catch (error) {
      await close();
      throw error;
    }
    return { query: (statement, params) => database.query(statement, params), close };
  }

  const main = createDatabase(createPool(applicationName, options.maxConnections ?? 10, 300_000), async () => {
    await Promise.all([hints.close(), ...[...dedicatedPools].map((close) => close())]);
  });
  return main;
}

const ping = { name: 'ping', text: 'select 1' };

/** The pool's own timeout would also cut short waiting for a free connection, which is not the server's fault. */
function clientWithConnectTimeout(connectionTimeoutMillis: number): new () => pg.ClientBase {
  return class extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      super({ ...config, connectionTimeoutMillis });
    }
  };
}
