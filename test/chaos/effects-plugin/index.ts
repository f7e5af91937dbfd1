// A plugin that writes down what its steps do, in files of its own: evidence that does not rest on Cronwright's tables.
import { appendFileSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin, defineStep, type StepContext } from 'cronwright/plugin';
import { z } from 'zod';

const input = z.strictObject({
  /** Where the files are. */
  dir: z.string(),
  ms: z.int().min(0).default(0),
});
type Input = z.infer<typeof input>;
const output = z.strictObject({ pid: z.int() });

const files = new Map<string, number>();

function note(ctx: StepContext, dir: string, phase: string): void {
  const { runId: run, pipeline, step, item, attempt, token } = ctx;
  const line = { run, pipeline, step, item, attempt, token, pid: process.pid, at: Date.now(), phase };
  const file = join(dir, `${process.pid}.jsonl`);
  let open = files.get(file);
  if (open === undefined) {
    open = openSync(file, 'a');
    files.set(file, open);
  }
  writeSync(open, `${JSON.stringify(line)}\n`);
  fsyncSync(open);
}

async function effect(ctx: StepContext, { dir, ms }: Input) {
  note(ctx, dir, 'begin');
  try {
    await sleep(ms, undefined, { signal: ctx.signal });
  } catch (error) {
    note(ctx, dir, `aborted ${ctx.signal.reason?.name}`);
    throw error;
  }
  note(ctx, dir, 'end');
  return { pid: process.pid };
}

const step = { input, output, effects: 'outside', idempotency: 'keyed', isolation: 'inline' } as const;

export default definePlugin({
  name: 'chaos',
  version: '1.0.0',
  apiVersion: 1,
  steps: {
    light: defineStep({ ...step, weight: 'light', run: effect }),
    heavy: defineStep({ ...step, weight: 'heavy', run: effect }),
    saves: defineStep({
      ...step,
      weight: 'light',
      async run(ctx, given) {
        const before = await ctx.checkpoint.load();
        if (before === undefined) await ctx.checkpoint.save({ by: process.pid });
        note(ctx, given.dir, before === undefined ? 'saved' : 'loaded');
        return effect(ctx, given);
      },
    }),
    fills: defineStep({
      ...step,
      weight: 'light',
      async run(ctx, given) {
        note(ctx, given.dir, 'begin');
        appendFileSync(join(ctx.workspace, 'filling'), Buffer.alloc(given.ms * 1024));
        note(ctx, given.dir, 'end');
        return { pid: process.pid };
      },
    }),
    kills: defineStep({
      ...step,
      weight: 'light',
      async run(ctx, given) {
        note(ctx, given.dir, 'begin');
        process.kill(process.pid, 'SIGKILL');
        return new Promise<never>(() => {});
      },
    }),
  },
});
