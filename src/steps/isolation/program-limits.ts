// What the programs of a step may use, and how a POSIX shell sets of it what it can before it becomes the program.
import { StepError } from '../step-error.ts';

/** What is absent is not limited. */
export interface ProgramLimits {
  /** Bytes, all processes of the attempt together. */
  readonly memoryBytes?: number;
  /** Milliseconds of processor time, all processes of the attempt together. */
  readonly cpuMs?: number;
  /** Files and sockets that each process may have open. */
  readonly openFiles?: number;
  /** Bytes that the processes may print. */
  readonly outputBytes?: number;
}

/** Bytes that a process may take beyond its step's memory before the system refuses more: usage is only looked at now and then. */
const headroomBytes = 536_870_912;

/**
 * Shell text that sets the limits for what it runs afterwards, each for each process; what a shell cannot set is left out. No
 * core is dumped. Processor time has a second more than allowed, so that whoever watches the sum can say what it was.
 */
export function ulimits(limits: ProgramLimits): string {
  const set = ['ulimit -c 0'];
  if (limits.memoryBytes !== undefined) set.push(`ulimit -d ${Math.ceil((limits.memoryBytes + headroomBytes) / 1024)}`);
  if (limits.cpuMs !== undefined) set.push(`ulimit -t ${Math.ceil(limits.cpuMs / 1_000) + 1}`);
  if (limits.openFiles !== undefined) set.push(`ulimit -n ${limits.openFiles}`);
  return set.map((one) => `${one} 2>/dev/null`).join('; ');
}

export function outputLimit(outputBytes: number): StepError {
  return new StepError('fatal', `it printed more than ${formatBytes(outputBytes)} (limits.output of the step)`, {
    name: 'OutputLimit',
  });
}

export function formatBytes(bytes: number): string {
  const units = [
    ['GB', 1_073_741_824],
    ['MB', 1_048_576],
  ] as const;
  const [unit, size] = units.find(([, one]) => bytes >= one) ?? ['KB', 1_024];
  return `${Math.round((bytes / size) * 10) / 10} ${unit}`;
}
