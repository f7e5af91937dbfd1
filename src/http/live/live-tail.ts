// Hears of everything that happens to runs while somebody listens: this node's workers from memory, all else from the database.
import type { Clock } from '../../base/clock.ts';
import { createLoopService, sleepUnlessAborted } from '../../base/service.ts';
import { createWakeUp } from '../../base/wake-up.ts';
import type { Queryable } from '../../db/database.ts';
import type { Transition } from '../../domain/run.ts';
import type { EventBus, Events } from '../../observe/events.ts';
import { enqueuedTransition } from '../../reads/enqueued-transition.ts';
import {
  type HistoryEntry,
  historyKeysSince,
  instantOfId,
  readBelow,
  readEnqueued,
  readEntries,
  runIdsSince,
} from '../../reads/live-history.ts';
import { createRunOrder, type RunOrder } from './run-order.ts';

export interface LiveTailOptions {
  db: Queryable;
  clock: Clock;
  events: EventBus;
  /** Longest time between two looks at what others wrote, in milliseconds. */
  pollMs: number;
  /** Each entry once, and those of a run in order wherever that is possible. */
  onEntries: (entries: readonly HistoryEntry[]) => void;
}

export interface LiveTail {
  /** Resolves once nothing can be missed that becomes durable from now on. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Somebody else may have written: look now. */
  wake(): void;
}

/** How far back each look reads again: an entry bears the time at which its writing began. */
export const rereadMs = 5_000;
const holdMs = 2_000;
const memoryMs = 2 * rereadMs;
const maxHeld = 10_000;
const pageSize = 2_000;
const entriesAtOnce = 500;
/** Looks with something missing come soon. */
const impatientMs = 25;
const leastGapMs = 50;

export function createLiveTail(options: LiveTailOptions): LiveTail {
  const { db, clock, events, pollMs, onEntries } = options;
  const hint = createWakeUp();
  let order: RunOrder | undefined;
  let startedMs = 0;
  let ready: Resolvable | undefined;
  let isLookWanted = false;
  let ends: (() => void)[] = [];

  function offer(entry: HistoryEntry): void {
    if (!order) return;
    const waitingBefore = order.waiting;
    const told = order.offer(entry, clock.now());
    if (told.length > 0) onEntries(told);
    if (order.waiting > waitingBefore) hint.wake();
  }

  function wake(): void {
    isLookWanted = true;
    hint.wake();
  }

  function listen(): (() => void)[] {
    return [
      events.on('history.written', (written) => offer(entryOf(written))),
      events.on('run.enqueued', (run) => offer(enqueuedEntry(run, clock.now()))),
      // Written by statements that do not tell the numbers.
      events.on('run.rescued', wake),
      events.on('run.finished', ({ state }) => {
        if (state === 'cancelled' || state === 'dead_letter') wake();
      }),
    ];
  }

  /** What was there before the first look is no news. */
  async function look(sinceMs: number, isFirst: boolean): Promise<void> {
    const known = order as RunOrder;
    for await (const ids of runIdsSince(db, sinceMs, pageSize)) {
      const fresh = ids.filter((id) => !known.isKnown(id, 1));
      const old = isFirst ? fresh.filter((id) => instantOfId(id) < startedMs) : [];
      for (const id of old) known.skip(id, 1);
      const news = fresh.filter((id) => !known.isKnown(id, 1));
      for (const part of partsOf(news)) for (const entry of await readEnqueued(db, part)) offer(entry);
    }
    for await (const keys of historyKeysSince(db, sinceMs, pageSize)) {
      const fresh = keys.filter(({ runId, seq }) => !known.isKnown(runId, seq));
      const old = isFirst ? fresh.filter((key) => key.at < startedMs) : [];
      for (const { runId, seq } of old) known.skip(runId, seq);
      const news = fresh.filter(({ runId, seq }) => !known.isKnown(runId, seq));
      for (const part of partsOf(news)) for (const entry of await readEntries(db, part)) offer(entry);
    }
  }

  async function findMissing(): Promise<void> {
    const known = order as RunOrder;
    for (const part of partsOf(known.wanted(clock.now()))) {
      const told = known.fill(await readBelow(db, part));
      if (told.length > 0) onEntries(told);
    }
    const late = known.expire(clock.now());
    if (late.length > 0) onEntries(late);
  }

  const loop = createLoopService({
    name: 'live-tail',
    async loop(signal) {
      let seenToMs = startedMs;
      let isFirst = true;
      let nextLookAt = clock.monotonic();
      let notBefore = nextLookAt;
      while (!signal.aborted) {
        const now = clock.monotonic();
        if (now >= nextLookAt || (isLookWanted && now >= notBefore)) {
          isLookWanted = false;
          const beganMs = clock.now();
          await look(seenToMs - rereadMs, isFirst);
          seenToMs = Math.max(seenToMs, beganMs);
          isFirst = false;
          ready?.resolve();
          const tookMs = clock.monotonic() - now;
          nextLookAt = now + Math.max(pollMs, 4 * tookMs);
          // A look takes a fifth of the time at most, however often it is asked for.
          notBefore = clock.monotonic() + Math.max(leastGapMs, 4 * tookMs);
        }
        await findMissing();
        const until = isLookWanted ? Math.min(nextLookAt, notBefore) : nextLookAt;
        const waitMs = Math.max(0, until - clock.monotonic());
        if (order && order.waiting > 0) await sleepUnlessAborted(Math.min(waitMs, impatientMs), signal);
        else await hint.wait(waitMs, signal);
      }
    },
    onCrash: (error) => events.emit('service.crashed', { service: 'live-tail', error: String(error) }),
  });

  return {
    async start() {
      startedMs = clock.now();
      order = createRunOrder({ startedMs, holdMs, memoryMs, maxHeld });
      ready = createResolvable();
      ends = listen();
      await loop.start();
      await ready.promise;
    },
    async stop() {
      for (const end of ends.splice(0)) end();
      await loop.stop();
      ready?.resolve();
      order = undefined;
    },
    wake,
  };
}

function entryOf({ transitions, ...written }: Events['history.written']): HistoryEntry {
  return { ...written, at: transitions.at(-1)?.at ?? 0, transitions: transitions as readonly Transition[] };
}

function enqueuedEntry(run: Events['run.enqueued'], nowMs: number): HistoryEntry {
  const { runId, tenant, pipeline, origin } = run;
  const schedule = run.schedule ?? null;
  const transition = enqueuedTransition({
    at: new Date(nowMs),
    runAt: run.runAt === undefined ? null : new Date(run.runAt),
    origin,
    actor: run.actor ?? null,
    parentId: run.parentId ?? null,
    schedule,
  });
  return { runId, tenant, pipeline, schedule, seq: 1, node: null, at: nowMs, transitions: [transition] };
}

function* partsOf<Item>(items: readonly Item[]): Generator<Item[]> {
  for (let from = 0; from < items.length; from += entriesAtOnce) yield items.slice(from, from + entriesAtOnce);
}

interface Resolvable {
  promise: Promise<void>;
  resolve(): void;
}

function createResolvable(): Resolvable {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
