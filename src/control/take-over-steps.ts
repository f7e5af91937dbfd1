// What a retry and a fork share: reading the run they go on from, and taking its checkpoints over into the new one.
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import type { Pipeline } from '../domain/pipeline.ts';
import type { StepState } from '../domain/run.ts';
import { takeOverConversations } from '../store/conversations.ts';
import { loadPipelineVersion } from '../store/pipelines.ts';

export interface SourceRun {
  pipeline_version: string;
  schedule: string | null;
  nominal_at: Date | null;
  nominal_count: number;
  late: boolean;
  priority: number;
  inputs: Record<string, unknown> | null;
  dry_run: boolean;
  /** The run whose step it carries out. */
  part_of: string | null;
}

const source = statement(
  'read_source_run',
  `select pipeline_version, schedule, nominal_at, nominal_count, late, priority, inputs, dry_run,
    case when is_part then parent_id end as part_of
  from cronwright.runs where id = $1`,
);

const ownSteps = statement(
  'read_source_steps',
  'select step, state from cronwright.step_runs where run_id = $1 and item = -1',
);

// Completed items of a step that did not complete are taken over too: the step goes on with the others. Token 0 says that it was
// another run that did it. What a fork keeps stays the work of the run it was forked from.
const copySteps = statement(
  'copy_checkpoints',
  `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, output, error, checkpoint,
    started_at, finished_at, retry_at, rate_limited_ms, edited, done_by, is_borrowed)
  select $2, step, item, tenant, state, attempts, retries, 0, output, error, checkpoint, started_at, finished_at, null,
    rate_limited_ms, edited, coalesce(done_by, $1),
    (select case when n.origin = 'fork' then true end from cronwright.runs n where n.id = $2) or is_borrowed
  from cronwright.step_runs
  where run_id = $1 and (step = any($3) or (item >= 0 and state = 'completed' and step = any($4)))
  on conflict do nothing`,
);

// What somebody put in place of a step's output stands also where the step runs again.
const copyEdits = statement(
  'copy_edited_outputs',
  `insert into cronwright.step_runs (run_id, step, item, tenant, state, attempts, retries, token, rate_limited_ms, edited)
  select $2, step, item, tenant, 'pending', 0, 0, 0, 0, edited
  from cronwright.step_runs where run_id = $1 and item = -1 and edited is not null
  on conflict do nothing`,
);

// Where the newest files of the old run are: what other nodes have of them is not what its checkpoints speak of.
const noteHome = statement(
  'note_home_of_files',
  `update cronwright.queue q set home = s.home
  from (
    select coalesce(n.home, l.home) as home
    from cronwright.runs r
    left join cronwright.queue l on l.run_id = r.id
    left join cronwright.nodes n on n.id = coalesce(r.node, l.node)
    where r.id = $1
  ) s
  where q.run_id = $2`,
);

// The rollback of an ended run is a run of a person's with that run as its parent; retries and forks have origins of their own.
const rollbackOf = statement(
  'find_rollback_of_run',
  `select c.id from cronwright.runs c where c.parent_id = $1 and c.origin in ('api', 'cli') and c.child is null
    and (c.state is null or c.state = 'rolled_back') order by c.id desc limit 1`,
);

export async function readSourceRun(tx: Queryable, id: string): Promise<SourceRun> {
  const row = (await tx.query<SourceRun>(source, [id])).rows[0];
  if (!row) throw new CronwrightError('not_found', `there is no run "${id}"`);
  if (row.part_of !== null) {
    throw new CronwrightError('conflict', `run "${id}" is a part of run "${row.part_of}": do it with that one`);
  }
  return row;
}

export async function readStepStates(tx: Queryable, id: string): Promise<Map<string, StepState>> {
  const { rows } = await tx.query<{ step: string; state: StepState }>(ownSteps, [id]);
  return new Map(rows.map((row) => [row.step, row.state]));
}

/** Both runs are there already; nothing of the new one has begun. */
export async function takeOverSteps(
  tx: Queryable,
  runs: { from: string; to: string },
  steps: { kept: readonly string[]; continued: readonly string[] },
): Promise<void> {
  if (steps.kept.length + steps.continued.length > 0) await refuseUndone(tx, runs.from);
  await tx.query(copySteps, [runs.from, runs.to, steps.kept, steps.continued]);
  await takeOverConversations(tx, runs, steps);
  await noteHomeOfFiles(tx, runs);
}

/** Call it after `takeOverSteps`. */
export async function takeOverEdits(tx: Queryable, runs: { from: string; to: string }): Promise<void> {
  await tx.query(copyEdits, [runs.from, runs.to]);
}

/** The run that undoes the ended run `id`, or has done so. */
export async function findRollbackOf(tx: Queryable, id: string): Promise<string | undefined> {
  return (await tx.query<{ id: string }>(rollbackOf, [id])).rows[0]?.id;
}

async function refuseUndone(tx: Queryable, id: string): Promise<void> {
  const undone = await findRollbackOf(tx, id);
  if (undone === undefined) return;
  const message = `run "${id}" was undone by run "${undone}": what its steps did is no longer there to go on from`;
  throw new CronwrightError('conflict', message, { details: { undone_by: undone } });
}

export async function noteHomeOfFiles(tx: Queryable, runs: { from: string; to: string }): Promise<void> {
  await tx.query(noteHome, [runs.from, runs.to]);
}

/** The new run stands for the same nominal time. */
export function scheduleOf(from: SourceRun, pipeline: Pipeline) {
  if (from.schedule === null) return {};
  const definition = pipeline.schedules.find((schedule) => schedule.id === from.schedule);
  return {
    schedule: {
      id: from.schedule,
      nominalAt: from.nominal_at,
      nominalCount: from.nominal_count,
      late: from.late,
      exclusive: definition !== undefined && definition.overlap !== 'allow',
    },
  };
}

export async function requireVersion(tx: Queryable, tenant: string, id: string, version: string): Promise<Pipeline> {
  const pipeline = await loadPipelineVersion(tx, tenant, id, version);
  if (pipeline) return pipeline;
  throw new CronwrightError('conflict', `version ${version} of pipeline "${id}" is no longer stored: start a new run`);
}
