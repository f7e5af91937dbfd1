// Looks at the other nodes: how many live, whether another configuration was applied, and whether their files agree.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service } from '../base/service.ts';
import { createWakeUp } from '../base/wake-up.ts';
import type { Queryable } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import { findLiveNodes, type LiveNode } from '../store/live-nodes.ts';

export interface NodeWatchOptions {
  db: Queryable;
  clock: Clock;
  events: EventBus;
  node: string;
  leaseMs: number;
  /** Longest time between two looks, in milliseconds. */
  everyMs: () => number;
  /** How long the files of live nodes may differ before it is told, in milliseconds. */
  divergedAfterMs: number;
  /** How many others live. */
  onPeers: (count: number) => void;
  /** Number of the last apply, at every look. */
  onApply: (seq: number) => Promise<void>;
}

export interface NodeWatch extends Service {
  /** Another configuration may have been applied. */
  wake(): void;
}

export function createNodeWatch(options: NodeWatchOptions): NodeWatch {
  const { db, clock, events } = options;
  const due = createWakeUp();
  const divergence = createDivergence(options);

  async function look(): Promise<void> {
    const { nodes, seq } = await findLiveNodes(db, options.leaseMs);
    options.onPeers(nodes.filter((one) => one.id !== options.node).length);
    // A node whose own heartbeat fails sees nobody: that tells nothing of the others.
    if (nodes.length > 0) events.emit('nodes.counted', { live: nodes.length, hashes: divergence.observe(nodes) });
    if (seq !== undefined) await options.onApply(seq);
  }

  const loop = createLoopService({
    name: 'node-watch',
    async loop(signal) {
      while (!signal.aborted) {
        await look();
        const alertMs = divergence.alertInMs(clock.monotonic()) ?? Number.POSITIVE_INFINITY;
        await due.wait(Math.min(options.everyMs(), Math.max(alertMs, 50)), signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'node-watch', error: String(error) }),
  });
  return { name: 'node-watch', wake: () => due.wake(), start: () => loop.start(), stop: () => loop.stop() };
}

/** Tells once of each way in which the files differ for too long, and once that they agree again. */
function createDivergence({ clock, events, divergedAfterMs }: NodeWatchOptions) {
  let since: number | undefined;
  let told: string | undefined;

  return {
    /** Returns how many different configurations there are. */
    observe(nodes: readonly LiveNode[]): number {
      const distinct = new Set(nodes.map((one) => one.configHash));
      if (distinct.size <= 1) {
        if (told !== undefined) events.emit('config.converged', { hash: [...distinct][0] ?? '' });
        since = undefined;
        told = undefined;
        return distinct.size;
      }
      since ??= clock.monotonic();
      const forMs = clock.monotonic() - since;
      const which = [...distinct].sort().join(' ');
      if (forMs >= divergedAfterMs && which !== told) {
        told = which;
        events.emit('config.diverged', { hashes: hashesByNode(nodes), forMs: Math.round(forMs) });
      }
      return distinct.size;
    },
    /** Milliseconds until it is to be told, where it is not yet. */
    alertInMs(now: number): number | undefined {
      return since === undefined || told !== undefined ? undefined : since + divergedAfterMs - now;
    },
  };
}

/** Nodes of one name (containers of one image) are told apart by their ids. */
function hashesByNode(nodes: readonly LiveNode[]): Record<string, string> {
  const hashes: Record<string, string> = {};
  for (const { id, name, configHash } of nodes) {
    hashes[Object.hasOwn(hashes, name) ? `${name} (${id})` : name] = configHash;
  }
  return hashes;
}
