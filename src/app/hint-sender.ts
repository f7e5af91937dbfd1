// Decides when hints go out: the first of a kind at once, then at most one in a while, however often something happens.
import type { Clock } from '../base/clock.ts';

/**
 * `work`: something may be claimable. `schedules`: one changed. `requests`: a node was asked to pause or cancel a run.
 * `history`: there is news of runs. `config`: another configuration is in force.
 */
export const hintKinds = ['work', 'schedules', 'requests', 'history', 'config'] as const;
export type HintKind = (typeof hintKinds)[number];

export interface Hints {
  kinds: HintKind[];
  /** Nodes that `requests` are for; absent: all. */
  asked?: string[] | undefined;
}

export interface HintSender {
  /** `node`: for `requests`, who is asked; absent: everybody. */
  tell(kind: HintKind, node?: string): void;
  /** Sends at once what has not gone out, and nothing after it. */
  stop(): Promise<void>;
}

/** Shortest time between two hints of a kind, in milliseconds. */
const gapMs: Readonly<Record<HintKind, number>> = { work: 10, schedules: 10, requests: 10, history: 50, config: 10 };
/** A notice holds less than 8,000 bytes. */
const mostAsked = 100;

export function createHintSender(options: { clock: Clock; send: (hints: Hints) => Promise<void> }): HintSender {
  const { clock } = options;
  const pending = new Set<HintKind>();
  let isPumpDue = false;
  const asked = new Set<string>();
  const sentAt = new Map<HintKind, number>();
  let isSending = false;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;

  function dueAt(kind: HintKind): number {
    return (sentAt.get(kind) ?? Number.NEGATIVE_INFINITY) + gapMs[kind];
  }

  /** Sends what is due, and comes back for the rest. */
  function pump(): void {
    if (isSending || isStopped || pending.size === 0) return;
    clearTimeout(timer);
    timer = undefined;
    const now = clock.monotonic();
    const due = [...pending].filter((kind) => dueAt(kind) <= now);
    if (due.length > 0) void send(due, now);
    else timer = setTimeout(pump, Math.ceil(Math.min(...[...pending].map(dueAt)) - now));
  }

  async function send(kinds: HintKind[], now: number): Promise<void> {
    isSending = true;
    for (const kind of kinds) {
      pending.delete(kind);
      sentAt.set(kind, now);
    }
    const isNamed = kinds.includes('requests') && asked.size > 0 && asked.size <= mostAsked && !asked.has(everybody);
    const hints: Hints = isNamed ? { kinds, asked: [...asked] } : { kinds };
    if (kinds.includes('requests')) asked.clear();
    await options.send(hints);
    isSending = false;
    pump();
  }

  return {
    tell(kind, node) {
      if (kind === 'requests') asked.add(node ?? everybody);
      if (pending.has(kind) || isStopped) return;
      pending.add(kind);
      if (isPumpDue) return;
      isPumpDue = true;
      // What one turn of the event loop tells is one notice.
      queueMicrotask(() => {
        isPumpDue = false;
        pump();
      });
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      if (pending.size > 0) await send([...pending], clock.monotonic());
    },
  };
}

const everybody = '*';
