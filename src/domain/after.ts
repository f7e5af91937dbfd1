// Runs that start only after another pipeline has completed: what they wait for, and when they need not wait any more.
import type { AfterDefinition, Pipeline } from './pipeline.ts';
import type { Origin } from './run.ts';

/** What a run that waits for a pipeline is blocked on; it stands before the slots that the run needs. */
export function afterKey(pipeline: string): string {
  return `after:${pipeline}`;
}

/** The pipeline that a key of `afterKey` names; undefined for the key of a slot. */
export function pipelineOfKey(key: string): string | undefined {
  return key.startsWith('after:') ? key.slice('after:'.length) : undefined;
}

/** Whether a cancel is asked for in the name of a pipeline that is missing: the run is to fail, and is not cancelled. */
export function isForMissing(askedBy: string | null): boolean {
  return askedBy !== null && pipelineOfKey(askedBy) !== undefined;
}

const started: readonly Origin[] = ['api', 'cli', 'webhook', 'sensor'];

/** A retry, a fork or a child goes on with what has begun already. */
export function afterKeys({ after = [] }: Pick<Pipeline, 'after'>, origin: Origin): string[] {
  const waits = ({ when }: AfterDefinition) =>
    origin === 'schedule' || origin === 'backfill' || (when === 'always' && started.includes(origin));
  return [...new Set(after.filter(waits).map((one) => afterKey(one.pipeline)))];
}

export interface AfterCase {
  /** Its nominal time, or when it was made. Milliseconds since the epoch, like all of these. */
  baseMs: number;
  nowMs: number;
  /** When the other pipeline completed last; -Infinity: never, as far as is known. */
  completedMs: number;
}

/**
 * Enough is a completion at or after `base - within`, also one after `base`. Once `base + within` has passed without one,
 * `onMissing` decides.
 */
export function decideAfter(
  rule: AfterDefinition,
  { baseMs, nowMs, completedMs }: AfterCase,
): 'wait' | 'run' | { missing: string } {
  if (completedMs >= baseMs - rule.withinMs) return 'run';
  if (rule.onMissing === 'wait' || nowMs < baseMs + rule.withinMs) return 'wait';
  if (rule.onMissing === 'run') return 'run';
  const from = new Date(baseMs - rule.withinMs).toISOString();
  return { missing: `no run of pipeline ${rule.pipeline} has completed since ${from}` };
}
