// Claims ready runs for the places that are free and carries them out; heavy runs take workers, light ones places in flight.
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import { AmbiguousCommitError } from '../db/retries.ts';
import { startRunSpan } from '../observe/trace.ts';
import { type ClaimedRun, claimRuns } from '../queue/claim-runs.ts';
import { maxClaims } from '../queue/rescue-runs.ts';
import { returnClaims, returnLostClaims } from '../queue/return-claims.ts';
import type { AbortReason } from '../steps/api.ts';
import type { AdaptiveTimeouts } from './adaptive-timeouts.ts';
import type { Definitions } from './definitions.ts';
import type { ExecuteDeps } from './execute-deps.ts';
import { executeRun } from './execute-run.ts';
import { abortRun, type LiveRun } from './live-run.ts';
import { type HasWorkspace, loadLiveRuns } from './load-live-runs.ts';
import type { ParentScopes } from './parent-scope.ts';
import type { RefusedRun, RefuseRuns } from './refuse-runs.ts';

export interface WorkerPoolOptions extends ExecuteDeps {
  definitions: Definitions;
  timeouts: AdaptiveTimeouts;
  apiUrl: () => string | undefined;
  hasWorkspace: HasWorkspace;
  parents: ParentScopes;
  /** Routes that this node serves now. */
  routes: () => Promise<readonly string[]>;
  /** Hears of every batch that is claimed. */
  onClaimed?: (claimed: readonly ClaimedRun[]) => void;
  /** What becomes of runs that this node lacks a step type of; absent: the step fails. */
  refuse?: RefuseRuns;
  workers: number;
  inFlight: number;
  leaseMs: number;
  /** How long a pass without success is waited after, at most. */
  pollMs: () => number;
}

export interface WorkerPool extends Service {
  /** There may be something to claim. */
  wake(): void;
  /** Runs this node holds, by id. */
  readonly runs: ReadonlyMap<string, LiveRun>;
  /** Holds back new claims (true); they are taken up again once nobody holds them back. */
  pause(paused: boolean, by: string): void;
  /** Claims nothing more and returns when all runs have ended, or after `timeoutMs`, giving back what still runs. */
  drain(timeoutMs: number): Promise<void>;
  /** Ends every run's steps. */
  abortAll(reason: AbortReason): void;
  places(): { workers: number; workersFree: number; inFlight: number; inFlightFree: number };
}

/** Runs claimed by one statement. */
const claimBatch = 200;
type Weight = 'light' | 'heavy';
const weights: readonly Weight[] = ['light', 'heavy'];

export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const runs = new Map<string, LiveRun>();
  const active: Record<Weight, number> = { light: 0, heavy: 0 };
  const size: Record<Weight, number> = { light: options.inFlight, heavy: options.workers };
  const work = createWakeUp();
  /** Weights whose queue is worth a look. */
  const due = new Set<Weight>();
  /** Runs here that are on their last claim. */
  let suspects = 0;
  const pausedBy = new Set<string>();
  let onIdle: (() => void) | undefined;
  const loop = createLoopService({
    name: 'worker-pool',
    loop: claimLoop,
    onCrash: (error) => options.events.emit('service.crashed', { service: 'worker-pool', error: String(error) }),
  });

  async function claimLoop(signal: AbortSignal): Promise<void> {
    let idleMs = 50;
    lookAtAll();
    while (!signal.aborted) {
      let claimed = 0;
      for (const weight of weights) {
        const limit = pausedBy.size > 0 ? 0 : Math.min(size[weight] - active[weight], claimBatch);
        if (limit <= 0 || !due.delete(weight)) continue;
        const got = await claimBatchOf(weight, limit);
        claimed += got;
        // There is more; but a batch of a few costs as much as one of many.
        if (got === limit && isWorthALook(weight)) due.add(weight);
      }
      if (due.size > 0 && claimed > 0) continue;
      idleMs = claimed > 0 ? 50 : Math.min(idleMs * 2, options.pollMs());
      if (await work.wait(idleMs, signal)) idleMs = 50;
      else lookAtAll();
    }
  }

  function lookAtAll(): void {
    for (const weight of weights) due.add(weight);
  }

  /** A free worker is, always; light places are when a good part of them is free. */
  function isWorthALook(weight: Weight): boolean {
    return weight === 'heavy' ? active.heavy < size.heavy : active.light <= size.light / 2;
  }

  async function claimBatchOf(weight: Weight, limit: number): Promise<number> {
    const { node, leaseMs, refuse } = options;
    const sentAt = options.clock.monotonic();
    // While a run is here that may be what ends nodes, others under suspicion stay away: one death tells of one run.
    const claimsBelow = suspects > 0 ? maxClaims - 1 : undefined;
    const found = await claimKnown({ routes: await options.routes(), weight, limit, node, leaseMs, claimsBelow });
    const claimed = await withOneSuspect(found);
    if (claimed.length === 0) return 0;
    options.onClaimed?.(claimed);
    active[weight] += claimed.length;
    let live: LiveRun[];
    let refused: RefusedRun[];
    try {
      ({ runs: live, refused } = await loadLiveRuns(claimed, { ...options, leavesToOthers: refuse !== undefined }));
      await refuse?.(refused);
    } catch (error) {
      active[weight] -= claimed.length;
      await giveBack(claimed);
      throw error;
    }
    // No heartbeat extends a lease before its run is in the books: after a slow load nothing may begin.
    if (options.clock.monotonic() - sentAt > (leaseMs * 2) / 3) {
      active[weight] -= claimed.length;
      await giveBack(claimed);
      return claimed.length;
    }
    active[weight] -= claimed.length - live.length;
    for (const run of live) carryOut(run, weight);
    return claimed.length;
  }

  /** A claim whose answer is lost is given back: nothing has begun, and at the next one it would count as a node's death. */
  async function claimKnown(wanted: Parameters<typeof claimRuns>[1]): Promise<ClaimedRun[]> {
    try {
      return await claimRuns(options.db, wanted);
    } catch (error) {
      if (!(error instanceof AmbiguousCommitError)) throw error;
      options.events.emit('service.crashed', { service: 'worker-pool', error: error.message });
      await returnLostClaims(options.db, options.node, runs.keys());
      return [];
    }
  }

  /** Of runs on their last claim the first stays; the others come when it has shown what it is. */
  async function withOneSuspect(claimed: ClaimedRun[]): Promise<ClaimedRun[]> {
    const [, ...others] = claimed.filter(isSuspect);
    if (others.length === 0) return claimed;
    await giveBack(others);
    return claimed.filter((run) => !others.includes(run));
  }

  /** Nothing of them has begun, and the claim counts for nothing. Where even that fails, their leases lapse. */
  async function giveBack(claimed: readonly ClaimedRun[]): Promise<void> {
    try {
      await returnClaims(options.db, claimed);
    } catch (error) {
      options.events.emit('service.crashed', { service: 'worker-pool', error: describe(error) });
    }
  }

  function carryOut(run: LiveRun, weight: Weight): void {
    // This node had lost it and did not know yet: no heartbeat would tell the old claim any more.
    const before = runs.get(run.claimed.runId);
    if (before) abortRun(before, 'lease_lost');
    runs.set(run.claimed.runId, run);
    if (isSuspect(run.claimed)) suspects += 1;
    run.span = startRunSpan(run.claimed, run.record);
    run.span.within(() => tellClaimed(run.claimed));
    executeRun(run, options).then(
      () => letGo(run, weight),
      (error: unknown) => {
        // A fault of the engine itself: the lease lapses and the run is taken up again; what still runs of it ends.
        abortRun(run, 'lease_lost');
        options.events.emit('service.crashed', { service: `run ${run.claimed.runId}`, error: describe(error) });
        letGo(run, weight);
      },
    );
  }

  function letGo(run: LiveRun, weight: Weight): void {
    if (runs.get(run.claimed.runId) === run) runs.delete(run.claimed.runId);
    if (isSuspect(run.claimed)) suspects -= 1;
    active[weight] -= 1;
    if (active.heavy + active.light === 0) onIdle?.();
    if (!isWorthALook(weight)) return;
    due.add(weight);
    work.wake();
  }

  function tellClaimed(claimed: ClaimedRun): void {
    options.events.emit('run.claimed', {
      runId: claimed.runId,
      tenant: claimed.tenant,
      pipeline: claimed.pipeline,
      waitMs: Math.max(0, claimed.claimedAt.getTime() - dueAt(claimed)),
      token: claimed.token,
      node: options.node,
    });
  }

  function wake(): void {
    lookAtAll();
    work.wake();
  }

  function whenIdle(): Promise<void> {
    if (active.heavy + active.light === 0) return Promise.resolve();
    return new Promise((resolve) => {
      onIdle = resolve;
    });
  }

  function abortAll(reason: AbortReason): void {
    for (const run of runs.values()) abortRun(run, reason);
  }

  return {
    name: 'worker-pool',
    runs,
    wake,
    pause(paused, by) {
      if (paused) pausedBy.add(by);
      else if (pausedBy.delete(by) && pausedBy.size === 0) wake();
    },
    abortAll,
    places: () => ({
      workers: size.heavy,
      workersFree: Math.max(0, size.heavy - active.heavy),
      inFlight: size.light,
      inFlightFree: Math.max(0, size.light - active.light),
    }),
    start: () => loop.start(),
    async drain(timeoutMs) {
      await loop.stop();
      let timer: NodeJS.Timeout | undefined;
      const overdue = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, timeoutMs);
      });
      await Promise.race([whenIdle(), overdue]);
      clearTimeout(timer);
    },
    async stop() {
      await loop.stop();
      abortAll('shutdown');
      await whenIdle();
    },
  };
}

/** Its nodes have died in a row before anything had come of it: once more, and it is dead. */
function isSuspect({ claims }: ClaimedRun): boolean {
  return claims >= maxClaims;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** A run that was not to start before a time was not waiting until then. Milliseconds since the epoch. */
function dueAt({ enqueuedAt, record }: ClaimedRun): number {
  return Math.max(enqueuedAt.getTime(), record?.runAt?.getTime() ?? 0);
}
