// What a pipeline or a schedule promises about time, and when such a promise is due.

export const slaKinds = ['start', 'complete'] as const;
export type SlaKind = (typeof slaKinds)[number];

/** Milliseconds from the nominal time of a run (else from when it may start) until it has to have started, and to be completed. */
export interface Sla {
  startWithinMs?: number;
  completeWithinMs?: number;
}

export interface SlaPromise {
  kind: SlaKind;
  withinMs: number;
}

export function promisesOf(sla: Sla | undefined): SlaPromise[] {
  const { startWithinMs, completeWithinMs } = sla ?? {};
  return [
    ...(startWithinMs === undefined ? [] : [{ kind: 'start' as const, withinMs: startWithinMs }]),
    ...(completeWithinMs === undefined ? [] : [{ kind: 'complete' as const, withinMs: completeWithinMs }]),
  ];
}
