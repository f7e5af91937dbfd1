// What goes over the wire, read back by what stands on the other side.
import { PassThrough, type Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import * as ws from 'ws';
import { encodeSse, type FramedEvent, framesOf, sseText } from '../../../../src/http/live/frames.ts';
import { alertEvent } from '../../../../src/http/live/live-event.ts';

function framed(reason: string, cursor: string | null = 'c1'): FramedEvent {
  return { event: alertEvent({ name: 'alert.x', atMs: 0, node: 'n', reason }), cursor, frames: {} };
}

/** Exported, though not in its types. */
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable };

/** The texts that `ws` reads. */
async function readFrames(bytes: Buffer): Promise<string[]> {
  const texts: string[] = [];
  const receiver = new Receiver({ isServer: false, maxPayload: 0, extensions: {} });
  receiver.on('message', (data: Buffer) => texts.push(data.toString()));
  const stream = new PassThrough();
  stream.end(bytes);
  await new Promise<void>((resolve, reject) => stream.pipe(receiver).on('finish', resolve).on('error', reject));
  return texts;
}

describe('frames of a WebSocket', () => {
  it.each([0, 1, 100, 5_000, 65_000, 70_000, 200_000])('of an event with %i characters are whole', async (length) => {
    const events = [framed('ü'.repeat(length)), framed('second', null)];
    const texts = await readFrames(framesOf(events, 'websocket'));
    expect(texts.map((text) => JSON.parse(text))).toEqual(
      events.map(({ event, cursor }) => ({ type: 'event', id: cursor, event: JSON.parse(event.json) })),
    );
  });
});

describe('server-sent events', () => {
  it('are a name, a cursor and one line of JSON', () => {
    const text = framesOf([framed('two\nlines')], 'sse').toString();
    const [name, id, data, ...end] = text.split('\n');
    expect([name, id]).toEqual(['event: alert.x', 'id: c1']);
    expect(JSON.parse(data?.slice(6) ?? '')).toMatchObject({ reason: 'two\nlines' });
    expect(end).toEqual(['', '']);
  });

  it('have no id where there is nothing to go on after', () => {
    expect(sseText('a', null, '{}')).toBe('event: a\ndata: {}\n\n');
  });

  it('cannot be made up by a name', () => {
    expect(sseText('a\ndata: {}\n\nevent: b', null, '{}')).toBe('event: a data: {} event: b\ndata: {}\n\n');
  });

  it('are chunks with their length in bytes', () => {
    expect(encodeSse('ü', 'sse_chunked').toString()).toBe('2\r\nü\r\n');
  });
});

describe('sharing', () => {
  it('makes the bytes of an event once for all who get it alone', () => {
    const one = framed('x');
    expect(framesOf([one], 'websocket')).toBe(framesOf([one], 'websocket'));
    expect(framesOf([one], 'sse')).not.toEqual(framesOf([one], 'sse_chunked'));
  });
});
