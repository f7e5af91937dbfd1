// Starts the process that hosts one attempt: its own session, a scrubbed environment, bounded memory.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../base/package-root.ts';
import { type ProgramLimits, ulimits } from './program-limits.ts';

export interface HostProcess {
  readonly child: ChildProcess;
  /** Also the number of its group and session. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** What the step says by the protocol. */
  readonly messages: Readable;
  /** Held open as long as the node wants the process to live. */
  readonly lifeline: Readable;
}

/** TypeScript in a checkout, JavaScript once built. */
const extension = extname(import.meta.url);
const hostPath = fileURLToPath(new URL(`../process-host${extension}`, import.meta.url));
const loader = extension === '.ts' ? ['--import', 'tsx'] : [];

/**
 * A guard in the group, nobody's child: it reads a pipe of which the node holds the other end. When the node is gone, however
 * it went, the read ends and the guard ends the group, so that no step goes on beside its own second attempt elsewhere.
 */
const startGuard =
  '( (trap "" TERM; read -r _ <&4; kill -TERM 0; sleep 2; kill -KILL 0) </dev/null >/dev/null 2>&1 3>&- & )';
const startHost = `${startGuard}; exec "$@" 4<&-`;

/** Rejects with what the system says where it has no room for another process. */
export async function startProcess(options: {
  env: Readonly<Record<string, string>>;
  /** Of Node's heap, in MB. */
  heapMb: number;
  limits: ProgramLimits;
  /** Speaks the protocol by itself; without it Cronwright's own host does. */
  program?: { command: readonly string[]; cwd: string };
}): Promise<HostProcess> {
  const host = [process.execPath, `--max-old-space-size=${options.heapMb}`, ...loader, hostPath];
  const start = `${ulimits(options.limits)}; ${startHost}`;
  const child = spawn('/bin/sh', ['-c', start, 'sh', ...(options.program?.command ?? host)], {
    // The package is where `tsx` and the TypeScript settings are found; the host goes to the workspace by itself.
    cwd: options.program?.cwd ?? packageRoot,
    env: options.env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw (await once(child, 'error'))[0];
  const [, , , messages, lifeline] = child.stdio;
  if (!child.stdin || !child.stdout || !child.stderr || !messages || !lifeline) {
    throw new Error('the process of a step has no pipes');
  }
  return {
    child,
    pid,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    messages: messages as Readable,
    lifeline: lifeline as Readable,
  };
}
