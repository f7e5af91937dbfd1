// Waits until runs have ended, for as long as a request may take, and counts how.
import { z } from 'zod';
import { createWakeUp } from '../base/wake-up.ts';
import { type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';
import { isTerminal, type Origin, type RunState, runStates } from '../domain/run.ts';
import type { EventBus } from '../observe/events.ts';

export const mostWaitedFor = 10_000;
/** Waits are told of ends that happen here; of others they hear at the next look. */
const lookEveryMs = { first: 100, last: 1_000 };

export const waitedFor = z
  .object({
    done: z.boolean().describe('all have ended'),
    total: z.int(),
    live: z.int().describe('runs that have not ended'),
    counts: z.partialRecord(z.enum(runStates), z.int()).describe('runs by state'),
    ids: z.array(z.uuid()).describe('the runs that are meant, to ask again for the same'),
  })
  .meta({ id: 'WaitedForRuns' });

export type WaitedForRuns = z.output<typeof waitedFor>;

export interface LiveRunFilter {
  pipeline?: string | undefined;
  schedule?: string | undefined;
  origin?: Origin | undefined;
}

const liveIds = statement(
  'list_live_ids',
  `select q.run_id as id from cronwright.queue q
  join cronwright.runs r on r.id = q.run_id
  where q.tenant = $1 and ($2::text is null or q.pipeline = $2) and ($3::text is null or q.schedule = $3)
    and ($4::text is null or r.origin = $4) and r.is_part is not true
  order by q.run_id limit $5`,
);

const countStates = statement(
  'count_states_of_runs',
  `select coalesce(r.state, q.state) as state, count(*)::int4 as runs
  from unnest($2::uuid[]) as u(id)
  join cronwright.runs r on r.id = u.id and r.tenant = $1
  left join cronwright.queue q on q.run_id = r.id
  group by 1`,
);

const knownIds = statement(
  'list_known_ids',
  `select r.id from unnest($2::uuid[]) as u(id) join cronwright.runs r on r.id = u.id and r.tenant = $1`,
);

/** The runs of a tenant that are live now, the oldest first. */
export async function listLiveIds(db: Queryable, tenant: string, filter: LiveRunFilter): Promise<string[]> {
  const { pipeline = null, schedule = null, origin = null } = filter;
  const { rows } = await db.query<{ id: string }>(liveIds, [tenant, pipeline, schedule, origin, mostWaitedFor]);
  return rows.map((row) => row.id);
}

/** Answers as soon as all have ended, or after `timeoutMs`. Throws `not_found` naming a run that there is not. */
export async function waitForRuns(
  { db, events }: { db: Queryable; events: EventBus },
  { tenant, ids, timeoutMs }: { tenant: string; ids: readonly string[]; timeoutMs: number },
): Promise<WaitedForRuns> {
  const wanted = [...new Set(ids)];
  await requireAll(db, tenant, wanted);
  const ended = createWakeUp();
  const unsubscribe = events.on('run.finished', () => ended.wake());
  const until = performance.now() + timeoutMs;
  try {
    for (let pauseMs = lookEveryMs.first; ; pauseMs = Math.min(pauseMs * 2, lookEveryMs.last)) {
      const answer = await count(db, tenant, wanted);
      const leftMs = until - performance.now();
      if (answer.done || leftMs <= 0) return answer;
      await ended.wait(Math.min(pauseMs, leftMs), neverAborted);
      // Ends come in crowds: one look for many of them.
      await new Promise((resolve) => setTimeout(resolve, Math.min(20, Math.max(0, until - performance.now()))));
    }
  } finally {
    unsubscribe();
  }
}

const neverAborted = new AbortController().signal;

async function requireAll(db: Queryable, tenant: string, ids: readonly string[]): Promise<void> {
  const { rows } = await db.query<{ id: string }>(knownIds, [tenant, ids]);
  if (rows.length === ids.length) return;
  const known = new Set(rows.map((row) => row.id));
  throw new CronwrightError('not_found', `there is no run "${ids.find((id) => !known.has(id))}"`);
}

async function count(db: Queryable, tenant: string, ids: readonly string[]): Promise<WaitedForRuns> {
  const { rows } = await db.query<{ state: RunState | null; runs: number }>(countStates, [tenant, ids]);
  const counts: Partial<Record<RunState, number>> = {};
  let live = 0;
  for (const { state, runs } of rows) {
    // A run that ended between the two tables counts at the next look.
    const shown = state ?? 'pending';
    counts[shown] = (counts[shown] ?? 0) + runs;
    if (!isTerminal(shown)) live += runs;
  }
  return { done: live === 0, total: ids.length, live, counts, ids: [...ids] };
}
