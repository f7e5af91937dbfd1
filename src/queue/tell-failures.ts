// Puts the notifications of failed runs into the outbox, within the statement or the transaction that ends the runs.
import { type Queryable, statement } from '../db/database.ts';
import type { FailureNotice } from '../domain/failure-notice.ts';

/** The step that calls from the settings' `on_failure` are listed under. */
const onFailureStep = 'on_failure';

/**
 * Parameters `$first`… are those of `noticeParams`. Many notices of one id become one row: the first of them, or the sum of
 * them, of which the newest is shown. A row that is on its way stays as it is. Sorted, so that two of these cannot wait for
 * each other in a circle.
 */
export function insertNotices(first: number, where: string): string {
  const [ids, runs, tenants, pipelines, types, inputs, sums, created, due] = Array.from(
    { length: 9 },
    (_, i) => first + i,
  );
  return `insert into cronwright.outbox (id, tenant, run_id, pipeline, step, step_type, input, sum_of, state, attempts, next_at,
        token, created_at)
      select n.id, min(n.tenant), (array_agg(n.run_id order by n.place))[1], min(n.pipeline), '${onFailureStep}',
        min(n.step_type), (array_agg(n.input order by n.place))[1]::jsonb,
        case when bool_or(n.is_sum) then count(*) end, 'pending', 0, min(n.due_at), 0, min(n.created_at)
      from (
        select u.*, row_number() over (order by u.created_at, u.run_id) * case when u.is_sum then -1 else 1 end as place
        from unnest($${ids}::uuid[], $${runs}::uuid[], $${tenants}::text[], $${pipelines}::text[], $${types}::text[],
          $${inputs}::text[], $${sums}::bool[], $${created}::timestamptz[], $${due}::timestamptz[])
          as u(id, run_id, tenant, pipeline, step_type, input, is_sum, created_at, due_at)
        where ${where}
      ) n
      group by n.id
      order by n.id
      on conflict (id) do update
      set sum_of = outbox.sum_of + excluded.sum_of, run_id = excluded.run_id, input = excluded.input
      where outbox.sum_of is not null and outbox.state = 'pending' and outbox.attempts = 0`;
}

export function noticeParams(notices: readonly FailureNotice[]): unknown[] {
  return [
    notices.map((notice) => notice.id),
    notices.map((notice) => notice.runId),
    notices.map((notice) => notice.tenant),
    notices.map((notice) => notice.pipeline),
    notices.map((notice) => notice.stepType),
    notices.map((notice) => notice.input),
    notices.map((notice) => notice.isSum),
    notices.map((notice) => notice.createdAt),
    notices.map((notice) => notice.dueAt),
  ];
}

const tell = statement('tell_failures', insertNotices(1, 'true'));

/** Call it in the transaction that ends the runs: the sums count each call of this once. */
export async function tellFailures(tx: Queryable, notices: readonly FailureNotice[]): Promise<void> {
  if (notices.length > 0) await tx.query(tell, noticeParams(notices));
}
