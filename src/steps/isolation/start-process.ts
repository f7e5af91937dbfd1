// Starts the process that hosts one attempt: its own session, a scrubbed environment, bounded memory.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { extname } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../../base/package-root.ts';

export interface HostProcess {
  readonly child: ChildProcess;
  /** Also the number of its group and session. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** What the step says by the protocol. */
  readonly messages: Readable;
}

/** TypeScript in a checkout, JavaScript once built. */
const extension = extname(import.meta.url);
const hostPath = fileURLToPath(new URL(`../process-host${extension}`, import.meta.url));
const loader = extension === '.ts' ? ['--import', 'tsx'] : [];

/**
 * MB beyond the heap that the process may have as data: code, stacks of its threads, buffers. Where a shell can set the
 * limit it holds for all memory, also what a plugin takes outside the heap; no core is dumped.
 */
const beyondHeapMb = 512;
const limitThenRun = 'ulimit -c 0 2>/dev/null; ulimit -d "$1" 2>/dev/null; shift; exec "$@"';

/** Rejects with what the system says where it has no room for another process. */
export async function startProcess(options: {
  env: Readonly<Record<string, string>>;
  memoryMb: number;
}): Promise<HostProcess> {
  const node = [process.execPath, `--max-old-space-size=${options.memoryMb}`, ...loader, hostPath];
  const dataKb = String((options.memoryMb + beyondHeapMb) * 1024);
  const child = spawn('/bin/sh', ['-c', limitThenRun, 'sh', dataKb, ...node], {
    // Where `tsx` and the TypeScript settings are found; the host goes to the workspace by itself.
    cwd: packageRoot,
    env: options.env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw (await once(child, 'error'))[0];
  const messages = child.stdio[3];
  if (!child.stdin || !child.stdout || !child.stderr || !messages) {
    throw new Error('the process of a step has no pipes');
  }
  return { child, pid, stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, messages: messages as Readable };
}
