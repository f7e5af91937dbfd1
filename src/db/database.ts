// The one interface to SQL: query and transaction, the same on PGlite, PostgreSQL and CockroachDB.

/** A whole SQL statement under a name; the name is its metric label and its prepared-statement key. */
export interface Statement {
  /** snake_case, unique (two texts under one name are refused), bounded, at most 63 bytes: becomes the label `operation`. */
  readonly name: string;
  /** Parameters are `$1, $2, …`; lists go in as arrays (`unnest($1::uuid[])`, `= any($1)`). */
  readonly text: string;
  /**
   * Repeating it is harmless (compare-and-set, client-made ids with `on conflict do nothing`), so it is sent again when a
   * connection drops. Statements that begin with `select` are taken as such. Where neither holds, a write whose answer
   * was lost rejects with AmbiguousCommitError.
   */
  readonly idempotent?: boolean;
  /** False: not kept as a prepared statement, and the name may stand for many texts (migrations, upkeep). */
  readonly prepare?: boolean;
  /** How long to wait for the answer before the connection counts as lost; 0 waits for ever. Default: the driver's. */
  readonly timeoutMs?: number;
}

export type StatementOptions = Pick<Statement, 'idempotent' | 'prepare' | 'timeoutMs'>;

/** Names a statement. The only interpolation allowed in `text` is the schema name. */
export function statement(name: string, text: string, options: StatementOptions = {}): Statement {
  return { name, text, ...options };
}

export interface QueryResult<Row> {
  rows: Row[];
  /** Rows returned, or rows written where the statement returns none. */
  count: number;
}

/**
 * Values come back alike on both drivers: int2/int4/int8 as number (an int8 beyond 2^53 is an error),
 * float8 as number, numeric as string, timestamptz as Date, date as string, jsonb parsed, bytea as Uint8Array,
 * uuid and text as string, arrays as arrays. Values go in as: number, string, boolean, null, Date (timestamptz),
 * Uint8Array (bytea), arrays of these; jsonb as a JSON string (JSON.stringify by the caller), jsonb[] as string arrays cast
 * with `unnest($1::text[])::jsonb`.
 */
export type SqlValue = unknown;

/** Thrown by the work of a transaction that is to leave nothing behind: nobody repeats it but who threw it. */
export class RollBack extends Error {}

export interface Queryable {
  query<Row = Record<string, unknown>>(statement: Statement, params?: readonly SqlValue[]): Promise<QueryResult<Row>>;
}

export type Isolation = 'read committed' | 'serializable';

/** Notices between the nodes, beside every transaction: they come at once or not at all, and nothing may depend on them. */
export interface HintLine {
  /** To all who listen now. Not for use within a transaction: there it would go out with the commit and make it wait. */
  send(payload: string): Promise<void>;
  /** Listens on a connection of its own until closed. A connection that drops comes back by itself. */
  listen(listener: HintListener): { close(): Promise<void> };
}

export interface HintListener {
  onHint(payload: string): void;
  /** Listens from now on; what was sent before may be lost. */
  onUp(): void;
  /** Hears nothing until `onUp`. */
  onDown(reason: string): void;
}

export interface Database extends Queryable {
  /** `postgres` until the first connection has told CockroachDB apart. */
  readonly kind: 'pglite' | 'postgres' | 'cockroachdb';
  /**
   * Runs `work` in a transaction and commits it. It is retried whole on 40001, 40P01, 40003 and dropped connections,
   * so `work` must have no side effects besides its queries. An SQL error ends the transaction even where `work` catches
   * it. A commit whose answer was lost is not retried blindly: it rejects with AmbiguousCommitError unless
   * `options.idempotent` says that repeating is harmless. Inside `work` only `tx` may be used: a query on the database
   * itself would wait for the very transaction that waits for it, and is refused where the driver guards (PGlite always).
   */
  transaction<T>(work: (tx: Queryable) => Promise<T>, options?: { idempotent?: boolean }): Promise<T>;
  /**
   * A connection of its own beside the pool (heartbeats, checkpoint writers). On PGlite it is the shared one.
   * The returned object has its own `close()`.
   */
  dedicated(name: string): Promise<Queryable & { close(): Promise<void> }>;
  /** Undefined where the server has no notices (PGlite, CockroachDB), and until the first connection has told its kind. */
  readonly hints?: HintLine | undefined;
  /** Ends all connections; safe twice. */
  close(): Promise<void>;
}
