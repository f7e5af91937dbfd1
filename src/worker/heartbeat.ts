// Keeps this node's leases alive, learns what people asked of its runs, and lets go of runs that are no longer its own.
import type { AdjustableClock, Clock } from '../base/clock.ts';
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Queryable } from '../db/database.ts';
import { isForMissing } from '../domain/after.ts';
import type { EventBus } from '../observe/events.ts';
import { beatNode, type RunRequest } from '../queue/beat-node.ts';
import { abortRun, forgetPause, type LiveRun, noteRequest } from './live-run.ts';

export interface HeartbeatOptions {
  /** A connection of its own: a beat never waits behind a busy pool. */
  db: Queryable;
  node: string;
  runs: ReadonlyMap<string, LiveRun>;
  clock: Clock;
  /** The clock whose offset to the database's is measured by each beat. */
  databaseClock: AdjustableClock;
  events: EventBus;
  everyMs: number;
  leaseMs: number;
}

export interface Heartbeat extends Service {
  /** Beats now: a person may have asked something of a run of this node. */
  beatNow(): void;
  /** Monotonic milliseconds since the last beat that was answered. */
  sinceLastBeatMs(): number;
}

export function createHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { clock, runs } = options;
  const due = createWakeUp();
  let lastBeat = clock.monotonic();
  let guard: NodeJS.Timeout | undefined;
  const loop = createLoopService({
    name: 'heartbeat',
    async loop(signal) {
      while (!signal.aborted) {
        await beat();
        await due.wait(options.everyMs, signal);
      }
    },
    onCrash: (error) => options.events.emit('service.crashed', { service: 'heartbeat', error: String(error) }),
    restartDelayMs: Math.min(1_000, options.everyMs),
  });

  async function beat(): Promise<void> {
    const sentAt = clock.monotonic();
    const held = [...runs.values()];
    const { kept, requests, withdrawn, databaseNow } = await beatNode(options.db, {
      node: options.node,
      leaseMs: options.leaseMs,
      leases: held.map((run) => ({
        runId: run.claimed.runId,
        token: run.claimed.token,
        step: [...run.running.keys()].join(', ') || null,
        progress: run.progress,
        message: run.message,
        progressAt: run.progressAt,
      })),
    });
    // The lease counts from when the statement may have run, which is never before it was sent.
    lastBeat = sentAt;
    measureSkew(databaseNow.getTime(), sentAt);
    const asked = new Set(requests.map((request) => request.runId));
    for (const run of held) {
      const isHeld = runs.get(run.claimed.runId) === run;
      if (isHeld && !kept.has(run.claimed.runId)) abortRun(run, 'lease_lost');
      else if (run.pausedBy && !asked.has(run.claimed.runId)) {
        const by = withdrawn.get(run.claimed.runId);
        noteRequest(run, { event: 'run.pause_withdrawn', by }, options.databaseClock);
        forgetPause(run);
      }
    }
    for (const request of requests) obey(request);
  }

  function obey(request: RunRequest): void {
    const run = runs.get(request.runId);
    if (!run || isForMissing(request.by)) return;
    const by = { actor: request.by, reason: request.reason };
    if (request.request === 'pause') {
      if (!run.pausedBy) noteRequest(run, { event: 'run.pause_requested', by }, options.databaseClock);
      run.pausedBy = by;
      return;
    }
    if (!run.cancelledBy) {
      const event = request.rollback ? 'run.rollback_requested' : 'run.cancel_requested';
      noteRequest(run, { event, by }, options.databaseClock);
    }
    run.cancelledBy = by;
    if (request.rollback) run.rollback ??= { to: request.rollback.to, hasBegun: false };
    abortRun(run, 'cancelled');
  }

  /** The database's clock decides; what this node stamps and when it wakes follows it. */
  function measureSkew(databaseNow: number, sentAt: number): void {
    const roundTripMs = clock.monotonic() - sentAt;
    const offsetMs = databaseNow + roundTripMs / 2 - clock.now();
    const change = offsetMs - options.databaseClock.offsetMs;
    // Within the error of the measurement nothing is corrected.
    if (Math.abs(change) > roundTripMs / 2 + 1) options.databaseClock.offsetMs = offsetMs;
    if (Math.abs(offsetMs) > 5_000) options.events.emit('clock.skewed', { byMs: offsetMs });
  }

  /** A node that could not beat ends its steps at two thirds of the lease, before another may take its runs. */
  function watchLease(): void {
    if (clock.monotonic() - lastBeat < (options.leaseMs * 2) / 3) return;
    for (const run of runs.values()) abortRun(run, 'lease_lost');
  }

  return {
    name: 'heartbeat',
    beatNow: () => due.wake(),
    sinceLastBeatMs: () => clock.monotonic() - lastBeat,
    async start() {
      lastBeat = clock.monotonic();
      guard = setInterval(watchLease, Math.max(50, options.leaseMs / 20));
      await loop.start();
    },
    async stop() {
      clearInterval(guard);
      await loop.stop();
    },
  };
}
