// Steps that misbehave in every way a step can: in a process of their own, and where it can be borne in the daemon's.
import { spawn } from 'node:child_process';
import { openSync, writeFileSync } from 'node:fs';
import { definePlugin, defineStep, type Json, type StepContext } from 'cronwright/plugin';

interface Input {
  /** Bytes or characters, where the step makes any. */
  size?: number;
  /** File that the ids of its processes go into. */
  pids?: string;
}

const any = { '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => ({ value }) } };
const forever = () => new Promise<never>(() => {});
type Run = (ctx: StepContext, input: Input) => Promise<Json> | Json;
const wild = (run: Run, isolation: 'process' | 'inline' = 'process') =>
  defineStep({ input: any, output: any, isolation, run: (ctx, input) => run(ctx, input as Input) });

/** Beside itself it leaves one that ignores TERM and one that has left the group. */
function breed(pids: string | undefined): void {
  if (pids === undefined) return;
  const stubborn = ['-c', 'trap "" TERM; sleep 1000'];
  const children = [
    spawn('sh', stubborn, { stdio: 'ignore' }),
    spawn('sh', stubborn, { stdio: 'ignore', detached: true }),
  ];
  writeFileSync(pids, JSON.stringify([process.pid, ...children.map(({ pid }) => pid)]));
}

/** Waits where the pipe is full, so that it prints what it says. */
async function print(bytes: number): Promise<Json> {
  const chunk = Buffer.from(`${'z'.repeat(1_023)}\n`.repeat(64));
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!process.stdout.write(chunk)) await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
  return 'done';
}

export default definePlugin({
  name: 'wild',
  version: '1.0.0',
  apiVersion: 1,
  steps: {
    spins: wild((_ctx, { pids }) => {
      breed(pids);
      for (;;);
    }),
    eats_buffers: wild((_ctx, { size = 0 }) => {
      const all: Buffer[] = [];
      for (let left = size; left > 0; left -= 10_000_000) all.push(Buffer.alloc(10_000_000, 1));
      return all.length;
    }),
    eats_heap: wild(() => {
      const all: unknown[] = [];
      for (;;) all.push(new Array(1_000).fill(Math.random()));
    }),
    prints: wild((_ctx, { size = 0 }) => print(size)),
    prints_line: wild((_ctx, { size = 0 }) => {
      process.stdout.write('z'.repeat(size));
      return 'done';
    }),
    logs_line: wild((ctx, { size = 0 }) => {
      ctx.log.info('z'.repeat(size));
      return 'done';
    }),
    rejects: wild(() => {
      void Promise.reject(new Error('nobody waits for this'));
      return forever();
    }),
    exits: wild(() => process.exit(0)),
    kills_itself: wild(() => {
      process.kill(process.pid, 'SIGKILL');
      return forever();
    }),
    opens: wild(() => {
      for (let n = 0; n < 1_000; n++) openSync('/dev/null', 'r');
      return 'done';
    }),
    rejects_inline: wild(() => {
      void Promise.reject(new Error('nobody waits for this'));
      return forever();
    }, 'inline'),
    throws_later_inline: wild(() => {
      setTimeout(() => {
        throw new Error('out of the blue');
      }, 10);
      return forever();
    }, 'inline'),
    fine: wild(() => 'fine'),
  },
});
