// Runs one program in a process group of its own, bounded in memory, and leaves none of its processes behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { StepError } from '../step-error.ts';
import { outputLimit, type ProgramLimits, ulimits } from './program-limits.ts';
import { cpuLimit, watchUsage } from './watch-usage.ts';

export interface ProgramEnd {
  /** null where a signal ended it. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** The last 64 kB. */
  stdout: string;
  stderr: string;
}

/** Milliseconds between TERM and KILL. */
const killAfterMs = 2_000;
/** Milliseconds in which what the program left running may still print; then it is killed. */
const lingerMs = 500;
const tailBytes = 65_536;
/**
 * Beside the program, in its group but nobody's child, waits a guard that reads a pipe of which this process holds the other
 * end. When this process is gone, however it went, the read ends and the guard ends the group: no program goes on beside its
 * own second attempt elsewhere.
 */
const guardThenRun =
  '( (trap "" TERM; read -r _ <&3; kill -TERM 0; sleep 2; kill -KILL 0) </dev/null >/dev/null 2>&1 & ); exec "$@" 3<&-';

/**
 * Rejects with the signal's reason after an abort (TERM to the whole group, KILL after 2 s), and with a fatal
 * ProgramNotFound where there is no such program, MemoryLimit, CpuLimit or OutputLimit where it uses more than it may.
 */
export async function runProgram(options: {
  argv: readonly string[];
  cwd: string;
  env: Record<string, string>;
  stdin: string | undefined;
  signal: AbortSignal;
  limits: ProgramLimits;
  onOutput: (stream: 'stdout' | 'stderr', chunk: string) => void;
}): Promise<ProgramEnd> {
  const { argv, signal } = options;
  signal.throwIfAborted();
  const { limits } = options;
  const child = spawn('/bin/sh', ['-c', `${ulimits(limits)}; ${guardThenRun}`, 'sh', ...argv], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const lifeline = child.stdio[3];
  lifeline?.on('error', () => {});
  // A program that reads nothing closes its input: that is no failure.
  child.stdin?.on('error', () => {}).end(options.stdin);
  let exceeded: StepError | undefined;
  const onExceeded = (error: StepError) => {
    exceeded ??= error;
    signalGroup(child, 'SIGKILL');
  };
  let room = limits.outputBytes ?? Number.POSITIVE_INFINITY;
  const onOutput: typeof options.onOutput = (stream, chunk) => {
    room -= chunk.length;
    if (room >= 0) options.onOutput(stream, chunk);
    else onExceeded(outputLimit(limits.outputBytes ?? 0));
  };
  const stopWatching = child.pid === undefined ? () => {} : watchUsage(child.pid, limits, onExceeded);
  const stdout = collect(child, 'stdout', onOutput);
  const stderr = collect(child, 'stderr', onOutput);

  let killTimer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    signalGroup(child, 'SIGTERM');
    killTimer = setTimeout(() => signalGroup(child, 'SIGKILL'), killAfterMs);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    // `once` also rejects on the event `error`: the system has no room for another process.
    const [exitCode, endedBy] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    await leaveNothingBehind(child, signal);
    if (exceeded) throw exceeded;
    if (endedBy === 'SIGXCPU' && limits.cpuMs !== undefined) throw cpuLimit(limits.cpuMs);
    if (signal.aborted) throw signal.reason;
    if (exitCode === 126 || exitCode === 127) await assertRunnable(argv[0] ?? '', options);
    return { exitCode, signal: endedBy, stdout: stdout(), stderr: stderr() };
  } finally {
    clearTimeout(killTimer);
    signal.removeEventListener('abort', onAbort);
    stopWatching();
    lifeline?.destroy();
  }
}

/** By these codes a shell says that it could not start the program; but a program may end with them by itself. */
async function assertRunnable(program: string, options: { cwd: string; env: Record<string, string> }): Promise<void> {
  const folders = program.includes('/') ? [''] : (options.env.PATH ?? '').split(delimiter);
  let isThere = false;
  for (const folder of folders) {
    const path = resolve(options.cwd, folder, program);
    const [mayRun, exists] = await Promise.all([
      access(path, constants.X_OK).then(
        () => true,
        () => false,
      ),
      access(path).then(
        () => true,
        () => false,
      ),
    ]);
    if (mayRun) return;
    isThere ||= exists;
  }
  const why = isThere ? 'may not be executed' : `was not found in ${program.includes('/') ? options.cwd : 'PATH'}`;
  throw new StepError('fatal', `program ${program} ${why}`, { name: 'ProgramNotFound' });
}

/** What the program started in the background gets a moment to finish printing, then ends with it. */
async function leaveNothingBehind(child: ChildProcess, signal: AbortSignal): Promise<void> {
  const closed = Promise.all(
    [child.stdout, child.stderr].map((stream) => stream && !stream.closed && once(stream, 'close')),
  );
  // After an abort its children have until the KILL; those that print nothing any more are not waited for.
  const settled = await within(closed, signal.aborted ? killAfterMs : lingerMs);
  signalGroup(child, 'SIGKILL');
  if (settled) return;
  // Who left the group may still hold the pipes: stop listening.
  if (await within(closed, lingerMs)) return;
  child.stdout?.destroy();
  child.stderr?.destroy();
}

function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    const done = () => {
      clearTimeout(timer);
      resolve(true);
    };
    promise.then(done, done);
  });
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // ESRCH: nobody of the group lives any more.
  }
}

/** Passes chunks on as text and keeps the tail; returns how to read it. */
function collect(
  child: ChildProcess,
  stream: 'stdout' | 'stderr',
  onOutput: (stream: 'stdout' | 'stderr', chunk: string) => void,
): () => string {
  const decoder = new StringDecoder('utf8');
  let chunks: Buffer[] = [];
  let held = 0;
  let isCut = false;
  child[stream]?.on('data', (chunk: Buffer) => {
    onOutput(stream, decoder.write(chunk));
    chunks.push(chunk);
    held += chunk.length;
    if (held <= 4 * tailBytes) return;
    const tail = Buffer.concat(chunks).subarray(-tailBytes);
    // A copy: a view would keep the whole.
    chunks = [Buffer.from(tail)];
    held = tail.length;
    isCut = true;
  });
  return () => {
    const all = Buffer.concat(chunks);
    const tail = all.subarray(-tailBytes).toString('utf8');
    return isCut || all.length > tailBytes ? fromNextBreak(tail) : tail;
  };
}

/** Begins at a whole line, or at least a whole word: half a secret could not be masked. */
function fromNextBreak(text: string): string {
  const line = text.indexOf('\n');
  if (line !== -1 && line < text.length - 1) return text.slice(line + 1);
  const space = text.search(/\s/);
  return space === -1 ? text : text.slice(space + 1);
}
