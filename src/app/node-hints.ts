// What the nodes tell each other beside the database: hints go out to whom there is, and what comes in wakes the loops here.
import { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import type { HintLine } from '../db/database.ts';
import type { EventBus } from '../observe/events.ts';
import { createHintSender, type HintKind, hintKinds } from './hint-sender.ts';

export interface NodeHintsOptions {
  /** Absent: there are no hints, everything goes by polling. */
  line: HintLine | undefined;
  node: string;
  clock: Clock;
  events: EventBus;
  /** What each hint of another node wakes here. */
  wake: Readonly<Record<HintKind, () => void>>;
}

export interface NodeHints {
  /** Tells the other nodes, where there are any. `node`: whose run was asked to end, for `requests`. */
  tell(kind: HintKind, node?: string): void;
  /** Whether what others tell arrives here now. */
  isListening(): boolean;
  /** Whether there may be other nodes. */
  hasPeers(): boolean;
  /** How many other nodes live, by the database. Where there is none nothing is sent. */
  setPeers(count: number): void;
  start(): void;
  stop(): Promise<void>;
}

// Anybody who may connect may notify: what is no hint of ours says nothing.
const notice = z.object({
  from: z.string(),
  kinds: z.array(z.string()),
  asked: z.array(z.string()).optional(),
});

export function createNodeHints(options: NodeHintsOptions): NodeHints {
  const { line, node, clock, events, wake } = options;
  // Until the first look nobody knows who else there is.
  let peers = 1;
  let isUp = false;
  let isTold = false;
  let listening: { close(): Promise<void> } | undefined;

  /** A hint that does not arrive is no loss: everybody polls. That the database does not answer is told elsewhere. */
  async function send(hints: { kinds: string[]; asked?: string[] | undefined }): Promise<void> {
    try {
      await line?.send(JSON.stringify({ from: node, ...hints }));
    } catch (error) {
      if (isUp) events.emit('hints.unsent', { error: String(error) });
    }
  }

  const sender = createHintSender({ clock, send });

  function hear(payload: string): void {
    const told = parseNotice(payload);
    if (!told || told.from === node) return;
    peers = Math.max(1, peers);
    for (const kind of hintKinds) {
      if (!told.kinds.includes(kind)) continue;
      if (kind !== 'requests' || told.asked === undefined || told.asked.includes(node)) wake[kind]();
    }
  }

  return {
    tell(kind, to) {
      if (line && peers > 0) sender.tell(kind, to);
    },
    isListening: () => isUp,
    hasPeers: () => peers > 0,
    setPeers(count) {
      peers = count;
    },
    start() {
      listening ??= line?.listen({
        onHint: hear,
        onUp() {
          isUp = true;
          isTold = false;
          events.emit('hints.listening', { node });
          // Whoever believed to be alone learns that it is not.
          void send({ kinds: [] });
          // What was told meanwhile is lost: it may have been anything.
          for (const kind of hintKinds) wake[kind]();
        },
        onDown(reason) {
          isUp = false;
          if (!isTold) events.emit('hints.lost', { reason });
          isTold = true;
          // From now on this node polls more often.
          wake.work();
        },
      });
    },
    async stop() {
      isUp = false;
      await sender.stop();
      await listening?.close();
    },
  };
}

function parseNotice(payload: string): z.infer<typeof notice> | undefined {
  try {
    return notice.safeParse(JSON.parse(payload)).data;
  } catch {
    return undefined;
  }
}
