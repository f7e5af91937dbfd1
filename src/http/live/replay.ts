// Sends one client what happened since an instant, and knows afterwards what it has sent.
import type { Clock } from '../../base/clock.ts';
import type { Queryable } from '../../db/database.ts';
import { isUuid } from '../../reads/cursor.ts';
import { packLiveCursor } from '../../reads/live-cursor.ts';
import { oldestHistoryMs, type ReplayScope, replayHistory } from '../../reads/live-history.ts';
import { truncatedName } from './event-names.ts';
import { type FramedEvent, framesOf } from './frames.ts';
import type { LiveConnection } from './live-connection.ts';
import { alertEvent, eventsOf, type LiveEvent } from './live-event.ts';
import { fits, type LiveFilter } from './live-filter.ts';
import { rereadMs } from './live-tail.ts';
import { createOlderWords } from './older-words.ts';

export interface Replay {
  /** Sends all from the instant on. False where the client has gone, or does not read. */
  run(fromMs: number): Promise<boolean>;
  /** Once more what was written lately; called when whatever comes later is heard by other means. */
  finish(): Promise<boolean>;
  /** Whether it was sent, for events of the last seconds. */
  hasSent(event: LiveEvent): boolean;
}

const pageSize = 500;
/** A client that takes nothing for so long is not worth the memory. */
const patienceMs = 30_000;
/** Clocks of nodes, which make ids, may differ from the database's. */
const skewMs = 5_000;

export function createReplay(options: {
  db: Queryable;
  clock: Clock;
  connection: LiveConnection;
  filter: LiveFilter;
  /** For how long history is kept at least. */
  historyMs: number;
  node: string;
}): Replay {
  const { db, clock, connection, filter } = options;
  const scope: ReplayScope = { tenant: filter.tenant, runs: filter.runs && [...filter.runs].filter(isUuid) };
  const inOlderWords = createOlderWords();
  let sent = new Set<string>();
  let beganMs = 0;

  /** Sends what is in the window and was not sent yet; remembers only what a later window can hold again. */
  async function send(fromMs: number): Promise<boolean> {
    beganMs = clock.now();
    const again = new Set<string>();
    let cursor = packLiveCursor(fromMs);
    const window = { fromMs, toMs: beganMs + skewMs, skewMs, limit: pageSize };
    for await (const entries of replayHistory(db, window, scope)) {
      const framed: FramedEvent[] = [];
      for (const entry of entries) {
        // Enqueues come ahead of the rows of their time: whoever goes on after one must not miss those.
        if (entry.seq > 1) cursor = packLiveCursor(entry.at);
        const isLate = entry.at >= beganMs - 2 * rereadMs;
        for (const event of eventsOf(entry)) {
          const key = keyOf(event);
          if (isLate) again.add(key);
          if (!sent.has(key) && fits(filter, event)) framed.push({ event, cursor, frames: {} });
        }
      }
      const told = filter.isLegacy ? framed.flatMap(inOlderWords) : framed;
      if (told.length > 0) connection.write(framesOf(told, connection.encoding));
      if (!(await connection.drained(patienceMs))) return false;
    }
    sent = again;
    return connection.isOpen;
  }

  /** A cursor from before what is kept: the client must know that something is missing. */
  async function tellTruncated(fromMs: number): Promise<void> {
    if (fromMs >= clock.now() - options.historyMs) return;
    const oldestMs = await oldestHistoryMs(db);
    const event = alertEvent({
      name: truncatedName,
      atMs: clock.now(),
      node: options.node,
      reason: 'the history of that time is no longer kept: the stream begins with the oldest that is',
      data: {
        asked_from: new Date(fromMs).toISOString(),
        begins_at: oldestMs === undefined ? null : new Date(oldestMs).toISOString(),
      },
    });
    connection.write(framesOf([{ event, cursor: null, frames: {} }], connection.encoding));
  }

  return {
    async run(fromMs) {
      await tellTruncated(fromMs);
      if (!(await send(fromMs))) return false;
      // What happened meanwhile is little after a short pass; after a long one it is worth another.
      while (clock.now() - beganMs > rereadMs) if (!(await send(beganMs - rereadMs))) return false;
      return true;
    },
    finish: () => send(beganMs - rereadMs),
    hasSent: (event) => sent.has(keyOf(event)),
  };
}

function keyOf({ runId, seq }: LiveEvent): string {
  return `${runId}/${seq}`;
}
