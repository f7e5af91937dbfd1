// The work PostgreSQL's background processes would do, which PGlite has not: vacuum of hot tables, and checkpoints.
import { errorMessage } from '../domain/errors.ts';
import { type Database, type QueryResult, type Statement, statement } from './database.ts';
import type { DatabaseEvent } from './database-event.ts';
import { isRead } from './statement-names.ts';

export interface UpkeepOptions {
  /** Tables whose dead rows slow every claim, with their schema. */
  vacuumTables: readonly string[];
  /** Rows written between two vacuums. */
  vacuumEveryWrites: number;
  /** At the latest after this many milliseconds, where anything was written. */
  vacuumEveryMs: number;
}

export interface Upkeep {
  /** Notes what a statement wrote; begins upkeep when enough has come together. */
  noteWrites(statement: Statement, result: QueryResult<unknown>): void;
  /** Stops and waits for what runs. */
  stop(): Promise<void>;
}

export function createUpkeep(
  database: () => Database,
  options: UpkeepOptions,
  onEvent: (event: DatabaseEvent) => void,
): Upkeep {
  let writes = 0;
  let running: Promise<void> | undefined;
  let stopped = false;
  const timer = setInterval(() => begin(), options.vacuumEveryMs);
  timer.unref();

  function begin(): void {
    if (running || stopped || writes === 0) return;
    const noted = writes;
    writes = 0;
    running = run(noted).finally(() => {
      running = undefined;
    });
  }

  async function run(noted: number): Promise<void> {
    const startedAt = performance.now();
    try {
      const db = database();
      const { rows } = await db.query<{ name: string }>(existingTables, [options.vacuumTables]);
      for (const { name } of rows) await db.query(upkeepStatement(`vacuum ${name}`));
      // Without it the log of changes grows for ever, and recovery after a crash replays all of it.
      await db.query(upkeepStatement('checkpoint'));
      onEvent({ type: 'upkeep', seconds: (performance.now() - startedAt) / 1_000, writes: noted });
    } catch (error) {
      if (!stopped) onEvent({ type: 'upkeep_failed', reason: errorMessage(error) });
    }
  }

  return {
    noteWrites(written, result) {
      // A statement that begins with `with` may write more than it returns; it counts as one row at least.
      if (written.name === upkeepName || isRead(written.text)) return;
      writes += Math.max(1, result.count);
      if (writes >= options.vacuumEveryWrites) begin();
    },
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running;
    },
  };
}

const upkeepName = 'upkeep';

function upkeepStatement(text: string): Statement {
  return statement(upkeepName, text, { prepare: false, idempotent: true, timeoutMs: 0 });
}

const existingTables = statement(
  'upkeep_tables',
  'select name from unnest($1::text[]) as name where to_regclass(name) is not null',
);
