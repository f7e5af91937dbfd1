// The order of runs between tenants on this node: keys from memory, shared with the other nodes about once a second.
import type { Clock } from '../base/clock.ts';
import { createLoopService, type Service, sleepUnlessAborted } from '../base/service.ts';
import type { Queryable } from '../db/database.ts';
import { AmbiguousCommitError } from '../db/retries.ts';
import { costOf, FairQueue } from '../domain/fair-queue.ts';
import type { FairOrder } from '../domain/new-run.ts';
import { type FairTag, forgetFairTags, noteFairTags, readFairTags, readUnnotedFairTags } from './fair-tags.ts';

export interface SharedFairOrder extends FairOrder, Service {
  /** Takes up where the nodes before this one ended. */
  load(): Promise<void>;
  /** What a claim has taught. */
  reached(claimed: readonly { queue: string; priority: number; fair: number }[]): void;
  /** Tells the others and hears from them now. */
  share(): Promise<void>;
}

export interface FairOrderOptions {
  db: Queryable;
  clock: Clock;
  weightOf: (tenant: string) => number;
  /** Whether other nodes may give out keys, too. */
  hasPeers: () => boolean;
  onError: (error: unknown) => void;
  everyMs?: number;
}

const everyMs = 1_000;
/** `cronwright run` has a queue of its own, that nobody after it uses. */
const ofOneProcess = /^run-\d+$/;
/** A note counts as news for so long: longer than any statement that writes one. */
const newsMs = 10_000;
const forgetEveryMs = 3_600_000;
const everMs = 1_000_000_000_000;

export function createFairOrder(options: FairOrderOptions): SharedFairOrder {
  const { db, clock } = options;
  const queue = new FairQueue();
  let forgetAt = clock.monotonic() + forgetEveryMs;

  function learn(tags: readonly FairTag[]): void {
    for (const { tenant, queue: name, priority, tag } of tags) {
      if (tenant === '') queue.reach(name, priority, tag, true);
      else queue.learn(tenant, name, priority, tag);
    }
  }

  /** What was not told yet, marked as told: what is given out meanwhile is for the next time. */
  function takeNotes() {
    const notes = [];
    for (const lane of queue.lanes.values()) {
      const { queue: name, priority } = lane;
      if (ofOneProcess.test(name)) continue;
      if (lane.isMoved) notes.push({ tenant: '', queue: name, priority, tag: lane.virtual, added: 0 });
      lane.isMoved = false;
      for (const [tenant, one] of lane.tenants) {
        if (one.unsaved > 0) notes.push({ tenant, queue: name, priority, tag: one.tag, added: one.unsaved });
        one.unsaved = 0;
      }
    }
    return notes;
  }

  async function share(): Promise<void> {
    const notes = takeNotes();
    try {
      learn(await noteFairTags(db, notes));
      if (options.hasPeers()) learn(await readFairTags(db, newsMs));
    } catch (error) {
      // Told with the next ones, but where it may have been written: added once more it would set the tenant back. The place of a
      // tenant is in its next note anyway.
      const isWritten = error instanceof AmbiguousCommitError;
      for (const { tenant, queue: name, priority, added } of notes) {
        const lane = queue.lane(name, priority);
        const known = lane.tenants.get(tenant);
        if (known && !isWritten) known.unsaved += added;
        if (tenant === '') lane.isMoved = true;
      }
      throw error;
    }
    queue.forgetPast();
    if (clock.monotonic() < forgetAt) return;
    forgetAt = clock.monotonic() + forgetEveryMs;
    await forgetFairTags(db);
  }

  const loop = createLoopService({
    name: 'fair-order',
    async loop(signal) {
      while (!signal.aborted) {
        await sleepUnlessAborted(options.everyMs ?? everyMs, signal);
        if (!signal.aborted) await share();
      }
    },
    onCrash: options.onError,
  });

  return {
    name: 'fair-order',
    tagOf(run) {
      // One that is for later keeps its place until then, and nobody waits behind it before.
      return queue.next(run, costOf(options.weightOf(run.tenant)), run.runAt === null);
    },
    async load() {
      learn(await readFairTags(db, everMs));
      learn(await readUnnotedFairTags(db));
    },
    reached(claimed) {
      for (const { queue: name, priority, fair } of claimed) queue.reach(name, priority, fair);
    },
    share,
    start: () => loop.start(),
    async stop() {
      await loop.stop();
      // A restart takes up from here.
      await share().catch(options.onError);
    },
  };
}
