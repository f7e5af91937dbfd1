// Finds runs whose worker has died, or that wait for a node that is gone, and gives them back to all.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import { type Database, type Queryable, statement } from '../db/database.ts';
import type { FailedRun } from '../domain/expressions/notification-scope.ts';
import type { FailureNotice } from '../domain/failure-notice.ts';
import { resultOfState } from '../domain/run.ts';
import type { EventBus } from '../observe/events.ts';
import { admitWithin } from '../queue/admit-runs.ts';
import {
  expireForeignLeases,
  findLapsedLeases,
  type LapsedLease,
  loadBeats,
  maxClaims,
  rescueRuns,
} from '../queue/rescue-runs.ts';
import { tellFailures } from '../queue/tell-failures.ts';
import { findPinnedHomes, unpinOverdueRuns, unpinRunsOf } from '../queue/unpin-runs.ts';

export interface RescuerOptions {
  db: Database;
  clock: Clock;
  events: EventBus;
  node: string;
  /** The data directory of this node. */
  home: string;
  /** Whether this node works on the run: a lapsed lease of its own that it does not know of was lost on the way. */
  holds: (runId: string) => boolean;
  everyMs: number;
  leaseMs: number;
  /** True where no other node can be alive (one process owns the database): nobody is waited for. */
  isAlone: boolean;
  onRescued: () => void;
  /** The notifications that a dead letter causes. */
  noticesOf: (run: Omit<FailedRun, 'url' | 'more_failed'>) => readonly FailureNotice[];
}

const batch = 500;

const deadLetters = statement(
  'describe_dead_letters',
  `select id, tenant, pipeline, origin, schedule, dry_run, started_at, finished_at, coalesce(error ->> 'message', '') as message,
    (extract(epoch from finished_at - coalesce(started_at, created_at)) * 1000)::float8 as duration_ms
  from cronwright.runs where id = any($1::uuid[])`,
);

interface DeadLetterRow {
  id: string;
  tenant: string;
  pipeline: string;
  origin: string;
  schedule: string | null;
  dry_run: boolean;
  started_at: Date | null;
  finished_at: Date;
  message: string;
  duration_ms: number;
}

export function createRescuer(options: RescuerOptions): Service {
  const { db, clock, events } = options;
  /** When this observer first saw each node's counter at its present value, by its own monotonic clock. */
  let seen = new Map<string, { beat: number; since: number; home: string | null }>();

  /** All nodes at all times: a lease that lapses finds its node's silence already measured. */
  async function watchBeats(): Promise<void> {
    const now: typeof seen = new Map();
    for (const { id, beat, home } of await loadBeats(db)) {
      const known = seen.get(id);
      now.set(id, known?.beat === beat ? known : { beat, since: clock.monotonic(), home });
    }
    seen = now;
  }

  function isDead(lease: LapsedLease): boolean {
    if (lease.node === options.node) return !options.holds(lease.runId);
    if (options.isAlone || lease.nodeStopped || lease.node === null) return true;
    const known = seen.get(lease.node);
    // A node without a row was pruned long ago; one that has come or beaten since the last look is alive.
    if (lease.nodeBeat === null) return true;
    if (known?.beat !== lease.nodeBeat) return false;
    return isSilent(known);
  }

  function isSilent({ since }: { since: number }): boolean {
    return clock.monotonic() - since >= options.leaseMs;
  }

  /**
   * Runs wait for the node that has their files: while it lives, and no longer than a lease once they could go on. A data
   * directory outlives its daemon; it is gone where no daemon has it.
   */
  async function unpin(): Promise<void> {
    const living = new Set([options.home]);
    if (!options.isAlone) {
      for (const node of seen.values()) if (node.home !== null && !isSilent(node)) living.add(node.home);
    }
    const gone = (await findPinnedHomes(db)).filter((home) => !living.has(home));
    const unpinned = (await unpinRunsOf(db, gone)) + (await unpinOverdueRuns(db, options.leaseMs));
    if (unpinned > 0) options.onRescued();
  }

  async function rescueDead(): Promise<void> {
    const lapsed = await findLapsedLeases(db, batch);
    const dead = lapsed.filter(isDead);
    if (dead.length === 0) return;
    const result = await db.transaction(
      async (tx) => {
        const rescued = await rescueRuns(tx, dead, { node: options.node, maxClaims });
        await notifyDeadLetters(tx, rescued.deadLettered);
        await admitWithin(tx, rescued.freed);
        return rescued;
      },
      { idempotent: true },
    );
    const tenants = new Map(dead.map((lease) => [lease.runId, lease]));
    for (const [ids, deadLetter] of [
      [result.rescued, false],
      [result.deadLettered, true],
    ] as const) {
      for (const runId of ids) {
        const lease = tenants.get(runId);
        events.emit('run.rescued', { runId, tenant: lease?.tenant ?? '', node: lease?.node ?? '', deadLetter });
      }
    }
    for (const run of result.undoFailed) events.emit('run.rollback_failed', { ...run, steps: [] });
    if (result.rescued.length > 0 || result.freed.length > 0) options.onRescued();
    await tellDeadLetters(result.deadLettered);
  }

  async function notifyDeadLetters(tx: Queryable, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const { rows } = await tx.query<DeadLetterRow>(deadLetters, [ids]);
    const notices = rows.flatMap((row) => {
      if (row.dry_run) return [];
      return options.noticesOf({
        id: row.id,
        pipeline: row.pipeline,
        tenant: row.tenant,
        schedule: row.schedule,
        state: 'dead_letter',
        error: { name: 'DeadLetter', message: row.message, step: null },
        started_at: row.started_at?.toISOString() ?? null,
        finished_at: row.finished_at.toISOString(),
      });
    });
    await tellFailures(tx, notices);
  }

  /** A dead letter is an end like others: the counters of ended runs include it. */
  async function tellDeadLetters(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    const { rows } = await db.query<DeadLetterRow>(deadLetters, [ids]);
    for (const { id: runId, tenant, pipeline, origin, schedule, message, duration_ms: durationMs } of rows) {
      const state = 'dead_letter';
      const ended = { runId, tenant, pipeline, origin, state, result: resultOfState(state, false), durationMs };
      events.emit('run.finished', { ...ended, ...(schedule === null ? {} : { schedule }), error: message });
    }
  }

  return createLoopService({
    name: 'rescuer',
    async loop(signal) {
      if (options.isAlone) await expireForeignLeases(db, options.node);
      while (!signal.aborted) {
        if (!options.isAlone) await watchBeats();
        await rescueDead();
        await unpin();
        await sleepUnlessAborted(options.everyMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'rescuer', error: String(error) }),
  });
}
