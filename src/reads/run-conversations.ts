// What was said in the threads of a run.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { requireRun } from './get-run.ts';
import { instant, type Page } from './view-fields.ts';

export const messageView = z
  .object({
    thread: z.string(),
    seq: z.int().describe('its place in the thread, from 1'),
    role: z.enum(['system', 'user', 'assistant']),
    content: z.string(),
    step: z.string(),
    item: z.int().describe('-1: not of an item'),
    attempt: z.int(),
    said_in: z.uuid().nullable().describe('the run that this one took it over from'),
    at: instant,
  })
  .meta({ id: 'Message' });

export type MessageView = z.infer<typeof messageView>;

// A part of a run speaks in the threads of the whole.
const list = statement(
  'list_conversations',
  `select thread, seq, role, content, step, item, attempt, said_in, at
  from cronwright.conversations
  where run_id = $1 and ($2::text is null or thread = $2) and ($3::text is null or (thread, seq) > ($3, $4::int4))
  order by thread, seq limit $5`,
);

/** Thread by thread, oldest first. Throws `not_found`. */
export async function runConversations(
  db: Queryable,
  tenant: string | null,
  id: string,
  options: { thread?: string | undefined; cursor?: string | undefined; limit: number },
): Promise<Page<MessageView>> {
  await requireRun(db, tenant, id);
  const [thread, seq] =
    options.cursor === undefined ? [null, null] : unpackCursor(options.cursor, ['string', 'number']);
  const params = [id, options.thread ?? null, thread, seq, options.limit + 1];
  const { rows } = await db.query<MessageView>(list, params);
  const items = rows.slice(0, options.limit);
  const last = items.at(-1);
  return { items, next_cursor: last && rows.length > items.length ? packCursor([last.thread, last.seq]) : null };
}
