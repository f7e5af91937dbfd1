// What a call of a model came to, all or nothing: money and tokens in the ledger, the answer for later, the words of its thread.
import { uuidv7 } from 'uuidv7';
import type { Database } from '../db/database.ts';
import { appendConversationIn, type Exchange, whileTaken } from './conversations.ts';
import type { CostPlace, Spent } from './cost-place.ts';
import type { CostSums } from './cost-totals.ts';
import { addCostIn, settleCostIn } from './costs.ts';
import { keepLlmResponse, type LlmResponse } from './llm-responses.ts';

export interface LlmCall {
  by: CostPlace;
  /** What was held for it; absent: nothing was. */
  reservationId?: string | undefined;
  /** What it really cost; absent: nothing, and what was held is free again. */
  cost?: Spent | undefined;
  /** What equal requests are answered with from now on. */
  response?: { hash: string; response: LlmResponse; ttlMs: number } | undefined;
  /** What is said in a thread of the run. */
  exchange?: Exchange | undefined;
  /** `YYYY-MM` in UTC: for a cost without a reservation. */
  month: string;
}

export interface SettledCall {
  /** False where the run is no longer the caller's: the money is noted all the same, the words are not. */
  isOurs: boolean;
  sums: CostSums[];
}

export async function settleLlmCall(db: Database, call: LlmCall, now: Date | null = null): Promise<SettledCall> {
  const { by, reservationId, cost, response, exchange, month } = call;
  const id = uuidv7();
  return whileTaken(() =>
    db.transaction(
      async (tx) => {
        let sums: CostSums[] = [];
        if (reservationId !== undefined) sums = await settleCostIn(tx, by.tenant, reservationId, cost, now);
        else if (cost !== undefined) sums = await addCostIn(tx, id, by, cost, month, now);
        if (response !== undefined) await keepLlmResponse(tx, by, response, now);
        const isOurs = exchange === undefined || (await appendConversationIn(tx, by, exchange, now));
        return { isOurs, sums };
      },
      { idempotent: true },
    ),
  );
}
