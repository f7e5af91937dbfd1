// Which runs are there: a page of them, newest first.
import { idAt } from '../base/id-at.ts';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal, type Origin, type RunState, runStates } from '../domain/run.ts';
import { liveState } from '../queue/live-state.ts';
import { packCursor, unpackIdCursor } from './cursor.ts';
import { type RunRow, type RunView, runColumns, toRunView } from './run-view.ts';
import type { Page } from './view-fields.ts';

export interface RunFilter {
  /** null: of every tenant. */
  tenant: string | null;
  states?: readonly RunState[] | undefined;
  pipeline?: string | undefined;
  schedule?: string | undefined;
  origins?: readonly Origin[] | undefined;
  /** Created at or after. */
  from?: Date | undefined;
  /** Created before. */
  to?: Date | undefined;
  cursor?: string | undefined;
  limit: number;
}

// Ids are made when a run is, so their order is the order of time, and a span of time is a span of ids: a page is one
// walk down an index. A caller's clock may be off by the slack; created_at decides.
const matches = `($3::text is null or r.schedule = $3) and ($4::text[] is null or r.origin = any($4))
      and ($5::timestamptz is null or r.created_at >= $5) and ($6::timestamptz is null or r.created_at < $6)
      and ($7::uuid is null or r.id < $7) and ($8::uuid is null or r.id >= $8)`;

const tenants = `(
    select $1::text as tenant where $1 is not null
    union select distinct p.tenant from cronwright.pipelines p where $1 is null
  ) t`;

const views = `left join cronwright.queue q on q.run_id = r.id
  order by r.id desc limit $9`;

// "is true" keeps the planner from taking an index for the tenant and sorting all of its runs, which it does while it has
// no statistics.
const everyPipeline = (name: string, where: string) =>
  statement(
    name,
    `select ${runColumns}
  from (
    select * from cronwright.runs r
    where ($1::text is null or r.tenant = $1) is true and $2::text is null and ${where} and ${matches}
    order by r.id desc limit $9
  ) r
  ${views}`,
  );

// One walk down runs_of_pipeline for each tenant.
const onePipeline = (name: string, where: string) =>
  statement(
    name,
    `select ${runColumns}
  from ${tenants}
  cross join lateral (
    select * from cronwright.runs r
    where r.tenant = t.tenant and r.pipeline = $2::text and ${where} and ${matches}
    order by r.id desc limit $9
  ) r
  ${views}`,
  );

const newest = everyPipeline('list_runs', 'true');
const newestOfPipeline = onePipeline('list_runs_of_pipeline', 'true');
const completed = everyPipeline('list_completed_runs', "(r.state = 'completed') is true");
const completedOfPipeline = onePipeline('list_completed_runs_of_pipeline', "(r.state = 'completed') is true");

// One walk down runs_not_completed for each tenant and way to end: failures are found beside any number of completed runs.
const notCompleted = statement(
  'list_failed_runs',
  `select ${runColumns}
  from ${tenants}
  cross join unnest($10::text[]) as f(failure)
  cross join lateral (
    select * from cronwright.runs r
    where r.tenant = t.tenant and r.failure = f.failure and ($2::text is null or r.pipeline = $2) is true and ${matches}
    order by r.id desc limit $9
  ) r
  ${views}`,
);

// A run's row in the queue has all that is asked for but its origin.
const live = statement(
  'list_live_runs',
  `select ${runColumns}
  from (
    select * from cronwright.queue q
    where (${liveState('q')}) = any($10::text[]) and ($1::text is null or q.tenant = $1) and ($2::text is null or q.pipeline = $2)
      and ($3::text is null or q.schedule = $3)
      and ($4::text[] is null
        or exists (select 1 from cronwright.runs o where o.id = q.run_id and o.origin = any($4)))
      and ($5::timestamptz is null or q.enqueued_at >= $5) and ($6::timestamptz is null or q.enqueued_at < $6)
      and ($7::uuid is null or q.run_id < $7) and ($8::uuid is null or q.run_id >= $8)
    order by q.run_id desc limit $9
  ) q
  join cronwright.runs r on r.id = q.run_id
  where r.state is null
  order by r.id desc limit $9`,
);

/** At most `limit` runs. Throws `invalid_input` for a cursor or a state that does not exist. */
export async function listRuns(db: Queryable, filter: RunFilter): Promise<Page<RunView>> {
  const params = filterParams(filter);
  const rows = await readPages(db, filter.states, params);
  rows.sort((a, b) => (a.id < b.id ? 1 : -1));
  const items = rows.slice(0, filter.limit).map(toRunView);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > filter.limit && last ? packCursor([last.id]) : null };
}

/** Reads a comma list of states. Throws `invalid_input` naming the unknown one. */
export function readStates(text: string | undefined): RunState[] | undefined {
  if (text === undefined) return undefined;
  return text.split(',').map((word) => {
    const state = runStates.find((known) => known === word.trim());
    if (state) return state;
    throw new CronwrightError('invalid_input', `"${word}" is not a state of a run`, {
      problems: [{ path: 'query.state', message: 'unknown state', got: word, expected: `of: ${runStates.join(', ')}` }],
    });
  });
}

function filterParams(filter: RunFilter): unknown[] {
  return [
    filter.tenant,
    // A schedule's runs are those of one pipeline: its name makes the index usable.
    filter.pipeline ?? filter.schedule?.split('.')[0] ?? null,
    filter.schedule ?? null,
    filter.origins ?? null,
    filter.from ?? null,
    filter.to ?? null,
    unpackIdCursor(filter.cursor) ?? (filter.to ? idAt(filter.to.getTime() + clockSlackMs) : null),
    filter.from ? idAt(filter.from.getTime() - clockSlackMs) : null,
    filter.limit + 1,
  ];
}

async function readPages(
  db: Queryable,
  states: readonly RunState[] | undefined,
  params: readonly unknown[],
): Promise<RunRow[]> {
  const ofPipeline = params[1] !== null;
  if (!states) return (await db.query<RunRow>(ofPipeline ? newestOfPipeline : newest, params)).rows;
  const failures = states.filter((state) => isTerminal(state) && state !== 'completed');
  const living = states.filter((state) => !isTerminal(state));
  const pages = [
    ...(states.includes('completed') ? [db.query<RunRow>(ofPipeline ? completedOfPipeline : completed, params)] : []),
    ...(failures.length > 0 ? [db.query<RunRow>(notCompleted, [...params, failures])] : []),
    ...(living.length > 0 ? [db.query<RunRow>(live, [...params, living])] : []),
  ];
  return uniqueById((await Promise.all(pages)).flatMap((page) => page.rows));
}

/** A run that ended between two of the queries is in both answers. */
function uniqueById(rows: readonly RunRow[]): RunRow[] {
  const byId = new Map<string, RunRow>();
  for (const row of rows) if (!byId.has(row.id) || isTerminal(row.state)) byId.set(row.id, row);
  return [...byId.values()];
}

/** More than clocks of nodes and database are ever apart without an alert. */
const clockSlackMs = 600_000;
