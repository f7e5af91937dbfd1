// The bytes of an event on the wire: made once per event and encoding, and shared by all clients that get it.
import type { LiveEvent } from './live-event.ts';

/**
 * `sse` is the text of server-sent events, `sse_chunked` the same within a chunk of HTTP/1.1, for clients whose socket is written
 * to directly, `websocket` a text frame.
 */
export type Encoding = 'sse' | 'sse_chunked' | 'websocket';

/** An event, with the cursor to go on after it; null where it is none to go on after. */
export interface Addressed {
  event: LiveEvent;
  cursor: string | null;
}

export interface FramedEvent extends Addressed {
  frames: Partial<Record<Encoding, Buffer>>;
}

function frameOf(framed: FramedEvent, encoding: Encoding): Buffer {
  framed.frames[encoding] ??= encode(framed, encoding);
  return framed.frames[encoding];
}

export function framesOf(framed: readonly FramedEvent[], encoding: Encoding): Buffer {
  const [only] = framed;
  if (only && framed.length === 1) return frameOf(only, encoding);
  return Buffer.concat(framed.map((one) => frameOf(one, encoding)));
}

function encode({ event, cursor }: Addressed, encoding: Encoding): Buffer {
  if (encoding !== 'websocket') return encodeSse(sseText(event.name, cursor, event.json), encoding);
  const id = cursor === null ? 'null' : `"${cursor}"`;
  return textFrame(`{"type":"event","id":${id},"event":${event.json}}`);
}

/** JSON has no line breaks outside of its strings, where they are escaped. */
export function sseText(name: string, cursor: string | null, json: string): string {
  const id = cursor === null ? '' : `id: ${cursor}\n`;
  return `event: ${name.replace(/[\r\n]+/g, ' ')}\n${id}data: ${json}\n\n`;
}

export function encodeSse(text: string, encoding: Encoding): Buffer {
  if (encoding === 'sse') return Buffer.from(text);
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);
}

/** A whole text message of a server (RFC 6455, 5.2): final, not masked. */
function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const header = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + length);
  frame[0] = 0x81;
  if (header === 2) frame[1] = length;
  else if (header === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, header);
  return frame;
}
