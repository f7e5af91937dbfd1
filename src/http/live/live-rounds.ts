// Sends events to clients in rounds: each in its turn gets, in one write, all that has happened since its last turn.
import type { Clock } from '../../base/clock.ts';
import { type Encoding, type FramedEvent, framesOf } from './frames.ts';
import type { LiveConnection } from './live-connection.ts';
import { fits, type LiveFilter } from './live-filter.ts';
import type { createOlderWords } from './older-words.ts';

export interface LiveRounds {
  publish(framed: FramedEvent): void;
  /** Gets what is published from now on. */
  join(connection: LiveConnection, filter: LiveFilter): void;
  leave(connection: LiveConnection): void;
  /** There is something to do at the beginning of a round. */
  schedule(): void;
  /** Ends the connection where it is too far behind to be given more. */
  send(connection: LiveConnection, frames: Buffer): void;
}

/** Writing to many takes time: others have their turn after so many. */
const clientsAtOnce = 250;
/** The longest pause between rounds: it is part of how late an event is, and it saves a write to every client. */
const longestGapMs = 10;

/** Clients that get the same. */
interface Group {
  filter: LiveFilter;
  members: number;
  /** What a turn sends, by encoding: those who had their last turn together are sent the same bytes. */
  composed: Partial<Record<Encoding, { from: number; to: number; frames: Buffer | undefined }>>;
}

interface Member {
  connection: LiveConnection;
  group: Group;
  /** Number of the first event that it has not been sent. */
  next: number;
}

export function createLiveRounds(options: {
  clock: Clock;
  maxBacklogBytes: number;
  onRound: () => void;
  onSent: (count: number) => void;
  inOlderWords: ReturnType<typeof createOlderWords>;
}): LiveRounds {
  const { clock, maxBacklogBytes, onRound, onSent, inOlderWords } = options;
  const members = new Map<LiveConnection, Member>();
  const groups = new Map<string, Group>();
  /** Events that somebody has not been sent; the first has the number `first`. */
  let log: FramedEvent[] = [];
  let first = 0;
  let isScheduled = false;
  let isUnderWay = false;
  let notBefore = 0;

  const end = () => first + log.length;

  function schedule(): void {
    if (isScheduled || isUnderWay) return;
    isScheduled = true;
    const waitMs = notBefore - clock.monotonic();
    if (waitMs > 1) setTimeout(begin, waitMs);
    else setImmediate(begin);
  }

  function begin(): void {
    isScheduled = false;
    isUnderWay = true;
    void round();
  }

  async function round(): Promise<void> {
    const from = clock.monotonic();
    onRound();
    const toBeSent = end();
    let turns = 0;
    for (const member of [...members.values()]) {
      // It may have left since, or have come back to hear something else.
      if (members.get(member.connection) === member) turn(member);
      turns += 1;
      if (turns % clientsAtOnce === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    if (toBeSent > first) onSent(toBeSent - first);
    log = log.slice(toBeSent - first);
    first = toBeSent;
    notBefore = clock.monotonic() + Math.min(clock.monotonic() - from, longestGapMs);
    isUnderWay = false;
    if (log.length > 0) schedule();
  }

  function turn(member: Member): void {
    const { connection, group } = member;
    const frames = compose(group, connection.encoding, member.next);
    member.next = end();
    if (frames) send(connection, frames);
  }

  function compose(group: Group, encoding: Encoding, from: number): Buffer | undefined {
    const to = end();
    const last = group.composed[encoding];
    if (last && last.from === from && last.to === to) return last.frames;
    const fitting = log.slice(from - first).filter(({ event }) => fits(group.filter, event));
    const told = group.filter.isLegacy ? fitting.flatMap(inOlderWords) : fitting;
    const frames = told.length === 0 ? undefined : framesOf(told, encoding);
    group.composed[encoding] = { from, to, frames };
    return frames;
  }

  function send(connection: LiveConnection, frames: Buffer): void {
    if (connection.backlogBytes > maxBacklogBytes) connection.end('too_slow');
    else connection.write(frames);
  }

  return {
    send,
    schedule,
    publish(framed) {
      log.push(framed);
      schedule();
    },
    join(connection, filter) {
      const group = groups.get(filter.key) ?? { filter, members: 0, composed: {} };
      groups.set(filter.key, group);
      group.members += 1;
      members.set(connection, { connection, group, next: end() });
    },
    leave(connection) {
      const member = members.get(connection);
      if (!member) return;
      members.delete(connection);
      member.group.members -= 1;
      if (member.group.members === 0) groups.delete(member.group.filter.key);
    },
  };
}
