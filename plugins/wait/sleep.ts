// Step wait.sleep: does nothing for a while, and ends at once when it is told to.
import { defineStep } from 'cronwright/plugin';
import { z } from 'zod';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Longer waits hold a place in the node for nothing; and Node's timers end at 24.8 days. */
const longestMs = 7 * 86_400_000;
const durationPattern = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/;

const input = z
  .strictObject({
    duration: z
      .union([z.string().regex(durationPattern, 'expected a duration with units, such as 90s or 1h30m'), z.number()])
      .describe('A duration with units (ms, s, m, h, d), or milliseconds.'),
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

function millisecondsOf(duration: string | number): number {
  if (typeof duration === 'number') return duration;
  return [...duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)].reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN),
    0,
  );
}

function sleepUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
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
