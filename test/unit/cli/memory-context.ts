// A CliContext made of memory: what a command wrote can be read back; signals are sent by hand.
import picocolors from 'picocolors';
import type { CliContext, SignalName, TextSink } from '../../../src/cli/cli-context.ts';
import { runCommandLine } from '../../../src/cli/command-line.ts';

export interface MemoryContext extends CliContext {
  out(): string;
  err(): string;
  send(name: SignalName): void;
}

export function memoryContext(
  options: {
    env?: Record<string, string>;
    cwd?: string;
    now?: string;
    colors?: boolean;
    /** What is answered to each question; absent: nobody is there. */
    confirm?: (question: string) => boolean;
  } = {},
): MemoryContext {
  const nowMs = Date.parse(options.now ?? '2026-03-01T12:00:00Z');
  const listeners = new Map<SignalName, Set<() => void>>();
  const stdout = memorySink(options.colors ?? false);
  const stderr = memorySink(options.colors ?? false);
  return {
    env: options.env ?? {},
    cwd: options.cwd ?? '/nowhere',
    stdout: stdout.sink,
    stderr: stderr.sink,
    clock: { now: () => nowMs, monotonic: () => performance.now() },
    ...(options.confirm ? { confirm: async (question: string) => options.confirm?.(question) ?? false } : {}),
    onSignal(name, listener) {
      const set = listeners.get(name) ?? new Set();
      listeners.set(name, set.add(listener));
      return () => set.delete(listener);
    },
    onUncaught: () => () => {},
    out: stdout.text,
    err: stderr.text,
    send: (name) => {
      for (const listener of listeners.get(name) ?? []) listener();
    },
  };
}

/** Runs a command line in memory. */
export async function cronwright(
  args: readonly string[],
  options: Parameters<typeof memoryContext>[0] = {},
): Promise<{ code: number; out: string; err: string }> {
  const context = memoryContext(options);
  const code = await runCommandLine(context, args);
  return { code, out: context.out(), err: context.err() };
}

function memorySink(colors: boolean): { sink: TextSink; text: () => string } {
  const parts: string[] = [];
  return {
    sink: {
      write: (text) => void parts.push(text),
      isTTY: false,
      columns: 100,
      colors: picocolors.createColors(colors),
    },
    text: () => parts.join(''),
  };
}
