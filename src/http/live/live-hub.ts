// All clients of the live stream: who hears what happens now, who is sent the past first, and how many there may be.
import type { Clock } from '../../base/clock.ts';
import type { Queryable } from '../../db/database.ts';
import { CronwrightError } from '../../domain/errors.ts';
import type { EventBus } from '../../observe/events.ts';
import { packLiveCursor } from '../../reads/live-cursor.ts';
import type { HistoryEntry } from '../../reads/live-history.ts';
import { deadLetterAlert, subscribeAlerts } from './alerts.ts';
import { type FramedEvent, framesOf } from './frames.ts';
import type { LiveConnection } from './live-connection.ts';
import { eventsOf, type LiveEvent } from './live-event.ts';
import { fits, type LiveFilter } from './live-filter.ts';
import { createLiveRounds } from './live-rounds.ts';
import { createLiveTail, rereadMs } from './live-tail.ts';
import { createOlderWords } from './older-words.ts';
import { createReplay, type Replay } from './replay.ts';

export interface LiveHubOptions {
  db: Queryable;
  clock: Clock;
  events: EventBus;
  /** Id of this node. */
  node: string;
  /** Longest time between two looks at what other nodes wrote, in milliseconds; default 1,000. */
  pollMs?: number | undefined;
  /** For how long history is kept at least, in milliseconds; default 90 days. */
  historyMs?: number | undefined;
  maxClients?: number | undefined;
  /** Bytes that a client may be behind; default 1 MiB. */
  maxBacklogBytes?: number | undefined;
  heartbeatMs?: number | undefined;
}

export interface LiveSubscription {
  /** Resolves once all events from now on reach the connection; false where it has closed before. */
  readonly live: Promise<boolean>;
  end(): void;
}

export interface LiveHub {
  readonly node: string;
  readonly heartbeatMs: number;
  readonly isStopped: boolean;
  /** Clients that are connected, and those of them that hear something. */
  counts(): { connections: number; subscriptions: number; byTransport: Record<LiveConnection['transport'], number> };
  /** Throws `unavailable` where there are too many clients, or the daemon stops. */
  requireRoom(): void;
  /** Counts the connection until it closes, and lets it hear heartbeats. */
  add(connection: LiveConnection): void;
  /** Now, as the cursors of this node count. */
  now(): number;
  /** Events that fit go to the connection; `fromMs`: those since then first, from the database. */
  subscribe(connection: LiveConnection, filter: LiveFilter, fromMs?: number): LiveSubscription;
  /** Other nodes may have written: look now. */
  wake(): void;
  /** Ends all connections. */
  stop(): Promise<void>;
}

/** Of one node; what a machine carries is in bench/README.md. */
const maxClientsDefault = 10_000;
const maxBacklogDefault = 1_048_576;
const heartbeatDefault = 15_000;
const historyDefault = 7_776_000_000;
/** How long a client that was sent the past is looked after by itself, because what it has been sent may be told again. */
const settleMs = 2 * rereadMs;
const maxPending = 10_000;

/** A client that is sent the past first. */
interface Follower {
  connection: LiveConnection;
  filter: LiveFilter;
  replay: Replay;
  /** Undefined: what happens now is still to be read from the database. */
  pending: FramedEvent[] | undefined;
  isCaughtUp: boolean;
  joinsAt: number;
}

export function createLiveHub(options: LiveHubOptions): LiveHub {
  const { db, clock, events, node } = options;
  const { maxClients = maxClientsDefault, maxBacklogBytes = maxBacklogDefault } = options;
  const { heartbeatMs = heartbeatDefault, historyMs = historyDefault } = options;
  const connections = new Set<LiveConnection>();
  const followers = new Set<Follower>();
  let subscriptions = 0;
  let isStopped = false;
  let heartbeat: NodeJS.Timeout | undefined;
  let changes: Promise<void> = Promise.resolve();
  let tailing: { ready: Promise<void>; endAlerts: () => void } | undefined;
  const inOlderWords = createOlderWords();
  const rounds = createLiveRounds({
    clock,
    inOlderWords,
    maxBacklogBytes,
    onRound: () => {
      for (const follower of followers) catchUp(follower);
    },
    onSent: (count) => events.emit('live.published', { count }),
  });
  const tail = createLiveTail({ db, clock, events, pollMs: options.pollMs ?? 1_000, onEntries: publishEntries });

  function publishEntries(entries: readonly HistoryEntry[]): void {
    const atMs = clock.now();
    const cursor = packLiveCursor(atMs);
    for (const entry of entries) {
      for (const event of eventsOf(entry)) {
        publish({ event, cursor, frames: {} });
        if (event.name !== 'run.dead_lettered') continue;
        const { runId, tenant, pipeline, schedule } = entry;
        const alert = deadLetterAlert({ atMs, node, runId, tenant, pipeline, schedule: schedule ?? undefined });
        publish({ event: alert, cursor: null, frames: {} });
      }
    }
  }

  function publish(framed: FramedEvent): void {
    rounds.publish(framed);
    for (const follower of followers) {
      if (!follower.pending || !fits(follower.filter, framed.event)) continue;
      follower.pending.push(framed);
      if (follower.pending.length > maxPending) follower.connection.end('too_slow');
    }
  }

  function catchUp(follower: Follower): void {
    if (!follower.isCaughtUp || !follower.pending) return;
    const news = follower.pending.filter(({ event }) => !follower.replay.hasSent(event));
    follower.pending = [];
    const told = follower.filter.isLegacy ? news.flatMap(inOlderWords) : news;
    if (told.length > 0) rounds.send(follower.connection, framesOf(told, follower.connection.encoding));
    if (clock.monotonic() < follower.joinsAt) return;
    followers.delete(follower);
    rounds.join(follower.connection, follower.filter);
  }

  /** Nothing is read and nothing heard while nobody listens. */
  async function listenWhereAsked(): Promise<void> {
    if (subscriptions > 0 && !tailing && !isStopped) {
      const onAlert = (event: LiveEvent) => publish({ event, cursor: null, frames: {} });
      tailing = { endAlerts: subscribeAlerts({ events, clock, node, onAlert }), ready: tail.start() };
    } else if ((subscriptions === 0 || isStopped) && tailing) {
      tailing.endAlerts();
      tailing = undefined;
      await tail.stop();
    }
  }

  /** Resolves once nothing is missed that becomes durable from now on. */
  async function count(by: 1 | -1): Promise<void> {
    subscriptions += by;
    changes = changes.then(listenWhereAsked);
    await changes;
    await tailing?.ready;
  }

  async function follow(follower: Follower, fromMs: number, tailed: Promise<void>): Promise<boolean> {
    const { connection, replay } = follower;
    try {
      if (await sendPast(follower, replay, fromMs, tailed)) return true;
      // Does nothing where the client has gone.
      connection.end('too_slow');
    } catch (error) {
      events.emit('service.crashed', { service: 'live-replay', error: String(error) });
      connection.end('failed');
    }
    return false;
  }

  async function sendPast(follower: Follower, replay: Replay, fromMs: number, tailed: Promise<void>): Promise<boolean> {
    if (!(await replay.run(fromMs))) return false;
    await tailed;
    follower.pending = [];
    if (!(await replay.finish())) return false;
    follower.isCaughtUp = true;
    follower.joinsAt = clock.monotonic() + settleMs;
    rounds.schedule();
    return true;
  }

  return {
    node,
    heartbeatMs,
    get isStopped() {
      return isStopped;
    },
    counts() {
      const byTransport = { sse: 0, websocket: 0 };
      for (const { transport } of connections) byTransport[transport] += 1;
      return { connections: connections.size, subscriptions, byTransport };
    },
    requireRoom() {
      if (isStopped) {
        throw new CronwrightError('unavailable', 'the daemon is stopping: connect to another node, or later');
      }
      if (connections.size < maxClients) return;
      throw new CronwrightError(
        'unavailable',
        `this node has ${maxClients} clients of the live stream, and takes no more`,
      );
    },
    add(connection) {
      const { transport } = connection;
      connections.add(connection);
      events.emit('live.connected', { transport });
      heartbeat ??= setInterval(() => {
        for (const one of connections) one.beat();
      }, heartbeatMs).unref();
      connection.onClosed(() => {
        connections.delete(connection);
        if (connections.size > 0) return;
        clearInterval(heartbeat);
        heartbeat = undefined;
      });
    },
    now: () => clock.now(),
    subscribe(connection, filter, fromMs) {
      const tailed = count(1);
      let follower: Follower | undefined;
      let live: Promise<boolean>;
      if (fromMs === undefined) {
        rounds.join(connection, filter);
        live = tailed.then(() => connection.isOpen);
      } else {
        const replay = createReplay({ db, clock, connection, filter, historyMs, node });
        follower = { connection, filter, replay, pending: undefined, isCaughtUp: false, joinsAt: 0 };
        followers.add(follower);
        live = follow(follower, fromMs, tailed);
      }
      let isEnded = false;
      const end = () => {
        if (isEnded) return;
        isEnded = true;
        rounds.leave(connection);
        if (follower) followers.delete(follower);
        void count(-1);
      };
      connection.onClosed(end);
      return { live, end };
    },
    wake: () => tail.wake(),
    async stop() {
      isStopped = true;
      for (const connection of [...connections]) connection.end('shutdown');
      changes = changes.then(listenWhereAsked);
      await changes;
    },
  };
}
