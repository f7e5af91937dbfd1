// Finds the runs that a verb in bulk is meant for, oldest first, and counts them.
import { type Queryable, type Statement, statement } from '../db/database.ts';
import { isTerminal, type Origin, type RunState } from '../domain/run.ts';
import { liveState } from './live-state.ts';

export interface RunMatch {
  tenant: string;
  states: readonly RunState[];
  pipeline: string | null;
  schedule: string | null;
  origins: readonly Origin[] | null;
  /** Made at or after. */
  from: Date | null;
  /** Made before. */
  to: Date | null;
  ids: readonly string[] | null;
  /** Only runs with a greater id. */
  after: string | null;
}

export interface MatchedRun {
  id: string;
  pipeline: string;
  schedule: string | null;
  state: RunState;
  createdAt: Date;
}

/** Before all ids. */
const beforeAll = '00000000-0000-0000-0000-000000000000';

/** Counting stops here: nobody reads a larger number before acting on it. */
const mostCounted = 100_000;

const filters = `r.tenant = $1 and ($2::text is null or r.pipeline = $2) and ($3::text is null or r.schedule = $3)
      and ($4::text[] is null or r.origin = any($4)) and ($5::timestamptz is null or r.created_at >= $5)
      and ($6::timestamptz is null or r.created_at < $6) and ($7::uuid[] is null or r.id = any($7))
      and r.id > $8::uuid`;

const columns = 'r.id, r.pipeline, r.schedule, r.created_at';

// A live run's row in the queue says its state; one that ended has none, and its end is in an index unless it completed.
const sources = {
  live: `select ${columns}, ${liveState('q')} as state from cronwright.queue q join cronwright.runs r on r.id = q.run_id
    where q.tenant = $1 and q.run_id > $8::uuid and ${liveState('q')} = any($9::text[]) and r.state is null and ${filters}`,
  ended: `select ${columns}, r.state from cronwright.runs r where r.failure = any($9::text[]) and ${filters}`,
  completed: `select ${columns}, r.state from cronwright.runs r where r.state = any($9::text[]) and ${filters}`,
};
type Source = keyof typeof sources;

const find: Record<Source, Statement> = {
  live: statement('match_live_runs', `${sources.live} order by r.id limit $10`),
  ended: statement('match_ended_runs', `${sources.ended} order by r.id limit $10`),
  completed: statement('match_completed_runs', `${sources.completed} order by r.id limit $10`),
};

const count: Record<Source, Statement> = {
  live: statement('count_live_matches', `select count(*) as n from (${sources.live} limit $10) m`),
  ended: statement('count_ended_matches', `select count(*) as n from (${sources.ended} limit $10) m`),
  completed: statement('count_completed_matches', `select count(*) as n from (${sources.completed} limit $10) m`),
};

/** At most `limit`, by id. */
export async function matchRuns(db: Queryable, match: RunMatch, limit: number): Promise<MatchedRun[]> {
  const pages = await Promise.all(
    sourcesOf(match).map(([source, states]) =>
      db.query<Omit<MatchedRun, 'createdAt'> & { created_at: Date }>(find[source], paramsOf(match, states, limit)),
    ),
  );
  const byId = new Map(pages.flatMap((page) => page.rows).map((row) => [row.id, row]));
  return [...byId.values()]
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .slice(0, limit)
    .map(({ created_at: createdAt, ...row }) => ({ ...row, createdAt }));
}

/** No more than `mostCounted`. */
export async function countMatches(db: Queryable, match: RunMatch): Promise<number> {
  const counts = await Promise.all(
    sourcesOf(match).map(([source, states]) =>
      db.query<{ n: number }>(count[source], paramsOf(match, states, mostCounted)),
    ),
  );
  const total = counts.reduce((sum, { rows }) => sum + (rows[0]?.n ?? 0), 0);
  return Math.min(total, mostCounted);
}

function sourcesOf({ states }: RunMatch): [Source, RunState[]][] {
  const live = states.filter((state) => !isTerminal(state));
  const ended = states.filter((state) => isTerminal(state) && state !== 'completed');
  const all: [Source, RunState[]][] = [
    ['live', live],
    ['ended', ended],
    ['completed', states.includes('completed') ? ['completed'] : []],
  ];
  return all.filter(([, of]) => of.length > 0);
}

function paramsOf(match: RunMatch, states: readonly RunState[], limit: number): unknown[] {
  const { tenant, pipeline, schedule, origins, from, to, ids, after } = match;
  return [tenant, pipeline, schedule, origins, from, to, ids, after ?? beforeAll, states, limit];
}
