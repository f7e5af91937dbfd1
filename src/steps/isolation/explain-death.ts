// Says why a step's process ended before its step did, in the classes that retries go by.
import { StepError } from '../api.ts';

const outOfMemory = /heap out of memory|out of memory|Allocation failed|bad_alloc|Cannot allocate memory/i;

export interface Death {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  /** The end of what it printed to stderr. */
  stderr: string;
  memoryMb: number;
}

export function explainDeath(step: string, { exitCode, signal, stderr, memoryMb }: Death): StepError {
  const details = { exit_code: exitCode, signal, stderr: stderr.slice(-2_000) };
  if (exitCode !== 0 && outOfMemory.test(stderr)) {
    return new StepError('fatal', `${step} needed more than the ${memoryMb} MB its process may have`, {
      name: 'OutOfMemory',
      details,
    });
  }
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
