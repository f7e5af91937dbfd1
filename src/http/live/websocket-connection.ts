// A client of the WebSocket: hears events, and may change what it wants to hear.
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { CronwrightError } from '../../domain/errors.ts';
import type { EventBus } from '../../observe/events.ts';
import type { EndReason, LiveConnection } from './live-connection.ts';
import { drained } from './sse-connection.ts';

/** Close codes: RFC 6455's own, and of the range for applications the one for clients that do not keep up. */
const closeCodes: Readonly<Record<EndReason, readonly [code: number, words: string]>> = {
  shutdown: [1001, 'the daemon stops'],
  bad_message: [1008, 'a message that is not understood'],
  failed: [1011, 'something went wrong in the daemon'],
  too_slow: [4408, 'too slow'],
};

/** How long a client that is told to go has to read it. */
const lastWordMs = { dropped: 5_000, shutdown: 1_000 };

export interface WebSocketConnection extends LiveConnection {
  tell(message: Readonly<Record<string, unknown>>): void;
}

/** `socket` is the one under `ws`, which frames made once for all clients are written to directly. */
export function openWebSocket(ws: WebSocket, socket: Socket, events: EventBus): WebSocketConnection {
  let endedBy: EndReason | undefined;
  let isClosed = false;
  let isAlive = true;
  const listeners: (() => void)[] = [];
  ws.on('pong', () => {
    isAlive = true;
  });
  // What follows is the close.
  ws.on('error', () => {});
  ws.once('close', () => {
    isClosed = true;
    events.emit('live.ended', { transport: 'websocket', reason: endedBy ?? 'left' });
    for (const listener of listeners) listener();
  });
  const isOpen = () => !isClosed && endedBy === undefined && ws.readyState === WebSocket.OPEN;

  return {
    transport: 'websocket',
    encoding: 'websocket',
    get isOpen() {
      return isOpen();
    },
    get backlogBytes() {
      return socket.writableLength;
    },
    write(frames) {
      if (isOpen()) socket.write(frames);
    },
    tell(message) {
      if (isOpen()) ws.send(JSON.stringify(message));
    },
    drained: (withinMs) => drained(socket, withinMs, isOpen),
    beat() {
      if (!isOpen()) return;
      // Nothing was heard of it since the last ping.
      if (!isAlive) return ws.terminate();
      isAlive = false;
      ws.ping();
    },
    end(reason) {
      if (!isOpen()) return;
      endedBy = reason;
      const [code, words] = closeCodes[reason];
      ws.close(code, words);
      const timer = setTimeout(() => ws.terminate(), lastWordMs[reason === 'shutdown' ? reason : 'dropped']);
      ws.once('close', () => clearTimeout(timer));
    },
    onClosed(listener) {
      if (isClosed) listener();
      else listeners.push(listener);
    },
  };
}

/** A text message as JSON. Throws `invalid_input`. */
export function readMessage(data: Buffer, isBinary: boolean): Readonly<Record<string, unknown>> {
  const text = data.toString();
  try {
    const value: unknown = isBinary ? undefined : JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new CronwrightError('invalid_input', 'a message is a text that is a JSON object with the field "type"', {
    problems: [{ path: 'message', message: 'not a JSON object', got: isBinary ? 'bytes' : text.slice(0, 100) }],
  });
}
