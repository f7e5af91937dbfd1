// Which calls lie in the outbox: a page of them, newest first.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { instant, maybeInstant, type Page, storedError } from './view-fields.ts';

export const outboxStates = ['pending', 'delivered', 'failed'] as const;

export const outboxView = z
  .object({
    id: z.uuid().describe('what a receiver sees: webhook-id, part of Message-ID'),
    tenant: z.string(),
    run_id: z.uuid().nullable().describe('the run that caused it'),
    pipeline: z.string(),
    step: z.string().describe('the step that put it there; on_failure: the setting'),
    step_type: z.string(),
    sum_of: z.int().nullable().describe('how many failed runs it tells of; null: of one'),
    state: z.enum(outboxStates).describe('failed: given up'),
    attempts: z.int(),
    next_at: maybeInstant.describe('when it is tried next'),
    error: storedError.nullable().describe('what the last attempt came to'),
    created_at: instant,
    finished_at: maybeInstant,
  })
  .meta({ id: 'OutboxCall' });

export type OutboxView = z.infer<typeof outboxView>;

const columns =
  'id, tenant, run_id, pipeline, step, step_type, sum_of, state, attempts, next_at, error, created_at, finished_at';

// A sum of one is never sent: it only waits to see whether there will be more.
const list = statement(
  'list_outbox',
  `select ${columns}
  from cronwright.outbox
  where ($1::text is null or tenant = $1) and ($2::text[] is null or state = any($2)) and coalesce(sum_of, 2) > 1
    and ($3::timestamptz is null or created_at < $3 or (created_at = $3 and id < $4::uuid))
  order by created_at desc, id desc
  limit $5`,
);

// The states are written out: the index of calls that are not delivered has them in its condition.
const undelivered = statement(
  'list_undelivered_calls',
  `select ${columns} from cronwright.outbox
  where state in ('failed', 'pending') and attempts > 0 and coalesce(finished_at, $1::timestamptz) >= $1::timestamptz
  order by id desc limit $2`,
);

/** Calls of any tenant that were tried and have not arrived; those given up only where that was since the instant. */
export async function listUndelivered(db: Queryable, since: Date, limit: number): Promise<OutboxView[]> {
  return (await db.query<OutboxView>(undelivered, [since, limit])).rows;
}

export async function listOutbox(
  db: Queryable,
  filter: {
    /** null: of every tenant. */
    tenant: string | null;
    states?: readonly (typeof outboxStates)[number][] | undefined;
    cursor?: string | undefined;
    limit: number;
  },
): Promise<Page<OutboxView>> {
  const [at, id] = filter.cursor === undefined ? [] : unpackCursor(filter.cursor, ['number', 'uuid']);
  const { rows } = await db.query<OutboxView>(list, [
    filter.tenant,
    filter.states ?? null,
    at === undefined ? null : new Date(Number(at)),
    id ?? null,
    filter.limit + 1,
  ]);
  const items = rows.slice(0, filter.limit);
  const last = items.at(-1);
  const isMore = last !== undefined && rows.length > filter.limit;
  return { items, next_cursor: isMore ? packCursor([last.created_at.getTime(), last.id]) : null };
}
