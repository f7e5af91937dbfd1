// Answers a repeated request as it was answered the first time: the key is kept in the transaction of the work itself.
import { createHash } from 'node:crypto';
import { type Database, type Queryable, statement } from '../db/database.ts';
import { CronwrightError } from '../domain/errors.ts';

export interface IdempotentRequest {
  tenant: string;
  /** The caller's `Idempotency-Key`. */
  key: string;
  /** What was asked for; another request under the same key is refused. */
  request: unknown;
}

export interface KeptAnswer<Answer> {
  status: number;
  answer: Answer;
}

const remember = statement(
  'insert_idempotency_key',
  `insert into cronwright.idempotency_keys (tenant, key, request_hash, status, answer, created_at)
  values ($1, $2, $3, $4, $5::jsonb, now()) on conflict do nothing returning key`,
);

const recall = statement(
  'get_idempotency_key',
  'select request_hash, status, answer from cronwright.idempotency_keys where tenant = $1 and key = $2',
);

interface KeptRow<Answer> {
  request_hash: string;
  status: number;
  answer: Answer;
}

/** What an earlier request under this key was answered with. Throws `conflict` where it asked for something else. */
export async function recallAnswer<Answer>(
  db: Queryable,
  request: IdempotentRequest,
): Promise<KeptAnswer<Answer> | undefined> {
  const row = (await db.query<KeptRow<Answer>>(recall, [request.tenant, request.key])).rows[0];
  if (!row) return undefined;
  if (row.request_hash !== hashOf(request)) {
    throw new CronwrightError('conflict', `the Idempotency-Key "${request.key}" was used for another request`, {
      details: { idempotency_key: request.key },
    });
  }
  return { status: row.status, answer: row.answer };
}

/** Keeps the answer under the key, for work whose answer is known only once it is done; within its transaction. */
export async function rememberAnswer<Answer>(
  tx: Queryable,
  request: IdempotentRequest,
  { status, answer }: KeptAnswer<Answer>,
): Promise<void> {
  await tx.query(remember, [request.tenant, request.key, hashOf(request), status, JSON.stringify(answer)]);
}

/**
 * Does `work` once for a key. The key goes in first: a second request waits for the first one's commit and then finds
 * its answer. `work` must be safe to repeat (client-made ids).
 */
export function answerOnce<Answer>(
  db: Database,
  request: IdempotentRequest,
  first: KeptAnswer<Answer>,
  work: (tx: Queryable) => Promise<void>,
): Promise<KeptAnswer<Answer> & { repeated: boolean }> {
  return db.transaction(
    async (tx) => {
      const { rows } = await tx.query(remember, [
        request.tenant,
        request.key,
        hashOf(request),
        first.status,
        JSON.stringify(first.answer),
      ]);
      if (rows.length === 0) {
        const kept = await recallAnswer<Answer>(tx, request);
        if (kept) return { ...kept, repeated: true };
      }
      await work(tx);
      return { ...first, repeated: false };
    },
    { idempotent: true },
  );
}

function hashOf({ request }: IdempotentRequest): string {
  return createHash('sha256').update(JSON.stringify(request)).digest('hex');
}
