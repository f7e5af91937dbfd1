// Says why a step's process ended before its step did, in the classes that retries go by.
import { StepError } from '../api.ts';
import type { ProgramLimits } from './program-limits.ts';
import { cpuLimit } from './watch-usage.ts';

const outOfMemory = /heap out of memory|out of memory|allocation failed|bad_alloc|Cannot allocate memory/i;

export interface Death {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** The end of what it printed to stderr. */
  stderr: string;
  heapMb: number;
  limits: ProgramLimits;
}

export function explainDeath(step: string, { exitCode, signal, stderr, heapMb, limits }: Death): StepError {
  const details = { exit_code: exitCode, signal, stderr: stderr.slice(-2_000) };
  if (exitCode !== 0 && outOfMemory.test(stderr)) return memoryLimit(step, heapMb, details);
  if (signal === 'SIGXCPU' && limits.cpuMs !== undefined) return cpuLimit(limits.cpuMs);
  if (signal === null) {
    return new StepError('fatal', `${step} ended its process with code ${exitCode} before it returned`, {
      name: 'ProcessExited',
      details,
    });
  }
  const hint = signal === 'SIGKILL' ? ' (by the system, for want of memory, or by someone)' : '';
  return new StepError('transient', `the process of ${step} was ended by ${signal}${hint}`, {
    name: 'ProcessKilled',
    details,
  });
}

/** What a runtime says of itself that was refused memory or files, in our words; any other error stays as it is. */
export function explainThrown(step: string, error: StepError, heapMb: number, { openFiles }: ProgramLimits): StepError {
  if (error.name === 'RangeError' && outOfMemory.test(error.message)) return memoryLimit(step, heapMb, undefined);
  if (openFiles === undefined || !/EMFILE|too many open files/i.test(error.message)) return error;
  const text = `${error.message}; each process may have ${openFiles} open (limits.open_files of the step)`;
  return new StepError('fatal', text, { name: 'OpenFilesLimit' });
}

function memoryLimit(step: string, heapMb: number, details: StepError['details']): StepError {
  const text = `${step} needed more memory than its process may have: a heap of ${heapMb} MB, and buffers beside it`;
  return new StepError('fatal', `${text} (limits.memory of the step)`, {
    name: 'MemoryLimit',
    ...(details === undefined ? {} : { details }),
  });
}
