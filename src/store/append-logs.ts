// Appends chunks of runs' logs, many runs in one statement.
import { type Queryable, statement } from '../db/database.ts';

/** One line of a run's log, as stored. */
export interface StoredLogLine {
  /** Milliseconds since the epoch. */
  at: number;
  level: 'debug' | 'info' | 'warn' | 'error';
  /** `log`: said by the step or the engine. */
  stream: 'log' | 'stdout' | 'stderr';
  step: string | null;
  item?: number;
  attempt?: number;
  text: string;
  fields?: Record<string, unknown>;
}

export interface LogChunk {
  runId: string;
  tenant: string;
  token: number;
  /** Rises within (run, token). */
  seq: number;
  lines: readonly StoredLogLine[];
}

const append = statement(
  'append_logs',
  `insert into cronwright.logs (run_id, token, seq, tenant, lines, at)
  select u.run_id, u.token, u.seq, u.tenant, u.lines::jsonb, coalesce($6::timestamptz, now())
  from unnest($1::uuid[], $2::int8[], $3::int4[], $4::text[], $5::text[]) as u(run_id, token, seq, tenant, lines)
  on conflict do nothing`,
  { idempotent: true },
);

export async function appendLogs(db: Queryable, chunks: readonly LogChunk[], now: Date | null = null): Promise<void> {
  if (chunks.length === 0) return;
  await db.query(append, [
    chunks.map((chunk) => chunk.runId),
    chunks.map((chunk) => chunk.token),
    chunks.map((chunk) => chunk.seq),
    chunks.map((chunk) => chunk.tenant),
    chunks.map((chunk) => JSON.stringify(chunk.lines)),
    now,
  ]);
}
