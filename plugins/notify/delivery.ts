// When a notification goes out: at once, as part of the step, or through the outbox, apart from the run.
import type { StepContext } from 'cronwright/plugin';
import { z } from 'zod';

export const deliveryInput = z
  .enum(['now', 'outbox'])
  .default('outbox')
  .describe(
    'outbox: the run goes on, and it is sent until it arrives. now: the step sends it, and fails where that fails.',
  );

export const deliveryOutput = {
  id: z.string().describe('Of the notification: webhook-id, part of Message-ID, and its id in the outbox.'),
  queued: z.boolean().describe('True where it waits in the outbox.'),
};

/** True where the step only has to leave the call in the outbox. */
export function goesToOutbox(ctx: StepContext, delivery: z.output<typeof deliveryInput>): boolean {
  return delivery === 'outbox' && ctx.delivery === undefined;
}

/** When the notification was made; the same at every attempt from the outbox. */
export function madeAt(ctx: StepContext): Date {
  return ctx.delivery === undefined ? new Date() : new Date(ctx.delivery.putAt);
}
