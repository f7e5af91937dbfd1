// Which pipelines are in force, and how each one's newest run went.
import { z } from 'zod';
import { type Queryable, statement } from '../db/database.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import { runStates } from '../domain/run.ts';
import { listPauses, type Pause } from '../queue/pauses.ts';
import { pauseView, toPauseView } from './pause-view.ts';
import { anyJson, instant, type Page } from './view-fields.ts';

export const pipelineView = z
  .object({
    id: z.string(),
    tenant: z.string(),
    version: z.string(),
    description: z.string().nullable(),
    inputs: z.record(z.string(), anyJson),
    schedules: z.array(z.string()),
    sensors: z.array(z.string()),
    priority: z.int(),
    queue: z.string(),
    runs_on: z.array(z.string()).describe('labels that a node has to have'),
    timeout_ms: z.int(),
    concurrency: z.object({ limit: z.int(), group: z.string().optional() }).nullable(),
    steps: z.array(
      z.object({
        id: z.string(),
        label: z.string().nullable(),
        uses: z.string(),
        needs: z.array(z.string()),
        if: z.string().nullable(),
        foreach: z.boolean(),
        timeout_ms: z.int(),
      }),
    ),
    paused: pauseView.nullable().describe('its own pause, or that of its tenant; nothing of it starts'),
    live_runs: z.int(),
    last_run: z.object({ id: z.uuid(), state: z.enum(runStates), created_at: instant }).nullable(),
  })
  .meta({ id: 'Pipeline' });

export type PipelineView = z.infer<typeof pipelineView>;

const newestRuns = statement(
  'list_newest_runs',
  `select u.tenant, u.pipeline, r.id, r.created_at, coalesce(r.state, q.state, 'pending') as state,
    (select count(*) from cronwright.queue l where l.tenant = u.tenant and l.pipeline = u.pipeline) as live_runs
  from unnest($1::text[], $2::text[]) as u(tenant, pipeline)
  left join lateral (
    select id, created_at, state from cronwright.runs r
    where r.tenant = u.tenant and r.pipeline = u.pipeline and r.is_part is not true order by r.id desc limit 1
  ) r on true
  left join cronwright.queue q on q.run_id = r.id`,
);

interface NewestRow {
  tenant: string;
  pipeline: string;
  id: string | null;
  created_at: Date;
  state: (typeof runStates)[number];
  live_runs: number;
}

/** Views of the given pipelines, in their order. */
export async function describePipelines(db: Queryable, pipelines: readonly Pipeline[]): Promise<PipelineView[]> {
  if (pipelines.length === 0) return [];
  const [{ rows }, pauses] = await Promise.all([
    db.query<NewestRow>(newestRuns, [
      pipelines.map((pipeline) => pipeline.tenant),
      pipelines.map((pipeline) => pipeline.id),
    ]),
    listPauses(db, null),
  ]);
  const newest = new Map(rows.map((row) => [`${row.tenant}\n${row.pipeline}`, row]));
  return pipelines.map((pipeline) =>
    toView(pipeline, newest.get(`${pipeline.tenant}\n${pipeline.id}`), pauseOver(pipeline, pauses)),
  );
}

/** A page of pipelines by id; the cursor is the last id. */
export async function listPipelines(
  db: Queryable,
  pipelines: readonly Pipeline[],
  options: { cursor?: string | undefined; limit: number },
): Promise<Page<PipelineView>> {
  const after = options.cursor ?? '';
  const rest = [...pipelines].sort((a, b) => (a.id < b.id ? -1 : 1)).filter((pipeline) => pipeline.id > after);
  const page = rest.slice(0, options.limit);
  return {
    items: await describePipelines(db, page),
    next_cursor: rest.length > page.length ? (page.at(-1)?.id ?? null) : null,
  };
}

function pauseOver({ tenant, id }: Pipeline, pauses: readonly Pause[]): Pause | undefined {
  const ofTenant = pauses.filter((pause) => pause.tenant === tenant);
  return ofTenant.find((pause) => pause.pipeline === id) ?? ofTenant.find((pause) => pause.pipeline === null);
}

function toView(pipeline: Pipeline, newest: NewestRow | undefined, pause: Pause | undefined): PipelineView {
  return {
    id: pipeline.id,
    tenant: pipeline.tenant,
    version: pipeline.version,
    description: pipeline.description ?? null,
    inputs: { ...pipeline.inputs },
    schedules: pipeline.schedules.map((schedule) => schedule.id),
    sensors: (pipeline.sensors ?? []).map((sensor) => sensor.id),
    priority: pipeline.priority,
    queue: pipeline.queue,
    runs_on: [...(pipeline.runsOn ?? [])],
    timeout_ms: pipeline.timeoutMs,
    concurrency: pipeline.concurrency ?? null,
    steps: [...pipeline.steps, ...pipeline.onFailure, ...pipeline.finally].map((step) => ({
      id: step.id,
      label: step.label ?? null,
      uses: step.uses,
      needs: [...step.needs],
      if: step.if ?? null,
      foreach: step.foreach !== undefined,
      timeout_ms: step.timeoutMs,
    })),
    paused: pause ? toPauseView(pause) : null,
    live_runs: newest?.live_runs ?? 0,
    last_run: newest?.id ? { id: newest.id, state: newest.state, created_at: newest.created_at } : null,
  };
}
