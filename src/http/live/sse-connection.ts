// A client that reads server-sent events.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { EventBus } from '../../observe/events.ts';
import { type Encoding, encodeSse, sseText } from './frames.ts';
import type { EndReason, LiveConnection } from './live-connection.ts';

/** How long a client that is told to go has to read it. */
const lastWordMs = { dropped: 5_000, shutdown: 1_000 };

/** Sends the head of the answer. */
export function openSse(
  outgoing: ServerResponse,
  headers: Readonly<Record<string, string>>,
  events: EventBus,
): LiveConnection {
  // Frames are made once for all clients and written past the response object, which would pack them again for each. Not where
  // the client speaks HTTP/1.0, and not behind the unfinished answer to an earlier request on the same connection.
  const isDirect = outgoing.socket !== null && outgoing.req.httpVersion === '1.1';
  const encoding: Encoding = isDirect ? 'sse_chunked' : 'sse';
  outgoing.shouldKeepAlive = false;
  outgoing.writeHead(200, { ...headers, ...(isDirect ? { 'transfer-encoding': 'chunked' } : {}) });
  outgoing.flushHeaders();
  const sink: Writable = isDirect ? (outgoing.socket as Socket) : outgoing;
  const beatFrame = encodeSse(':\n\n', encoding);
  let endedBy: EndReason | undefined;
  let isClosed = false;
  const listeners: (() => void)[] = [];
  outgoing.once('close', () => {
    isClosed = true;
    events.emit('live.ended', { transport: 'sse', reason: endedBy ?? 'left' });
    for (const listener of listeners) listener();
  });
  const write = (frames: Buffer) => void sink.write(frames);

  return {
    transport: 'sse',
    encoding,
    get isOpen() {
      return !isClosed && endedBy === undefined;
    },
    get backlogBytes() {
      return sink.writableLength;
    },
    write(frames) {
      if (this.isOpen) write(frames);
    },
    drained: (withinMs) => drained(sink, withinMs, () => !isClosed && endedBy === undefined),
    beat() {
      if (this.isOpen && sink.writableLength === 0) write(beatFrame);
    },
    end(reason) {
      if (!this.isOpen) return;
      if (reason !== 'shutdown') write(encodeSse(sseText('dropped', null, JSON.stringify({ code: reason })), encoding));
      endedBy = reason;
      outgoing.end();
      const timer = setTimeout(() => outgoing.destroy(), lastWordMs[reason === 'shutdown' ? reason : 'dropped']);
      outgoing.once('close', () => clearTimeout(timer));
    },
    onClosed(listener) {
      if (isClosed) listener();
      else listeners.push(listener);
    },
  };
}

/** Waits until a stream takes more; false where it ended, or the time ran out. */
export function drained(sink: Writable, withinMs: number, isOpen: () => boolean): Promise<boolean> {
  if (!sink.writableNeedDrain || !isOpen()) return Promise.resolve(isOpen());
  return new Promise((resolve) => {
    const finish = (isDrained: boolean) => {
      clearTimeout(timer);
      sink.off('drain', onDrain);
      sink.off('close', onClose);
      resolve(isDrained && isOpen());
    };
    const onDrain = () => finish(true);
    const onClose = () => finish(false);
    const timer = setTimeout(() => finish(false), withinMs);
    sink.once('drain', onDrain);
    sink.once('close', onClose);
  });
}
