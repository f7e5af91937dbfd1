// Clients of the live stream that are not ours: the `eventsource` and `ws` packages, with what they heard.
import { once } from 'node:events';
import { EventSource } from 'eventsource';
import { WebSocket } from 'ws';
import { z } from 'zod';
import { liveEventView } from '../../src/http/live/live-event.ts';
import { eventually } from './engine-world.ts';

/** An event as it is on the wire: instants are text there. */
const wireEvent = liveEventView.extend({ at: z.iso.datetime() });

export type WireEvent = z.infer<typeof wireEvent>;

export interface LiveClient {
  /** Events with an envelope, in the order of their coming; everything is checked against the documented shape. */
  readonly heard: WireEvent[];
  /** The cursor that came last. */
  readonly cursor: string | undefined;
  /** `run_id/seq`, of one run where it is given. */
  numbers(runId?: string): number[];
  /** Once an event fits. */
  hears(fits: (event: WireEvent) => boolean, withinMs?: number): Promise<WireEvent>;
  close(): void;
}

export interface SocketClient extends LiveClient {
  readonly ws: WebSocket;
  readonly messages: Record<string, unknown>[];
  /** Code and words, once it has closed. */
  readonly closed: Promise<[number, string]>;
  send(message: unknown): void;
  says(type: string): Promise<Record<string, unknown>>;
}

function recorder() {
  const heard: WireEvent[] = [];
  return {
    heard,
    take: (data: unknown) => heard.push(wireEvent.parse(data)),
    numbers: (runId?: string) =>
      heard.filter((one) => runId === undefined || one.run_id === runId).flatMap((one) => one.seq ?? []),
    hears: (fits: (event: WireEvent) => boolean, withinMs = 20_000) =>
      eventually(async () => {
        const found = heard.find(fits);
        if (!found) throw new Error(`not heard; ${heard.length} events were, last ${JSON.stringify(heard.at(-1))}`);
        return found;
      }, withinMs),
  };
}

/** Connected once it returns. `names` are those the stream may have besides the ones of history. */
export async function readEvents(url: string, headers: Record<string, string> = {}): Promise<LiveClient> {
  const { heard, take, numbers, hears } = recorder();
  let cursor: string | undefined;
  const source = new EventSource(url, {
    fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }),
  });
  let isThere = () => {};
  const hello = new Promise<void>((resolve) => {
    isThere = resolve;
  });
  const refused = new Promise<never>((_, reject) => {
    source.addEventListener('error', (event) => {
      if (event.code !== undefined) reject(new Error(`HTTP ${event.code}: ${event.message}`));
    });
  });
  refused.catch(() => {});
  source.addEventListener('hello', (event) => {
    cursor = event.lastEventId;
    isThere();
  });
  for (const name of eventNames) {
    source.addEventListener(name, (event) => {
      // An event without an id leaves the last one in force; this client then says ''.
      cursor = event.lastEventId || cursor;
      take(JSON.parse(event.data));
    });
  }
  await Promise.race([hello, refused]);
  return {
    heard,
    numbers,
    hears,
    get cursor() {
      return cursor;
    },
    close: () => source.close(),
  };
}

/** EventSource hears only names that it was told. */
export const eventNames = [
  ...['enqueued', 'claimed', 'waiting', 'retrying', 'released', 'woken', 'rescued', 'reopened', 'dead_lettered'],
  ...['completed', 'failed', 'cancelled'],
]
  .map((name) => `run.${name}`)
  .concat(
    ['started', 'completed', 'failed', 'skipped', 'cancelled', 'retried', 'waiting', 'released'].map(
      (name) => `step.${name}`,
    ),
    ['stuck', 'dead_lettered'].map((name) => `alert.run.${name}`),
    ['alert.schedule.broken', 'alert.config.rejected', 'alert.clock.jumped', 'stream.truncated'],
  );

/** Greeted once it returns; rejects with the status where the upgrade is refused. */
export async function openSocket(url: string, headers: Record<string, string> = {}): Promise<SocketClient> {
  const ws = new WebSocket(url.replace(/^http/, 'ws'), { headers });
  const { heard, take, numbers, hears } = recorder();
  const messages: Record<string, unknown>[] = [];
  let cursor: string | undefined;
  ws.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString()) as Record<string, unknown>;
    messages.push(message);
    if (typeof message.id === 'string') cursor = message.id;
    if (message.type === 'event') take(message.event);
  });
  const closed = once(ws, 'close').then(([code, words]) => [code as number, String(words)] as [number, string]);
  closed.catch(() => {});
  await once(ws, 'open');
  const says = (type: string) =>
    eventually(async () => {
      const found = messages.find((one) => one.type === type);
      if (!found) throw new Error(`no message "${type}" among ${messages.length}`);
      return found;
    }, 10_000);
  await says('hello');
  return {
    ws,
    messages,
    heard,
    numbers,
    hears,
    closed,
    says,
    send: (message) => ws.send(typeof message === 'string' ? message : JSON.stringify(message)),
    get cursor() {
      return cursor;
    },
    close: () => ws.close(),
  };
}
