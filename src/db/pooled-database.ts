// The Database over a pool of pg clients: both drivers are this, with another pool.
import type { Pool, PoolClient } from 'pg';
import { CronwrightError, errorMessage } from '../domain/errors.ts';
import type { Database, HintLine, Queryable, QueryResult, SqlValue, Statement } from './database.ts';
import type { DatabaseHooks } from './database-event.ts';
import { encodeParams } from './encode-params.ts';
import type { ReentryGuard } from './reentry-guard.ts';
import { AmbiguousCommitError, failureKind, withRetries } from './retries.ts';
import { isRepeatable, type StatementNames } from './statement-names.ts';

export interface PooledDatabaseOptions {
  kind: () => Database['kind'];
  pool: Pool;
  names: StatementNames;
  guard: ReentryGuard;
  hooks: DatabaseHooks;
  /** Milliseconds to wait for an answer where the statement names none. */
  queryTimeoutMs: number;
  /** Turns what a failed connect threw into the error callers see. */
  connectFailed: (error: unknown) => Error;
  dedicated: (name: string) => Promise<Queryable & { close(): Promise<void> }>;
  hints?: () => HintLine | undefined;
  /** Sees every answer, before the caller does. */
  onResult?: (statement: Statement, result: QueryResult<unknown>) => void;
  /** Ends what still sends queries by itself. */
  beforeClose?: () => Promise<void>;
  /** Ends what the driver holds besides the pool. */
  closeRest: () => Promise<void>;
}

export function createPooledDatabase(options: PooledDatabaseOptions): Database {
  const { pool, names, guard, hooks } = options;
  let closing: Promise<void> | undefined;

  async function connect(): Promise<PoolClient> {
    if (closing) throw new CronwrightError('unavailable', 'the database is closed');
    try {
      return await pool.connect();
    } catch (error) {
      throw options.connectFailed(withoutClient(error));
    }
  }

  async function send<Row>(
    client: PoolClient,
    statement: Statement,
    params: readonly SqlValue[],
  ): Promise<QueryResult<Row>> {
    const startedAt = performance.now();
    let ok = false;
    try {
      const result = await client.query(queryConfig(statement, params, options.queryTimeoutMs));
      ok = true;
      const answer = { rows: result.rows as Row[], count: result.rowCount ?? result.rows.length };
      options.onResult?.(statement, answer);
      return answer;
    } catch (error) {
      throw withoutClient(error);
    } finally {
      hooks.onQuery?.(statement.name, (performance.now() - startedAt) / 1_000, ok);
    }
  }

  async function queryOnce<Row>(statement: Statement, params: readonly SqlValue[]): Promise<QueryResult<Row>> {
    const client = await connect();
    try {
      const result = await send<Row>(client, statement, params);
      client.release();
      return result;
    } catch (error) {
      const kind = failureKind(error);
      client.release(kind === 'connection' || kind === 'stale_plan');
      if ((kind === 'connection' || kind === 'unknown_outcome') && !isRepeatable(statement)) {
        throw new AmbiguousCommitError(statement.name, error);
      }
      throw error;
    }
  }

  async function transactionOnce<T>(work: (tx: Queryable) => Promise<T>, idempotent: boolean): Promise<T> {
    const client = await connect();
    let open = true;
    let failure: { error: unknown } | undefined;
    const tx: Queryable = {
      async query<Row>(statement: Statement, params: readonly SqlValue[] = []) {
        if (!open) throw new Error(`${statement.name} was sent on a transaction that is over`);
        names.check(statement);
        try {
          return await send<Row>(client, statement, params);
        } catch (error) {
          failure ??= { error };
          throw error;
        }
      },
    };

    let broken = true;
    try {
      await send(client, begin, []);
      const value = await guard.enter(() => work(tx));
      open = false;
      // The server would answer this commit with a rollback and no error.
      if (failure) throw failure.error;
      await sendCommit(client, idempotent);
      broken = false;
      return value;
    } catch (error) {
      open = false;
      // What the work made of a conflict does not hide it: the whole is tried again.
      const cause = failure && failureKind(failure.error) !== 'other' ? failure.error : error;
      broken = !(await rolledBack(client, cause));
      throw cause;
    } finally {
      client.release(broken);
    }
  }

  async function sendCommit(client: PoolClient, idempotent: boolean): Promise<void> {
    try {
      await send(client, commit, []);
    } catch (error) {
      const kind = failureKind(error);
      if ((kind === 'connection' || kind === 'unknown_outcome') && !idempotent) {
        throw new AmbiguousCommitError('a transaction', error);
      }
      throw error;
    }
  }

  async function rolledBack(client: PoolClient, cause: unknown): Promise<boolean> {
    const kind = failureKind(cause);
    if (kind === 'connection' || kind === 'stale_plan' || cause instanceof AmbiguousCommitError) return false;
    try {
      await send(client, rollback, []);
      return true;
    } catch (error) {
      hooks.onEvent?.({ type: 'connection_lost', reason: `rollback failed: ${errorMessage(error)}` });
      return false;
    }
  }

  async function endAll(): Promise<void> {
    await options.beforeClose?.();
    await pool.end();
    await options.closeRest();
  }

  function retrying<T>(operation: string, attempt: () => Promise<T>): Promise<T> {
    return withRetries(operation, attempt, (notice) => hooks.onEvent?.({ type: 'retry', ...notice }));
  }

  return {
    get kind() {
      return options.kind();
    },
    get hints() {
      return options.hints?.();
    },
    async query<Row>(statement: Statement, params: readonly SqlValue[] = []) {
      names.check(statement);
      guard.check(statement.name);
      return retrying(statement.name, () => queryOnce<Row>(statement, params));
    },
    async transaction(work, { idempotent = false } = {}) {
      guard.check('a transaction');
      return retrying('transaction', () => transactionOnce(work, idempotent));
    },
    dedicated: (name) => options.dedicated(name),
    close() {
      closing ??= endAll();
      return closing;
    },
  };
}

const begin: Statement = { name: 'begin', text: 'begin', prepare: false };
const commit: Statement = { name: 'commit', text: 'commit', prepare: false };
const rollback: Statement = { name: 'rollback', text: 'rollback', prepare: false };

/** The pool hangs the whole client on some errors, connection settings and all: nothing for a log. */
function withoutClient(error: unknown): unknown {
  if (error instanceof Error && 'client' in error) delete error.client;
  return error;
}

function queryConfig(statement: Statement, params: readonly SqlValue[], queryTimeoutMs: number) {
  return {
    text: statement.text,
    // Without values and name, pg sends a simple query: transaction control needs no more.
    ...(statement.prepare === false ? {} : { name: statement.name }),
    ...(params.length > 0 ? { values: encodeParams(params) } : {}),
    query_timeout: statement.timeoutMs ?? queryTimeoutMs,
  };
}
