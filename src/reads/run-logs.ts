// What the steps of a run said: log lines in the order they were written, by page, by tail, or followed as they come.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { isTerminal, runStates } from '../domain/run.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { requireRun } from './get-run.ts';

export const logLineView = z
  .object({
    at: z.union([z.string(), z.number()]).nullable().meta({ type: 'string', format: 'date-time' }),
    level: z.string(),
    step: z.string().nullable(),
    item: z.int().nullable(),
    attempt: z.int().nullable(),
    stream: z.string().nullable(),
    text: z.string(),
  })
  .meta({ id: 'LogLine' });

export type LogLineView = z.infer<typeof logLineView>;

export const logPage = z.object({
  items: z.array(logLineView),
  next_cursor: z
    .string()
    .nullable()
    .describe('null at the end; with follow=true null only once the run has ended and everything was read'),
  run_state: z.enum(runStates),
});

export type LogPage = z.infer<typeof logPage>;

export interface LogOptions {
  step?: string | undefined;
  cursor?: string | undefined;
  /** Lines; whole chunks are returned, so it may be a few more. */
  limit: number;
  /** The last so many lines instead of a page from the start. */
  tail?: number | undefined;
  follow: boolean;
}

const forward = statement(
  'list_run_logs',
  `select token, seq, lines from cronwright.logs
  where run_id = $1 and (token, seq) > ($2, $3)
  order by token, seq limit $4`,
);

const backward = statement(
  'list_last_run_logs',
  `select token, seq, lines from cronwright.logs
  where run_id = $1 and (token, seq) < ($2, $3)
  order by token desc, seq desc limit $4`,
);

interface Chunk {
  token: number;
  seq: number;
  lines: StoredLine[];
}

type StoredLine = Partial<LogLineView> & { message?: string };

const chunksAtOnce = 50;
const start = { token: -1, seq: -1 };
const end = { token: Number.MAX_SAFE_INTEGER, seq: 2_147_483_647 };

/** Throws `not_found`, and `invalid_input` for a foreign cursor. */
export async function runLogs(db: Queryable, tenant: string | null, id: string, options: LogOptions): Promise<LogPage> {
  // The state is read first: what a run that has ended said is complete.
  const run = await requireRun(db, tenant, id);
  const { chunks, more } =
    options.tail === undefined
      ? await readForward(db, id, options)
      : await readTail(db, id, options.step, options.tail);
  const lines = chunks.flatMap((chunk) => linesOf(chunk, options.step));
  const last = chunks.at(-1) ?? position(options.cursor);
  const over = !more && (!options.follow || isTerminal(run.state));
  return {
    items: options.tail === undefined ? lines : lines.slice(Math.max(0, lines.length - options.tail)),
    next_cursor: over ? null : packCursor([last.token, last.seq]),
    run_state: run.state,
  };
}

async function readForward(
  db: Queryable,
  id: string,
  { cursor, limit, step }: LogOptions,
): Promise<{ chunks: Chunk[]; more: boolean }> {
  const chunks: Chunk[] = [];
  let after: { token: number; seq: number } = position(cursor);
  let found = 0;
  for (;;) {
    const { rows } = await db.query<Chunk>(forward, [id, after.token, after.seq, chunksAtOnce]);
    for (const [i, chunk] of rows.entries()) {
      chunks.push(chunk);
      found += linesOf(chunk, step).length;
      after = chunk;
      if (found >= limit) return { chunks, more: i < rows.length - 1 || rows.length === chunksAtOnce };
    }
    if (rows.length < chunksAtOnce) return { chunks, more: false };
  }
}

/** Chunks that hold at least the last `lines` lines of the step, in order. */
async function readTail(
  db: Queryable,
  id: string,
  step: string | undefined,
  lines: number,
): Promise<{ chunks: Chunk[]; more: boolean }> {
  const chunks: Chunk[] = [];
  let before: { token: number; seq: number } = end;
  let found = 0;
  while (found < lines || chunks.length === 0) {
    const { rows } = await db.query<Chunk>(backward, [id, before.token, before.seq, chunksAtOnce]);
    for (const chunk of rows) {
      chunks.push(chunk);
      before = chunk;
      found += linesOf(chunk, step).length;
      if (found >= lines) break;
    }
    if (rows.length < chunksAtOnce) break;
  }
  return { chunks: chunks.reverse(), more: false };
}

function position(cursor: string | undefined): { token: number; seq: number } {
  if (cursor === undefined) return start;
  const [token, seq] = unpackCursor(cursor, ['number', 'number']);
  return { token: Number(token), seq: Number(seq) };
}

function linesOf(chunk: Chunk, step: string | undefined): LogLineView[] {
  const wanted = step === undefined ? chunk.lines : chunk.lines.filter((line) => line.step === step);
  return wanted.map((line) => ({
    at: typeof line.at === 'number' ? new Date(line.at).toISOString() : (line.at ?? null),
    level: line.level ?? 'info',
    step: line.step ?? null,
    item: line.item ?? null,
    attempt: line.attempt ?? null,
    stream: line.stream ?? null,
    text: line.text ?? line.message ?? '',
  }));
}
