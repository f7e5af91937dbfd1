// One run whole: its state, the summary of its steps, how far it is, why it failed and whom it came from.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal } from '../domain/run.ts';
import { isUuid } from './cursor.ts';
import { type RunRow, runColumns, runView, toRunView } from './run-view.ts';
import { anyJson, maybeInstant } from './view-fields.ts';

export const runDetail = runView
  .extend({
    inputs: z.record(z.string(), anyJson).nullable(),
    steps: z
      .object({
        total: z.int(),
        pending: z.int(),
        running: z.int(),
        waiting: z.int(),
        completed: z.int(),
        failed: z.int(),
        skipped: z.int(),
        cancelled: z.int(),
        compensated: z.int(),
      })
      .describe('steps by state'),
    eta: maybeInstant.describe('when it ends if it goes on as it did; none at 0 %'),
    children: z.array(z.uuid()).describe('runs made from this one, newest first, at most 100'),
    traceparent: z.string().nullable(),
  })
  .meta({ id: 'RunDetail' });

export type RunDetail = z.infer<typeof runDetail>;

const one = statement(
  'get_run',
  `select ${runColumns}, r.inputs, r.traceparent,
    (select jsonb_object_agg(s.state, s.n) from (
      select state, count(*) as n from cronwright.step_runs where run_id = r.id and item = -1 group by state) s) as begun,
    (select jsonb_array_length(coalesce(p.definition->'steps', '[]')) from cronwright.pipelines p
      where p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version) as defined,
    array(select c.id from cronwright.runs c where c.parent_id = r.id order by c.id desc limit 100) as children
  from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
  where r.id = $1 and ($2::text is null or r.tenant = $2)`,
);

type DetailRow = RunRow & {
  inputs: Record<string, unknown> | null;
  traceparent: string | null;
  begun: Partial<Record<keyof RunDetail['steps'], number>> | null;
  defined: number | null;
  children: string[];
};

/** Throws `not_found`. */
export async function getRun(db: Queryable, tenant: string | null, id: string): Promise<RunDetail> {
  const row = isUuid(id) ? (await db.query<DetailRow>(one, [id, tenant])).rows[0] : undefined;
  if (!row) throw runNotFound(id);
  const { inputs, traceparent, begun, defined, children, ...run } = row;
  const view = toRunView(run);
  return {
    ...view,
    inputs,
    steps: countSteps(begun ?? {}, defined ?? 0),
    eta: linearEta(view.state === 'running' ? run.started_at : null, view.progress, run.read_at),
    children,
    traceparent,
  };
}

export function runNotFound(id: string): CronwrightError {
  return new CronwrightError('not_found', `there is no run "${id}"`);
}

/** Throws `not_found` unless the run is there; says whether it has ended. */
export async function requireRun(
  db: Queryable,
  tenant: string | null,
  id: string,
): Promise<{ state: RunRow['state']; ended: boolean }> {
  const row = isUuid(id) ? (await db.query<{ state: RunRow['state'] }>(state, [id, tenant])).rows[0] : undefined;
  if (!row) throw runNotFound(id);
  return { state: row.state, ended: isTerminal(row.state) };
}

const state = statement(
  'get_run_state',
  `select coalesce(r.state, q.state, 'pending') as state
  from cronwright.runs r left join cronwright.queue q on q.run_id = r.id
  where r.id = $1 and ($2::text is null or r.tenant = $2)`,
);

/** Now + elapsed · what is left / what is done. */
export function linearEta(startedAt: Date | null, progress: number, now: Date): Date | null {
  if (startedAt === null || progress <= 0 || progress > 100) return null;
  const elapsed = Math.max(0, now.getTime() - startedAt.getTime());
  return new Date(now.getTime() + (elapsed * (100 - progress)) / progress);
}

function countSteps(begun: Partial<Record<keyof RunDetail['steps'], number>>, defined: number): RunDetail['steps'] {
  const count = (name: keyof RunDetail['steps']) => begun[name] ?? 0;
  const known = Object.values(begun).reduce((sum, n) => sum + n, 0);
  const total = Math.max(defined, known);
  return {
    total,
    pending: count('pending') + total - known,
    running: count('running'),
    waiting: count('waiting'),
    completed: count('completed'),
    failed: count('failed'),
    skipped: count('skipped'),
    cancelled: count('cancelled'),
    compensated: count('compensated'),
  };
}
