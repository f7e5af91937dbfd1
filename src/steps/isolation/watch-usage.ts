// Watches what the processes of a step use together, and says when it is more than they may. One timer for all of a node.
import { StepError } from '../step-error.ts';
import { findTree, type ProcessEntry, readProcess, readProcesses } from './process-table.ts';
import { formatBytes, type ProgramLimits } from './program-limits.ts';

interface Watched {
  leader: number;
  limits: ProgramLimits;
  known: Set<number>;
  onExceeded: (error: StepError) => void;
}

const everyMs = 250;
/** New processes are looked for at every fourth look: that reads the whole table, the others only those that are known. */
const wholeEvery = 4;

const watched = new Set<Watched>();
let timer: NodeJS.Timeout | undefined;
let looks = 0;

/**
 * Calls `onExceeded` once, with a fatal MemoryLimit or CpuLimit, when all processes of the session that `leader` leads use
 * more than `limits` together. Where the system tells nothing of its processes nothing is watched. Returns how to stop it.
 */
export function watchUsage(leader: number, limits: ProgramLimits, onExceeded: (error: StepError) => void): () => void {
  if (limits.memoryBytes === undefined && limits.cpuMs === undefined) return () => {};
  const one: Watched = { leader, limits, known: new Set([leader]), onExceeded };
  watched.add(one);
  timer ??= setInterval(look, everyMs).unref();
  return () => {
    watched.delete(one);
    if (watched.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function look(): void {
  looks += 1;
  const whole = looks % wholeEvery === 0 ? readProcesses() : undefined;
  for (const one of watched) {
    const error = exceeded(one, whole ? findTree(one.leader, one.known, whole) : readKnown(one));
    if (!error) continue;
    watched.delete(one);
    one.onExceeded(error);
  }
}

function readKnown({ known }: Watched): ProcessEntry[] {
  return [...known].flatMap((pid) => readProcess(pid) ?? []);
}

function exceeded({ limits, known }: Watched, entries: readonly ProcessEntry[]): StepError | undefined {
  known.clear();
  let memory = 0;
  let cpu = 0;
  for (const entry of entries) {
    known.add(entry.pid);
    memory += entry.memoryBytes;
    cpu += entry.cpuMs;
  }
  if (limits.memoryBytes !== undefined && memory > limits.memoryBytes) {
    const text = `its processes use ${formatBytes(memory)} of memory, allowed are ${formatBytes(limits.memoryBytes)}`;
    return new StepError('fatal', `${text} (limits.memory of the step)`, { name: 'MemoryLimit' });
  }
  return limits.cpuMs !== undefined && cpu > limits.cpuMs ? cpuLimit(limits.cpuMs) : undefined;
}

export function cpuLimit(cpuMs: number): StepError {
  const text = `its processes have used more than the ${cpuMs / 1_000} s of processor time they may`;
  return new StepError('fatal', `${text} (limits.cpu of the step)`, { name: 'CpuLimit' });
}
