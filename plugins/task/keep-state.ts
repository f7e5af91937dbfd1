// Keeps a step's state: saved after each piece of work, and while a piece lasts at least once an interval.
import type { Json, StepContext } from 'cronwright/plugin';
import { z } from 'zod';

export const checkpointSeconds = z
  .int()
  .min(1)
  .max(3_600)
  .default(60)
  .describe('State is saved after each piece of work, and while one lasts after so many seconds.');

export interface KeptState<State> {
  /** What an earlier attempt kept, or the first state. */
  readonly state: State;
  /** Keeps a new state and tells that there is a checkpoint. */
  save(state: State, what: string): Promise<void>;
  /** Ends the clock, once what is being written is written. */
  stop(): Promise<void>;
}

export async function keepState<State extends Json>(
  ctx: StepContext,
  schema: z.ZodType<State>,
  first: State,
  seconds: number,
): Promise<KeptState<State>> {
  const known = schema.safeParse(await ctx.checkpoint.load());
  let state = known.success ? known.data : first;
  // One write at a time: an older state must not come to lie over a newer one.
  let writing: Promise<void> = Promise.resolve();
  const write = () => {
    const written = writing.then(() => ctx.checkpoint.save(state));
    // Who saves is told; the clock's own failure must not end the process.
    writing = written.catch(() => {});
    return written;
  };
  const clock = setInterval(() => void write().catch(() => {}), seconds * 1_000);
  return {
    get state() {
      return state;
    },
    async save(next, what) {
      state = next;
      await write();
      clock.refresh();
      ctx.event('checkpoint_created', { what });
    },
    async stop() {
      clearInterval(clock);
      await writing;
    },
  };
}
