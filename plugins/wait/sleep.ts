// Step wait.sleep: does nothing for a while, and ends at once when it is told to.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';
import { durationText, millisecondsOf } from './duration.ts';

/** Longer waits hold a place in the node for nothing; and Node's timers end at 24.8 days. */
const longestMs = 7 * 86_400_000;

const input = z
  .strictObject({
    duration: durationText,
  })
  .refine(({ duration }) => millisecondsOf(duration) >= 0 && millisecondsOf(duration) <= longestMs, {
    path: ['duration'],
    message: 'expected 0 to 7 days',
  });

export const sleep = defineStep({
  description: 'Waits for a duration.',
  input,
  output: z.object({ slept_ms: z.number() }),
  effects: 'none',
  idempotency: 'natural',
  isolation: 'inline',
  weight: 'light',
  async run(ctx, { duration }) {
    const ms = millisecondsOf(duration);
    if (ctx.dryRun) {
      ctx.log.info(`dry run: would wait ${ms} ms`);
      return { slept_ms: 0 };
    }
    await sleepUnlessAborted(ms, ctx.signal);
    return { slept_ms: ms };
  },
});

export function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
