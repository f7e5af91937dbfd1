// Why a step has to end: the reasons an AbortSignal carries from the worker to a plugin.
import type { AbortReason } from './api.ts';

const texts: Record<AbortReason, string> = {
  cancelled: 'the run was cancelled',
  timeout: 'the run took longer than its timeout',
  lease_lost: 'the run now belongs to another worker',
  shutdown: 'this node is stopping',
};

/** The reason to abort an attempt's signal with; its `name` is the AbortReason. */
export function createAbortError(reason: AbortReason, message: string = texts[reason]): Error {
  const error = new Error(message);
  error.name = reason;
  return error;
}

/** What the reason of an aborted signal says; one of unknown form counts as `cancelled`. */
export function abortReasonOf(reason: unknown): AbortReason {
  const name = reason instanceof Error ? reason.name : undefined;
  return name !== undefined && Object.hasOwn(texts, name) ? (name as AbortReason) : 'cancelled';
}
