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
  `select r.created_at, r.run_at, r.origin, r.actor, r.parent_id, r.schedule, p.paused_by, p.reason as paused_why
  from cronwright.runs r
  left join cronwright.queue q on q.run_id = r.id and q.state = 'paused'
  left join cronwright.pauses p on p.id = q.held_by
  where r.id = $1 and ($2::text is null or r.tenant = $2)`,
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
  /** Of the pause of its pipeline or tenant that holds it now. */
  paused_by: string | null;
  paused_why: string | null;
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
  const all = [...firstEvent(run, rows[0]?.transitions[0]), ...rows.flatMap(eventsOfRow)].filter(
    (event) => event.seq > options.after,
  );
  const items = all.slice(0, options.limit);
  return { items, next_cursor: all.length > items.length ? String(items.at(-1)?.seq ?? options.after) : null };
}

/** A run that was held from the start has left `paused` first, or nothing has happened to it yet. */
function firstEvent(run: EnqueuedRow, next: Transition | undefined): EventView[] {
  const { created_at: at, run_at: runAt, parent_id: parentId, origin, actor, schedule } = run;
  const isBornPaused = next === undefined ? run.paused_by !== null : next.from === 'paused';
  const pause = next === undefined ? { by: run.paused_by, reason: run.paused_why } : { by: null, reason: null };
  const bornPaused = isBornPaused ? pause : undefined;
  const transitions = [enqueuedTransition({ at, runAt, origin, actor, parentId, schedule, bornPaused })];
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
