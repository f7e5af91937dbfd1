// The first event of a run: the enqueue is not stored in its history, the run's own row tells it.
import type { Transition } from '../domain/run.ts';

export interface EnqueuedFacts {
  at: Date;
  runAt: Date | null;
  origin: string;
  actor: string | null;
  parentId: string | null;
  schedule: string | null;
  /** A pause of its pipeline or tenant held it from the start; who and why, while it still does. */
  bornPaused?: { by: string | null; reason: string | null } | undefined;
}

/** Number 1 of every run. */
export function enqueuedTransition({
  at,
  runAt,
  origin,
  actor,
  parentId,
  schedule,
  bornPaused,
}: EnqueuedFacts): Transition {
  return {
    event: 'run.enqueued',
    at: at.getTime(),
    to: bornPaused ? 'paused' : runAt !== null && runAt > at ? 'scheduled' : 'pending',
    ...(actor === null ? {} : { actor }),
    data: { origin, schedule, parent_id: parentId, ...(bornPaused?.by == null ? {} : { paused: { ...bornPaused } }) },
  };
}
