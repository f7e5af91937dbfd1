// Step wait.until: lets time pass, days if need be, without a place in the node and through restarts.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { durationText, millisecondsOf } from './duration.ts';
import { sleepUnlessAborted } from './sleep.ts';

/** Shorter waits are not worth a run's way to the queue and back. */
const holdMs = 5_000;
const longestMs = 10 * 365 * 86_400_000;

const input = z
  .strictObject({
    at: z.iso.datetime({ offset: true }).optional().describe('An instant such as 2026-01-31T12:00:00Z.'),
    for: durationText.optional(),
  })
  .refine((given) => (given.at === undefined) !== (given.for === undefined), 'expected one of `at` and `for`')
  .refine((given) => given.for === undefined || isWithin(millisecondsOf(given.for)), {
    path: ['for'],
    message: 'expected 0 to 10 years',
  });

export const until = defineStep({
  description: 'Waits until an instant, or for a duration, without holding a place.',
  input,
  output: z.object({ until: z.string().describe('ISO 8601 in UTC.') }),
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, given) {
    const now = new Date();
    const at = given.at === undefined ? now.getTime() + millisecondsOf(given.for ?? 0) : Date.parse(given.at);
    const leftMs = Math.max(0, at - now.getTime());
    if (ctx.dryRun) {
      ctx.log.info(`dry run: would wait ${leftMs} ms`);
      return { until: now.toISOString() };
    }
    if (leftMs > holdMs) return { until: (await ctx.suspend({ kind: 'timer', timeoutMs: leftMs })).at };
    await sleepUnlessAborted(leftMs, ctx.signal);
    return { until: new Date(at).toISOString() };
  },
});

function isWithin(ms: number): boolean {
  return ms >= 0 && ms <= longestMs;
}
