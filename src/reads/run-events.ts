// What happened to a run, in order: its history as a list of numbered transitions.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import type { Transition } from '../domain/run.ts';
import { isUuid } from './cursor.ts';
import { enqueuedTransition } from './enqueued-transition.ts';
import { runNotFound } from './get-run.ts';
import { anyJson, instant, type Page } from './view-fields.ts';

export const eventView = z
  .object({
    seq: z.int().describe('1, 2, 3, … without a hole'),
    at: instant,
    event: z.string(),
    from: z.string().nullable(),
    to: z.string().nullable(),
    step: z.string().nullable(),
    item: z.int().nullable(),
    attempt: z.int().nullable(),
    node: z.string().nullable(),
    actor: z.string().nullable(),
    reason: z.string().nullable(),
    data: anyJson,
  })
  .meta({ id: 'Event' });

export type EventView = z.infer<typeof eventView>;

const enqueued = statement(
  'get_run_enqueued',
  `select created_at, run_at, origin, actor, parent_id, schedule from cronwright.runs
  where id = $1 and ($2::text is null or tenant = $2)`,
);

// A row holds at least one transition, so `limit` rows are at least as many events.
const stored = statement(
  'list_run_history',
  `select seq, node, transitions from cronwright.history where run_id = $1 and seq > $2 order by seq limit $3`,
);

interface EnqueuedRow {
  created_at: Date;
  run_at: Date | null;
  origin: string;
  actor: string | null;
  parent_id: string | null;
  schedule: string | null;
}

/** At most `limit` events after number `after`; the cursor is a number as well. Throws `not_found`. */
export async function runEvents(
  db: Queryable,
  tenant: string | null,
  id: string,
  options: { after: number; limit: number },
): Promise<Page<EventView>> {
  const run = isUuid(id) ? (await db.query<EnqueuedRow>(enqueued, [id, tenant])).rows[0] : undefined;
  if (!run) throw runNotFound(id);
  const { rows } = await db.query<{ seq: number; node: string | null; transitions: Transition[] }>(stored, [
    id,
    options.after,
    options.limit + 1,
  ]);
  const all = [...firstEvent(run), ...rows.flatMap(eventsOfRow)].filter((event) => event.seq > options.after);
  const items = all.slice(0, options.limit);
  return { items, next_cursor: all.length > items.length ? String(items.at(-1)?.seq ?? options.after) : null };
}

function firstEvent(run: EnqueuedRow): EventView[] {
  const { created_at: at, run_at: runAt, parent_id: parentId, origin, actor, schedule } = run;
  const transitions = [enqueuedTransition({ at, runAt, origin, actor, parentId, schedule })];
  return eventsOfRow({ seq: 1, node: null, transitions });
}

/** `seq` of a row is the number of its last transition. */
export function eventsOfRow(row: {
  seq: number;
  node: string | null;
  transitions: readonly Transition[];
}): EventView[] {
  const before = row.seq - row.transitions.length;
  return row.transitions.map((one, i) => ({
    seq: before + i + 1,
    at: new Date(one.at),
    event: one.event,
    from: one.from ?? null,
    to: one.to ?? null,
    step: one.step ?? null,
    item: one.item ?? null,
    attempt: one.attempt ?? null,
    node: one.node ?? row.node,
    actor: one.actor ?? null,
    reason: one.reason ?? null,
    data: one.data ?? null,
  }));
}
