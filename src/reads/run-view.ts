// A run as everyone outside sees it: its row, and while it lives the row in the queue that says its state.
import { z } from 'zod';
import { origins, type RunState, runStates } from '../domain/run.ts';
import { liveState } from '../queue/live-state.ts';
import { legacyNames } from './legacy-names.ts';
import { instant, maybeInstant, storedError } from './view-fields.ts';

export const runView = z
  .object({
    id: z.uuid(),
    tenant: z.string(),
    pipeline: z.string(),
    pipeline_version: z.string(),
    schedule: z.string().nullable(),
    nominal_at: maybeInstant.describe('the fire time this run stands for'),
    nominal_count: z.int().describe('nominal times that fell on one instant'),
    late: z.boolean().describe('started to make up for a missed time'),
    origin: z.enum(origins),
    state: z.enum(runStates),
    legacy_state: z
      .string()
      .describe('the state in the words of older job trackers: queued, processing, aborted, error'),
    legacy_phase: z
      .string()
      .describe(
        'the state in the words of older pipelines: IDLE, INITIALIZING, the label of a step in capitals, COMPLETED, …',
      ),
    wait_kind: z.string().nullable(),
    blocked_on: z.string().nullable().describe('the slot a pending run waits for'),
    requested: z.enum(['pause', 'cancel', 'rollback']).nullable().describe('asked for, not yet obeyed by the worker'),
    priority: z.int(),
    queue: z.string(),
    dry_run: z.boolean(),
    actor: z.string().nullable(),
    parent_id: z.string().nullable(),
    created_at: instant,
    run_at: maybeInstant.describe('not before this instant, as asked for'),
    wakes_at: maybeInstant.describe('when a scheduled, waiting or retrying run goes on by itself'),
    started_at: maybeInstant,
    finished_at: maybeInstant,
    duration_ms: z.number().nullable().describe('from the first start to the end, or until now'),
    step: z.string().nullable().describe('the step that runs now'),
    progress: z.int().describe('0 … 100'),
    message: z.string().nullable(),
    attempt: z.int().nullable(),
    claims: z.int().nullable(),
    node: z.string().nullable(),
    failed_items: z.int().nullable(),
    error: storedError.nullable(),
  })
  .meta({ id: 'Run' });

export type RunView = z.infer<typeof runView>;

// A run that waits for a part of itself is at the step that the part carries out.
const phase = `case when q.step is not null or q.wait_kind = 'children' then (
      select coalesce(l.one->>'label', l.one->>'id')
      from cronwright.pipelines p cross join lateral jsonb_array_elements(p.definition->'steps') as l(one)
      where p.tenant = r.tenant and p.id = r.pipeline and p.version = r.pipeline_version
        and l.one->>'id' = coalesce(case when q.wait_kind = 'children' then (
          select c.child->>'step' from cronwright.runs c
          where c.parent_id = r.id and c.child_open is true order by c.id desc limit 1
        ) end, q.step)
      limit 1
    ) end as phase`;

/** The columns behind a RunView, from `cronwright.runs r` and `cronwright.queue q`. */
export const runColumns = `r.id, r.tenant, r.pipeline, r.pipeline_version, r.schedule, r.nominal_at, r.nominal_count, r.late,
    r.origin, coalesce(r.state, ${liveState('q')}, 'pending') as state, q.wait_kind,
    case when q.state = 'pending' then q.blocked_on end as blocked_on, case when q.request_rollback then 'rollback' else q.request end as requested,
    coalesce(q.priority, r.priority) as priority, r.queue, r.dry_run, r.actor, r.parent_id, r.created_at, r.run_at,
    q.run_at as wakes_at, coalesce(r.started_at, q.started_at) as started_at, r.finished_at, q.step, ${phase},
    case when r.state = 'completed' then 100 else coalesce(r.progress, q.progress, 0) end as progress,
    coalesce(r.message, q.message) as message, coalesce(r.attempt, q.attempt) as attempt,
    coalesce(r.claims, q.claims) as claims, coalesce(r.node, q.node) as node, r.failed_items, r.error, now() as read_at`;

export type RunRow = Omit<RunView, 'legacy_state' | 'legacy_phase' | 'duration_ms'> & {
  /** Label of the step that runs now, or its id. */
  phase: string | null;
  read_at: Date;
};

export function toRunView({ read_at, phase, ...row }: RunRow): RunView {
  const state: RunState = row.state;
  const end = row.finished_at ?? read_at;
  return {
    ...row,
    ...legacyNames(state, row.wait_kind, phase ?? row.step),
    duration_ms: row.started_at === null ? null : Math.max(0, end.getTime() - row.started_at.getTime()),
  };
}
