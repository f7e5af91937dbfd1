// Messages of PostgreSQL's wire protocol: cut from a stream of bytes, read as far as the proxy needs, and made.

export interface Frame {
  /** One letter; '' for the first messages of a connection, which have none. */
  readonly type: string;
  /** All of it, type and length included. */
  readonly bytes: Buffer;
}

/** Codes in place of a protocol version, by which a client asks for encryption instead of a session. */
const encryptionRequests = new Set([80877103, 80877104]);

/** Takes chunks as they come and tells each whole message. */
export function createFrames(
  options: { startsUntyped: boolean },
  onFrame: (frame: Frame) => void,
): (chunk: Buffer) => void {
  let chunks: Buffer[] = [];
  let size = 0;
  let isUntyped = options.startsUntyped;

  function take(length: number): Buffer {
    const all = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    chunks = all.length > length ? [all.subarray(length)] : [];
    size = all.length - length;
    return all.subarray(0, length);
  }

  /** Bytes of the next message, once enough of it is there to tell. */
  function lengthOfNext(): number | undefined {
    const head = isUntyped ? 4 : 5;
    if (size < head) return undefined;
    if ((chunks[0]?.length ?? 0) < head) chunks = [Buffer.concat(chunks)];
    return (chunks[0] as Buffer).readInt32BE(isUntyped ? 0 : 1) + (isUntyped ? 0 : 1);
  }

  return (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
    for (let length = lengthOfNext(); length !== undefined && size >= length; length = lengthOfNext()) {
      const bytes = take(length);
      const frame = { type: isUntyped ? '' : String.fromCharCode(bytes[0] ?? 0), bytes };
      // After an answer to a request for encryption the client begins anew.
      if (isUntyped && startupCode(frame) !== 'encryption') isUntyped = false;
      onFrame(frame);
    }
  };
}

export function startupCode({ bytes }: Frame): 'encryption' | 'session' {
  return encryptionRequests.has(bytes.readInt32BE(4)) ? 'encryption' : 'session';
}

/** The first texts of a message: each ends with a zero byte. */
export function names({ bytes }: Frame, count: number): string[] {
  const found: string[] = [];
  let from = 5;
  for (let n = 0; n < count; n += 1) {
    const end = bytes.indexOf(0, from);
    found.push(bytes.toString('utf8', from, end));
    from = end + 1;
  }
  return found;
}

export function textOf({ bytes }: Frame): string {
  return bytes.toString('utf8', 5, bytes.length - 1);
}

export function frame(type: string, body: string | Buffer = ''): Buffer {
  const content = typeof body === 'string' ? Buffer.from(body) : body;
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(content.length + 4, 1);
  return Buffer.concat([head, content]);
}

/** What a server says at the end of a round trip, an error before it where there was one. */
export function answerOf(
  state: 'idle' | 'transaction' | 'failed',
  error?: { code: string; message: string },
): readonly Frame[] {
  const letter = { idle: 'I', transaction: 'T', failed: 'E' }[state];
  const ready = { type: 'Z', bytes: frame('Z', letter) };
  if (!error) return [ready];
  const fields = `SERROR\0VERROR\0C${error.code}\0M${error.message}\0\0`;
  return [{ type: 'E', bytes: frame('E', fields) }, ready];
}
