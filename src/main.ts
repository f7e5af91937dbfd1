// argv → command: the only file that reads the environment, takes signals and ends the process.
import picocolors from 'picocolors';
import { systemClock } from './base/clock.ts';
import type { CliContext, TextSink } from './cli/cli-context.ts';
import { runCommandLine } from './cli/command-line.ts';

const context: CliContext = {
  env: process.env,
  cwd: process.cwd(),
  stdout: sinkOf(process.stdout),
  stderr: sinkOf(process.stderr),
  clock: systemClock,
  ...(process.stdin.isTTY && process.stdout.isTTY ? { confirm } : {}),
  onSignal(name, listener) {
    process.on(name, listener);
    return () => process.off(name, listener);
  },
  onUncaught(listener) {
    process.on('unhandledRejection', listener);
    process.on('uncaughtException', listener);
    return () => {
      process.off('unhandledRejection', listener);
      process.off('uncaughtException', listener);
    };
  },
};

process.exitCode = await runCommandLine(context, process.argv.slice(2));
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// Not left to run out: a keep-alive connection would hold the shell for seconds.
process.exit();

function sinkOf(stream: NodeJS.WriteStream): TextSink {
  // `cronwright runs | head` closes the pipe: whoever reads has enough.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
  return {
    write: (text) => void stream.write(text),
    isTTY: stream.isTTY === true,
    get columns() {
      // 0 where a terminal does not tell; it changes while a command runs.
      return stream.columns || 100;
    },
    colors: picocolors.createColors(wantsColors(stream)),
  };
}

/** https://no-color.org: NO_COLOR beats all; FORCE_COLOR beats the absence of a terminal. */
function wantsColors(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  if (FORCE_COLOR && FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && TERM !== 'dumb';
}

async function confirm(question: string): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises');
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  // Ctrl-D and Ctrl-C are no answer.
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed]);
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve());
  });
}
