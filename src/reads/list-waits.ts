// What live runs ask of people, oldest first; and all that one run has asked, with the answers.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { askedKinds, decisionsOf } from '../domain/wait.ts';
import { packCursor, unpackCursor } from './cursor.ts';
import { anyJson, instant, maybeInstant, type Page } from './view-fields.ts';

export const waitView = z
  .object({
    run_id: z.uuid(),
    tenant: z.string(),
    pipeline: z.string(),
    step: z.string(),
    item: z.int().nullable(),
    key: z.string().describe('names the question within its step and item'),
    kind: z.enum(askedKinds),
    asked_by: z
      .enum(['step', 'exhausted', 'error', 'interrupted', 'fix'])
      .describe('the step; or its worker, because the step failed or was interrupted; fix: a repair without a person'),
    message: z.string().nullable(),
    form: anyJson.describe('what helps to answer; where the worker asks, the error and the input of the step'),
    choices: z.array(z.string()).nullable().describe('the decisions there are; null: any'),
    approvers: z.array(z.string()).nullable().describe('the actors who may answer; null: anybody'),
    starter_may_answer: z.boolean(),
    asked_at: instant,
    timeout_at: maybeInstant,
    on_timeout: z.enum(['fail', 'approve', 'reject', 'continue']),
    state: z.enum(['open', 'answered', 'timed_out', 'cancelled']),
    decision: z.string().nullable(),
    data: anyJson,
    answered_by: z.string().nullable(),
    answered_at: maybeInstant,
  })
  .meta({ id: 'Wait' });

export type WaitView = z.infer<typeof waitView>;

const columns = `w.run_id, w.tenant, r.pipeline, w.step, nullif(w.item, -1) as item, w.key, w.kind, w.asked_by, w.message, w.form,
    w.choices, w.approvers, w.starter_may_answer, w.asked_at, w.timeout_at, w.on_timeout, w.state, w.decision, w.data,
    w.answered_by, w.answered_at`;

// Joined with the live rows: a question of a run that has ended asks nobody any more.
const list = statement(
  'list_open_waits',
  `select ${columns}
  from cronwright.waits w
  join cronwright.queue q on q.run_id = w.run_id
  join cronwright.runs r on r.id = w.run_id
  where w.state = 'open' and q.rolls_back is not true and ($1::text is null or w.tenant = $1) and ($2::bool or w.kind <> 'timer')
    and ($3::text is null or r.pipeline = $3)
    and ($4::timestamptz is null or (date_trunc('milliseconds', w.asked_at), w.run_id, w.step, w.item, w.key) > ($4, $5::uuid, $6, $7::int4, $8))
  order by date_trunc('milliseconds', w.asked_at), w.run_id, w.step, w.item, w.key
  limit $9`,
);

const ofRun = statement(
  'list_waits_of_run',
  `select ${columns}
  from cronwright.waits w join cronwright.runs r on r.id = w.run_id
  where w.run_id = $1
  order by w.asked_at desc, w.key
  limit 200`,
);

export async function listOpenWaits(
  db: Queryable,
  options: {
    tenant: string | null;
    pipeline?: string | undefined;
    timers?: boolean;
    cursor?: string | undefined;
    limit: number;
  },
): Promise<Page<WaitView>> {
  const { tenant, pipeline = null, timers = false, cursor, limit } = options;
  const after =
    cursor === undefined
      ? [null, null, '', -1, '']
      : unpackCursor(cursor, ['string', 'uuid', 'string', 'number', 'string']);
  const { rows } = await db.query<WaitView>(list, [tenant, timers, pipeline, ...after, limit + 1]);
  const items = rows.slice(0, limit).map(toView);
  const last = items.at(-1);
  const next = rows.length > limit && last;
  return { items, next_cursor: next ? packCursor(positionOf(last)) : null };
}

/** All of one run, newest first, at most 200. */
export async function waitsOfRun(db: Queryable, runId: string): Promise<WaitView[]> {
  return (await db.query<WaitView>(ofRun, [runId])).rows.map(toView);
}

function toView(row: WaitView): WaitView {
  return { ...row, choices: decisionsOf(row)?.slice() ?? null };
}

function positionOf({ asked_at, run_id, step, item, key }: WaitView): (string | number)[] {
  return [asked_at.toISOString(), run_id, step, item ?? -1, key];
}
