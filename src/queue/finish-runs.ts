// Finish: the end of runs, recorded exactly once; takes them out of the queue and gives their slots back.
import type { Queryable } from '../db/database.ts';
import type { FailureNotice } from '../domain/failure-notice.ts';
import type { StoredError } from '../domain/outcome.ts';
import type { TerminalState } from '../domain/run.ts';
import { type FencedWrite, fencedParams, fencedStatement } from './fenced-write.ts';
import { insertNotices, noticeParams } from './tell-failures.ts';

export interface RunFinish extends FencedWrite {
  state: TerminalState;
  error: StoredError | null;
  startedAt: Date;
  finishedAt: Date;
  attempt: number;
  claims: number;
  failedItems: number;
  progress: number;
  message: string | null;
  /** Whether it holds slots. */
  limited: boolean;
  /** Notifications that its failure causes. */
  notices?: readonly FailureNotice[] | undefined;
}

export interface FinishedRuns {
  /** Runs that ended by this call; the others were no longer the worker's. */
  finished: Set<string>;
  /** Slots that are free now. */
  freed: { tenant: string; key: string }[];
}

// The delete decides: only the token's owner removes the live row, and everything else of the statement reads only what
// the delete returned.
const fence = `delete from cronwright.queue q
      using unnest($1::uuid[], $2::int8[]) as f(id, token)
      where q.run_id = f.id and q.token = f.token
      returning q.run_id`;

const ended = `, ended as (
      update cronwright.runs r
      set state = e.state, failure = case when e.state = 'completed' then null else e.state end, error = e.error::jsonb,
        started_at = e.started_at, finished_at = e.finished_at, attempt = e.attempt, claims = e.claims, node = $22::uuid,
        failed_items = e.failed_items, progress = e.progress, message = e.message
      from unnest($1::uuid[], $23::text[], $24::text[], $25::timestamptz[], $26::timestamptz[], $27::int4[], $28::int8[],
        $29::int4[], $30::int2[], $31::text[])
        as e(id, state, error, started_at, finished_at, attempt, claims, failed_items, progress, message)
      where r.id = e.id and r.id = any(array(select run_id from fenced))
    )`;

const freed = `, freed as (
      update cronwright.slots set run_id = null
      where run_id = any(array(select run_id from fenced))
      returning tenant, key
    )`;

const told = `, notices as (
      ${insertNotices(32, 'u.run_id in (select run_id from fenced)')}
    )`;

const finishUnlimited = fencedStatement(
  'finish_runs',
  fence,
  ended,
  'select run_id, null::text as tenant, null::text as key from fenced',
);
const finishedAndFreed = `select run_id, null::text as tenant, null::text as key from fenced
    union all select null::uuid, tenant, key from freed`;
const finishLimited = fencedStatement('finish_limited_runs', fence, ended + freed, finishedAndFreed);
// A run's end and the notifications of it are one commit.
const finishTelling = fencedStatement('finish_telling_runs', fence, ended + freed + told, finishedAndFreed);

export async function finishRuns(
  db: Queryable,
  finishes: readonly RunFinish[],
  node: string | null,
  at: Date,
): Promise<FinishedRuns> {
  const limited = finishes.some((finish) => finish.limited);
  const notices = finishes.flatMap((finish) => finish.notices ?? []);
  const statement = notices.length > 0 ? finishTelling : limited ? finishLimited : finishUnlimited;
  const { rows } = await db.query<{ run_id: string | null; tenant: string; key: string }>(statement, [
    ...fencedParams(finishes, node, at),
    finishes.map((finish) => finish.state),
    finishes.map((finish) => (finish.error === null ? null : JSON.stringify(finish.error))),
    finishes.map((finish) => finish.startedAt),
    finishes.map((finish) => finish.finishedAt),
    finishes.map((finish) => finish.attempt),
    finishes.map((finish) => finish.claims),
    finishes.map((finish) => finish.failedItems),
    finishes.map((finish) => finish.progress),
    finishes.map((finish) => finish.message),
    ...(notices.length > 0 ? noticeParams(notices) : []),
  ]);
  const finished = new Set<string>();
  const free: FinishedRuns['freed'] = [];
  for (const row of rows) {
    if (row.run_id === null) free.push({ tenant: row.tenant, key: row.key });
    else finished.add(row.run_id);
  }
  return { finished, freed: free };
}
