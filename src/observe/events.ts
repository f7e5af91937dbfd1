// Everything that happens is a named event; log, metrics, traces and live streams subscribe. Knows no database.

/** Events and their payloads. Times are milliseconds since the epoch, durations are milliseconds. */
export interface Events {
  'run.enqueued': {
    runId: string;
    tenant: string;
    pipeline: string;
    origin: string;
    schedule?: string;
    queue: string;
    actor?: string;
    parentId?: string;
    /** Not before this instant. */
    runAt?: number;
  };
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
    /** It failed and was undone, and a retry can make again all that it needs from files. */
    isUndone?: boolean;
  };
  'run.released': { runId: string; tenant: string; pipeline: string; state: string; reason: string };
  'run.rescued': { runId: string; tenant: string; node: string; deadLetter: boolean };
  /** No progress for longer than `timing.stuck`; nothing is done about it. */
  'run.stuck': { runId: string; tenant: string; pipeline: string; step: string; forMs: number };
  /** It did not start, or was not completed, by the time promised (`sla`); told once by whichever node finds it first. */
  'run.sla_missed': SlaMissed & { runId: string };
  /** Waiting raised the priority of runs. */
  'runs.aged': { runs: number; agingMs: number };
  /** A peer asked for quiet: no run of the tenant calls by this key for so long. */
  'rate_limit.closed': { tenant: string; key: string; runId: string; reason: string; forMs: number };
  /** Runs are ready that no living node can take; told once while it lasts. */
  'run.unservable': {
    queue: string;
    labels: readonly string[];
    version?: string;
    tenant?: string;
    pipeline?: string;
    reason: string;
  };
  /** This node lacks step types of a pipeline version, and leaves its runs to others; told once a version. */
  'version.refused': { tenant: string; pipeline: string; version: string; missing: string; node: string };
  /** Steps of it could not be undone: it waits for somebody to ask for the rollback again. */
  'run.rollback_failed': { runId: string; tenant: string; pipeline: string; steps: readonly string[]; error: string };
  /** At once; a worker that obeys a request tells it as `run.released`. */
  'run.paused': { runId: string; tenant: string; pipeline: string; actor: string; reason?: string };
  'run.resumed': { runId: string; tenant: string; pipeline: string; actor: string };
  'run.prioritized': {
    runId: string;
    tenant: string;
    pipeline: string;
    priority: number;
    actor: string;
    reason?: string;
  };
  /** Nothing of a pipeline, or (without one) of a tenant, starts until somebody resumes it or `until` has come. */
  'pipeline.paused': { tenant: string; pipeline?: string; actor: string; reason?: string; until?: number };
  'pipeline.resumed': { tenant: string; pipeline?: string; actor: string };
  /** What pauses of pipelines and tenants came to: runs held, asked to hold still, and let go. */
  'pauses.settled': { held: number; asked: number; letGo: number };
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
    /** success, failure, timeout, cancellation, skip; wait: it ended by a question */
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
  /** One try of undoing a step. */
  'step.compensation_finished': Events['step.finished'];
  /** A run asks something, or sleeps; `kind` is one of a few words. */
  'wait.opened': Waited & { timeoutAt?: number };
  'wait.answered': Waited & { decision: string; actor: string };
  'wait.timed_out': Waited & { onTimeout: string };
  /** Money and tokens that a step has spent, as the ledger notes them. */
  'cost.spent': {
    runId: string;
    tenant: string;
    pipeline: string;
    step: string;
    what: string;
    usd: number;
    /** Of a language model. */
    provider?: string;
    promptTokens: number;
    completionTokens: number;
    cachedTokens: number;
  };
  /** One question to a language model; `result` is `success`, `cached`, or the error's name. */
  'llm.called': AskedModel & { result: string; durationMs: number };
  /** The price table has no such model: what it is asked costs nothing in the ledger. Told once a model and node. */
  'llm.unpriced': AskedModel;
  /** 80 % of a budget are used; told once a budget. */
  'budget.near': Budgeted;
  /** A budget has no room for what a step wants to spend: it fails, or waits for people. */
  'budget.exceeded': Budgeted & { wantedUsd: number; action: 'fail' | 'wait' };
  /** Attempts ended without a word of what they had reserved: it counts as spent, at its estimate. */
  'costs.lost': { reservations: number };
  'schedule.due': { schedule: string; tenant: string; nominalAt: number; lagMs: number };
  'schedule.skipped': { schedule: string; tenant: string; outcome: string; count: number; reason: string };
  'schedule.broken': { schedule: string; tenant: string; error: string };
  /** Times of it should be decided by now and are not; told once until it moves on. */
  'schedule.stalled': { schedule: string; tenant: string; dueAt: number; nextAt: number | null; forMs: number };
  'schedules.watched': { stalled: number };
  /** The same of nominal times that no run was made for. */
  'schedule.sla_missed': SlaMissed & { schedule: string; nominalAt: number };
  'schedule.next': { schedule: string; tenant: string; nextAt: number | null };
  /** A look of a sensor has ended: success, failure, timeout, refused (no room for the runs), lost (changed meanwhile). */
  'sensor.checked': Sensed & { result: string; events: number; runs: number; durationMs: number };
  /** It looks again after a while; what it has not seen yet is not lost. */
  'sensor.failed': Sensed & { error: string; failures: number; delayMs: number };
  'sensor.paused': Sensed & { actor: string; reason?: string; until?: number };
  'sensor.resumed': Sensed & { actor: string };
  /** What a sensor wrote into its log. */
  'sensor.said': {
    sensor: string;
    tenant: string;
    level: 'debug' | 'info' | 'warn' | 'error';
    message: string;
    fields?: object;
  };
  'scheduler.ticked': { at: number; due: number };
  'clock.jumped': { byMs: number };
  'clock.skewed': { byMs: number };
  /** Nothing can be written to the data directory: the node takes no runs. */
  'disk.full': { dataDir: string; reason: string };
  'disk.recovered': { dataDir: string };
  'config.applied': {
    hash: string;
    pipelines: number;
    schedules: number;
    changed: number;
    /** The configuration that was in force before, and the node that had applied it. */
    replaces?: string;
    replacesNode?: string;
  };
  'config.rejected': { problems: number; text: string };
  /** Another node applied it; this one works with it from now on. */
  'config.adopted': { hash: string; node: string; pipelines: number; appliedAt: number };
  /** The files of live nodes have not said the same for a minute: by node, the hash of its own files. */
  'config.diverged': { hashes: Readonly<Record<string, string>>; forMs: number };
  'config.converged': { hash: string };
  /** This node listens to hints of others. */
  'hints.listening': { node: string };
  'hints.lost': { reason: string };
  'hints.unsent': { error: string };
  /** A call from the outbox: made, to be made again, given up. */
  'notification.delivered': Delivered & { durationMs: number };
  'notification.retried': Delivered & { delayMs: number; error: string };
  'notification.failed': Delivered & { error: string };
  /** Somebody wants a call that was given up to be made after all. */
  'notification.requeued': { id: string; tenant: string; stepType: string; actor: string };
  'node.started': { node: string };
  'node.stopping': { node: string; reason: string };
  /** Who lives, by the database: `hashes` counts the different configurations in the files of live nodes. */
  'nodes.counted': { live: number; hashes: number };
  'service.crashed': { service: string; error: string };
  'db.query': { operation: string; seconds: number; ok: boolean };
  'db.retry': { operation: string; attempt: number; delayMs: number; reason: string; sqlState?: string };
  'db.connection_lost': { reason: string };
  'db.lock_taken_over': { path: string; formerPid: number };
  'db.initialised': { dataDir: string; seconds: number };
  'db.upkeep': { seconds: number; writes: number };
  'db.upkeep_failed': { reason: string };
  /** Transitions of a run that a worker of this node wrote and that are durable now; `seq` is the number of the last. */
  'history.written': {
    node: string;
    runId: string;
    tenant: string;
    pipeline: string;
    schedule: string | null;
    seq: number;
    transitions: readonly { readonly event: string; readonly at: number }[];
    isPart?: boolean;
  };
  'live.connected': { transport: 'sse' | 'websocket' };
  /** `reason` is `left`, `shutdown` or why it was dropped: `too_slow`, `bad_message`. */
  'live.ended': { transport: 'sse' | 'websocket'; reason: string };
  /** Events told to the clients of the live stream, each counted once. */
  'live.published': { count: number };
  /** Spans got lost on their way to the collector; `untold`: how often since the last of these events. */
  'tracing.failed': { endpoint: string; reason: string; untold: number };
  'http.served': { route: string; method: string; status: number; seconds: number };
}

interface Sensed {
  sensor: string;
  tenant: string;
  pipeline: string;
}

interface SlaMissed {
  tenant: string;
  pipeline: string;
  schedule?: string;
  /** Absent where no schedule made the run. */
  nominalAt?: number;
  /** start, complete */
  kind: string;
  withinMs: number;
  /** By when it should have been. */
  dueAt: number;
  /** Nominal times. */
  count: number;
}

interface AskedModel {
  runId: string;
  tenant: string;
  pipeline: string;
  step: string;
  provider: string;
  model: string;
}

interface Waited {
  runId: string;
  tenant: string;
  pipeline: string;
  step: string;
  item?: number;
  key: string;
  kind: string;
}

interface Budgeted {
  runId: string;
  tenant: string;
  pipeline: string;
  step: string;
  /** Of the run, or of the tenant's month. */
  budget: 'run' | 'month';
  /** With what people have allowed beyond it. */
  limitUsd: number;
  spentUsd: number;
  heldUsd: number;
  unknownUsd: number;
}

interface Delivered {
  /** Of the call in the outbox. */
  id: string;
  tenant: string;
  /** The run that caused it. */
  runId?: string;
  pipeline: string;
  step: string;
  stepType: string;
  attempts: number;
}

export type EventName = keyof Events;
type Listener<Name extends EventName> = (payload: Events[Name]) => void;

export interface EventBus {
  emit<Name extends EventName>(name: Name, payload: Events[Name]): void;
  /** Whether anybody listens: what is dear to tell need not be told to nobody. */
  isHeard(name: EventName): boolean;
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
    isHeard: (name) => (listeners.get(name)?.size ?? 0) > 0,
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
