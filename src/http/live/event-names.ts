// All names that events of the live stream have, and which words begin one.
import { alertNames } from './alerts.ts';

/** Those of a run's history; `step.event.` goes on with what a plugin calls it. */
export const historyEventNames = [
  'run.enqueued',
  'run.forked',
  'run.imported',
  'run.claimed',
  'run.waiting',
  'run.retrying',
  'run.woken',
  'run.pause_requested',
  'run.pause_withdrawn',
  'run.cancel_requested',
  'run.paused',
  'run.resumed',
  'run.prioritized',
  'run.released',
  'run.rescued',
  'run.reopened',
  'run.completed',
  'run.failed',
  'run.cancelled',
  'run.dead_lettered',
  'run.timed_out',
  'run.rollback_requested',
  'run.rolling_back',
  'run.rollback_failed',
  'run.rolled_back',
  'step.started',
  'step.completed',
  'step.failed',
  'step.skipped',
  'step.cancelled',
  'step.retried',
  'step.waiting',
  'step.released',
  'step.compensating',
  'step.compensated',
  'step.compensation_retried',
  'step.compensation_failed',
  'step.irreversible',
  'step.children_started',
  'step.children_ended',
  'item.completed',
  'item.failed',
  'item.waiting',
  'item.cancelled',
  'item.released',
  'item.skipped',
  'wait.opened',
  'wait.answered',
  'wait.timed_out',
  'budget.near',
  'budget.exceeded',
] as const;

const pluginPrefix = 'step.event.';

/** Told to one client, about its own stream. */
export const truncatedName = 'stream.truncated';

const all: readonly string[] = [...historyEventNames, pluginPrefix, ...alertNames, truncatedName];

export function beginsEventName(word: string): boolean {
  return word.startsWith(pluginPrefix) || all.some((name) => name.startsWith(word));
}
