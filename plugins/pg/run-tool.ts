// Runs one of PostgreSQL's programs: found in the PATH, its output streamed on, its password in the environment alone.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { cpuLimit, type StepContext, StepError, ulimits, watchUsage } from 'cronwright/plugin';

export type Tool = 'pg_dump' | 'pg_restore' | 'psql';

/** Milliseconds between TERM and KILL. */
const killAfterMs = 2_000;
const keptLines = 50;

/** Absolute path of the program, or undefined where the PATH of programs has none. */
export async function findTool(ctx: StepContext, tool: Tool): Promise<string | undefined> {
  for (const folder of (ctx.host.programEnv.PATH ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = join(folder, tool);
    const mayRun = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (mayRun) return path;
  }
  return undefined;
}

/** `15.18`; undefined where it says something else. */
export async function toolVersion(ctx: StepContext, path: string): Promise<string | undefined> {
  let said = '';
  await runTool(ctx, {
    path,
    args: ['--version'],
    env: {},
    async onStdout(stdout) {
      for await (const chunk of stdout) said += String(chunk);
    },
  });
  return /\(PostgreSQL\) (\d+(?:\.\d+)?)/.exec(said)?.[1];
}

export interface ToolCall {
  path: string;
  /** Never a secret: everybody on the machine can read them. */
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  stdin?: Readable;
  /** Reads all that it prints; what it rejects with ends the program. */
  onStdout?: (stdout: Readable) => Promise<void>;
  onStderrLine?: (line: string) => void;
}

/**
 * Resolves where the program exits with 0. Rejects with a StepError made of what it said, with that of a limit, with what `onStdout`
 * rejected with, or with the signal's reason after an abort.
 */
export async function runTool(ctx: StepContext, call: ToolCall): Promise<void> {
  const { signal, limits } = ctx;
  signal.throwIfAborted();
  const child = spawn('/bin/sh', ['-c', `${ulimits(limits)}; exec "$@"`, 'sh', call.path, ...call.args], {
    cwd: ctx.workspace,
    env: { ...ctx.host.programEnv, LC_ALL: 'C', ...call.env },
    detached: true,
    stdio: [call.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  });
  let stopped: unknown;
  const stop = (why: unknown) => {
    stopped ??= why;
    signalGroup(child, 'SIGKILL');
  };
  const unwatch = child.pid === undefined ? () => {} : watchUsage(child.pid, limits, stop);
  const said = collectLines(child, call.onStderrLine);
  let killTimer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    signalGroup(child, 'SIGTERM');
    killTimer = setTimeout(() => signalGroup(child, 'SIGKILL'), killAfterMs);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    // A program that reads no further closes its input: what it says of that comes by its exit.
    if (call.stdin && child.stdin) call.stdin.on('error', stop).pipe(child.stdin.on('error', () => {}));
    const output = child.stdout as Readable;
    const read = (call.onStdout ? call.onStdout(output) : drain(output)).catch(stop);
    const [exitCode, endedBy] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    await read;
    if (signal.aborted) throw signal.reason;
    if (stopped !== undefined) throw stopped;
    if (endedBy === 'SIGXCPU' && limits.cpuMs !== undefined) throw cpuLimit(limits.cpuMs);
    if (exitCode !== 0) throw toolFailure(call.path, exitCode ?? endedBy ?? 'nothing', said());
  } finally {
    clearTimeout(killTimer);
    signal.removeEventListener('abort', onAbort);
    unwatch();
    signalGroup(child, 'SIGKILL');
  }
}

async function drain(stdout: Readable): Promise<void> {
  stdout.resume();
  await finished(stdout);
}

/** Passes lines of stderr on and keeps the last ones. */
function collectLines(child: ChildProcess, onLine: ((line: string) => void) | undefined): () => string[] {
  const last: string[] = [];
  let rest = '';
  const take = (line: string) => {
    onLine?.(line);
    last.push(line);
    if (last.length > keptLines) last.shift();
  };
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = (lines.pop() ?? '').slice(-10_000);
    for (const line of lines) take(line);
  });
  return () => (rest === '' ? last : [...last, rest]);
}

const passing =
  /could not connect|connection .*(failed|refused|reset|lost)|server closed|terminating connection|too many clients|starting up|shutting down|timeout expired|could not translate host name|lock timeout|No space left/i;

function toolFailure(path: string, code: number | string, lines: readonly string[]): StepError {
  const program = path.split('/').at(-1) ?? path;
  const errors = lines.filter((line) => /error:|fatal:|ERROR|FATAL/i.test(line));
  const told = (errors.length > 0 ? errors : lines).slice(-3).join(' ').slice(0, 600);
  const isPassing = passing.test(told);
  return new StepError(
    isPassing ? 'transient' : 'fatal',
    `${program} ended with ${code}: ${told || 'it said nothing'}`,
    {
      name: isPassing ? 'TransientError' : 'ProgramFailed',
      details: { program, exit: String(code), stderr: lines.slice(-10).join('\n').slice(-2_000) },
    },
  );
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // ESRCH: nobody of the group lives any more.
  }
}
