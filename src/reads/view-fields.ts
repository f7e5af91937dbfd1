// The fields that several answers share, with the shape that the API documents for them.
import { z } from 'zod';

/** A Date here, an ISO 8601 instant in UTC in JSON. */
export const instant = z.date().meta({ type: 'string', format: 'date-time' });

/** An instant, or null. */
export const maybeInstant = z
  .date()
  .nullable()
  .meta({ type: ['string', 'null'], format: 'date-time' });

/** Any JSON value. */
export const anyJson = z.unknown().meta({ description: 'any JSON value' });

export const storedError = z
  .object({
    name: z.string(),
    message: z.string(),
    class: z.string(),
    retryAfterMs: z.number().optional(),
    key: z.string().optional().describe('of a rate limit that others keep, too'),
    scope: z.literal('run').optional().describe('it ended all items of a fan-out, not only its own'),
    details: anyJson.optional(),
  })
  .meta({ id: 'StoredError', description: 'why a step or a run failed; never a stack, never a secret' });

/** A page of a list: what the cursor leads to is older, or later, than what is here. */
export interface Page<Item> {
  items: Item[];
  /** Give it as `cursor` to go on; null at the end. */
  next_cursor: string | null;
}
