// Everything that happens is a named event; log, metrics, traces and live streams subscribe. Knows no database.

/** Events and their payloads. Times are milliseconds since the epoch, durations are milliseconds. */
export interface Events {
  'run.enqueued': { runId: string; tenant: string; pipeline: string; origin: string; schedule?: string; queue: string };
  'run.claimed': { runId: string; tenant: string; pipeline: string; waitMs: number; token: number; node: string };
  'run.finished': {
    runId: string;
    tenant: string;
    pipeline: string;
    origin: string;
    schedule?: string;
    state: string;
    /** success, failure, timeout, cancellation, skip, error */
    result: string;
    durationMs: number;
    error?: string;
  };
  'run.released': { runId: string; tenant: string; pipeline: string; state: string; reason: string };
  'run.rescued': { runId: string; tenant: string; node: string; deadLetter: boolean };
  /** No progress for longer than `timing.stuck`; nothing is done about it. */
  'run.stuck': { runId: string; tenant: string; pipeline: string; step: string; forMs: number };
  'run.lease_lost': { runId: string; tenant: string };
  'step.started': {
    runId: string;
    tenant: string;
    pipeline: string;
    step: string;
    stepType: string;
    attempt: number;
    item?: number;
  };
  'step.finished': {
    runId: string;
    tenant: string;
    pipeline: string;
    step: string;
    stepType: string;
    attempt: number;
    item?: number;
    /** success, failure, timeout, cancellation, skip */
    result: string;
    durationMs: number;
    error?: string;
  };
  'step.retried': {
    runId: string;
    tenant: string;
    step: string;
    stepType: string;
    class: string;
    delayMs: number;
    error: string;
  };
  'schedule.due': { schedule: string; tenant: string; nominalAt: number; lagMs: number };
  'schedule.skipped': { schedule: string; tenant: string; outcome: string; count: number; reason: string };
  'schedule.broken': { schedule: string; tenant: string; error: string };
  'schedule.next': { schedule: string; tenant: string; nextAt: number | null };
  'scheduler.ticked': { at: number; due: number };
  'clock.jumped': { byMs: number };
  'clock.skewed': { byMs: number };
  'config.applied': { hash: string; pipelines: number; schedules: number; changed: number };
  'config.rejected': { problems: number; text: string };
  'node.started': { node: string };
  'node.stopping': { node: string; reason: string };
  'service.crashed': { service: string; error: string };
  'db.query': { operation: string; seconds: number; ok: boolean };
  'db.retry': { operation: string; attempt: number; delayMs: number; reason: string; sqlState?: string };
  'db.connection_lost': { reason: string };
  'db.lock_taken_over': { path: string; formerPid: number };
  'db.initialised': { dataDir: string; seconds: number };
  'db.upkeep': { seconds: number; writes: number };
  'db.upkeep_failed': { reason: string };
  /** Spans got lost on their way to the collector; `untold`: how often since the last of these events. */
  'tracing.failed': { endpoint: string; reason: string; untold: number };
  'http.served': { route: string; method: string; status: number; seconds: number };
}

export type EventName = keyof Events;
type Listener<Name extends EventName> = (payload: Events[Name]) => void;

export interface EventBus {
  emit<Name extends EventName>(name: Name, payload: Events[Name]): void;
  /** Returns a function that ends the subscription. */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void;
}

/** A synchronous bus. A listener that throws is reported to `onListenerError` and does not disturb the others. */
export function createEventBus(onListenerError: (name: EventName, error: unknown) => void = () => {}): EventBus {
  const listeners = new Map<EventName, Set<(payload: never) => void>>();
  return {
    emit(name, payload) {
      const interested = listeners.get(name);
      if (!interested) return;
      for (const listener of interested) {
        try {
          (listener as (value: typeof payload) => void)(payload);
        } catch (error) {
          onListenerError(name, error);
        }
      }
    },
    on(name, listener) {
      let interested = listeners.get(name);
      if (!interested) {
        interested = new Set();
        listeners.set(name, interested);
      }
      interested.add(listener as (payload: never) => void);
      return () => interested.delete(listener as (payload: never) => void);
    },
  };
}
