// Reads a response's body within its bound, unpacked, as what it says it is.
import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { StepError } from 'cronwright/plugin';

export type ReceivedBody =
  | { kind: 'text'; text: string; bytes: number }
  | { kind: 'json'; text: string; bytes: number; value: unknown }
  | { kind: 'binary'; content: Uint8Array; bytes: number };

const decoders: Readonly<Record<string, () => NodeJS.ReadWriteStream>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** More than `maxBytes`, counted unpacked, is a fatal BodyTooLarge. What is empty by its nature is not unpacked. */
export async function readBody(
  stream: Readable,
  headers: Readonly<Record<string, string>>,
  options: { maxBytes: number; isEmpty: boolean },
): Promise<ReceivedBody> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of options.isEmpty ? stream : unpacked(stream, headers['content-encoding'])) {
    const piece = chunk as Buffer;
    bytes += piece.length;
    if (bytes > options.maxBytes) {
      const text = `the body has more than ${options.maxBytes} bytes (max_bytes)`;
      throw new StepError('fatal', text, { name: 'BodyTooLarge' });
    }
    chunks.push(piece);
  }
  return interpret(Buffer.concat(chunks), headers['content-type'] ?? '');
}

function unpacked(stream: Readable, encoding: string | undefined): AsyncIterable<unknown> {
  const name = encoding?.trim().toLowerCase();
  if (name === undefined || name === '' || name === 'identity') return stream;
  const decoder = decoders[name];
  if (!decoder) throw new StepError('fatal', `content-encoding is ${name}, expected gzip, deflate or br`);
  // Errors of either side reach the reader through the decoder.
  return pipeline(stream, decoder() as NodeJS.ReadWriteStream & Readable, () => {});
}

function interpret(content: Buffer, contentType: string): ReceivedBody {
  const bytes = content.length;
  const [mediaType = '', ...parameters] = contentType
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  const text = decodeText(
    content,
    parameters
      .find((part) => part.startsWith('charset='))
      ?.slice(8)
      .replaceAll('"', ''),
  );
  if (text === undefined) return { kind: 'binary', content, bytes };
  if (!/^[a-z]+\/(?:json|[a-z0-9.+-]*\+json)$/.test(mediaType) || text.trim() === '')
    return { kind: 'text', text, bytes };
  try {
    return { kind: 'json', text, bytes, value: JSON.parse(text) as unknown };
  } catch (cause) {
    throw new StepError('transient', `the body says it is ${mediaType} but is no JSON`, {
      name: 'InvalidJson',
      cause,
      details: { body: text.slice(0, 500) },
    });
  }
}

/** undefined where the content is no text. */
function decodeText(content: Buffer, charset = 'utf-8'): string | undefined {
  try {
    const text = new TextDecoder(charset, { fatal: true }).decode(content);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}
