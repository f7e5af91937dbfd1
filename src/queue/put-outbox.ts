// Put: a step leaves a call of its own step type in the outbox, to be made apart from its run.
import { derivedId } from '../base/derived-id.ts';
import { type Queryable, statement } from '../db/database.ts';

export interface OutboxPut {
  runId: string;
  /** Of the claim of the run: a worker that has lost it puts nothing. */
  token: number;
  tenant: string;
  pipeline: string;
  step: string;
  stepType: string;
  /** JSON of a KeptValue. */
  input: string;
  /** Of the step: what is put again under the same key is there already. */
  idempotencyKey: string;
}

const put = statement(
  'put_outbox',
  `insert into cronwright.outbox (id, tenant, run_id, pipeline, step, step_type, input, state, attempts, next_at, token,
    created_at)
  select $1::uuid, $4::text, q.run_id, $5::text, $6::text, $7::text, $8::jsonb, 'pending', 0, coalesce($9::timestamptz, now()),
    0, date_trunc('milliseconds', coalesce($9::timestamptz, now()))
  from cronwright.queue q where q.run_id = $2::uuid and q.token = $3::int8
  on conflict do nothing`,
  { idempotent: true },
);

const find = statement('find_in_outbox', 'select id from cronwright.outbox where id = $1');

/** Its id; undefined where the run now belongs to another worker. */
export async function putOutbox(db: Queryable, call: OutboxPut, now: Date | null = null): Promise<string | undefined> {
  const id = derivedId(call.idempotencyKey);
  const { runId, token, tenant, pipeline, step, stepType, input } = call;
  const { count } = await db.query(put, [id, runId, token, tenant, pipeline, step, stepType, input, now]);
  if (count > 0) return id;
  return (await db.query(find, [id])).rows.length > 0 ? id : undefined;
}
