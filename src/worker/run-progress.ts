// How far a run is, 0…100: milestones of its steps, and within a step what it says of itself.
import type { Clock } from '../base/clock.ts';
import type { CompiledStep } from './compiled-pipeline.ts';
import type { LiveRun } from './live-run.ts';

/** Progress within a step moves the run between the milestone before the step and its own; it never goes back. */
export function reportProgress(
  run: LiveRun,
  step: CompiledStep,
  progress: { done: number; total: number; message?: string },
  clock: Clock,
): void {
  const share = progress.total > 0 ? Math.min(1, Math.max(0, progress.done / progress.total)) : 0;
  const value = Math.floor(step.progressBefore + share * (step.progress - step.progressBefore));
  raise(run, value, step, progress.message, clock);
}

/** What one item of a fan-out is at; how far the fan-out is, is told by the items that have ended. */
export function reportItem(run: LiveRun, step: CompiledStep, message: string, clock: Clock): void {
  raise(run, run.progress, step, message, clock);
}

/** A step waits for people. What it has said of itself stays. */
export function reportStepAsks(run: LiveRun, step: CompiledStep, clock: Clock): void {
  if (run.message?.startsWith(labelOf(step))) return;
  raise(run, run.progress, step, undefined, clock);
}

/** A step has completed, or failed and is passed over. */
export function reportStepDone(run: LiveRun, step: CompiledStep, clock: Clock): void {
  raise(run, step.progress, step, undefined, clock);
}

/** A step is skipped: the run goes on, but must not say that it did what the step would have done. */
export function reportStepSkipped(run: LiveRun, step: CompiledStep, clock: Clock): void {
  raiseTo(run, step.progress, clock);
}

function raise(run: LiveRun, value: number, step: CompiledStep, message: string | undefined, clock: Clock): void {
  const label = labelOf(step);
  raiseTo(run, value, clock);
  run.message = message === undefined ? label : `${label}: ${message}`;
}

function labelOf({ definition }: CompiledStep): string {
  return definition.label ?? definition.id;
}

function raiseTo(run: LiveRun, value: number, clock: Clock): void {
  run.progress = Math.max(run.progress, Math.min(100, value));
  run.progressAt = new Date(clock.now());
}
