// What a command may touch of the process it runs in: given by main.ts, made of memory in tests.
import type picocolors from 'picocolors';
import type { Clock } from '../base/clock.ts';

export type Colors = ReturnType<typeof picocolors.createColors>;

/** Where text goes: stdout carries answers, stderr everything else. */
export interface TextSink {
  write(text: string): void;
  readonly isTTY: boolean;
  /** Width in characters; 100 where nobody knows. */
  readonly columns: number;
  /** Paints only where the sink wants colours. */
  readonly colors: Colors;
}

export type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path that relative paths start from. */
  readonly cwd: string;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly clock: Clock;
  /** Asks whoever sits at the terminal; absent where nobody does. Only a clear yes is one. */
  readonly confirm?: (question: string) => Promise<boolean>;
  /** Calls `listener` at every such signal; returns a function that ends that. */
  onSignal(name: SignalName, listener: () => void): () => void;
  /** Calls `listener` with what nobody caught, and keeps the process alive; returns a function that ends that. */
  onUncaught(listener: (error: unknown) => void): () => void;
}
