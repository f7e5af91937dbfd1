// Runs a step in a process of its own: starts it, speaks the step protocol with it, and ends its whole tree.
import { type StepContext, StepError } from '../api.ts';
import type { RegisteredStep } from '../registry.ts';

export interface ProcessLimits {
  /** Old-space limit of the step's process in MB; default 512. */
  memoryMb?: number;
}

export async function runInProcess(
  step: RegisteredStep,
  _ctx: StepContext,
  _input: unknown,
  _limits: ProcessLimits = {},
): Promise<unknown> {
  throw new StepError('fatal', `${step.id} wants a process of its own, which is not built yet`);
}
