// An id that follows from a text: the same text gives the same id on every node and at every try.
import { createHash } from 'node:crypto';

/** A UUID of version 8 (RFC 9562 §5.8) out of the text's SHA-256. */
export function derivedId(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The same with the time of another id of version 7 (RFC 9562 §5.7): in order of their time the two stand side by side. */
export function derivedIdBeside(id: string, text: string): string {
  const hashed = derivedId(`${id}/${text}`);
  return `${id.slice(0, 13)}-7${hashed.slice(15)}`;
}
