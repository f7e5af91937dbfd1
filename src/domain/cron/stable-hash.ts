// A hash that never changes between versions: `H` and jitter spread schedules by it.

const utf8 = new TextEncoder();

/**
 * 32-bit hash of a text (FNV-1a over UTF-8, then a mixing step so that ids that differ in one character spread).
 * Fire times depend on it: a change here moves every `H` schedule of every user.
 */
export function stableHash(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of utf8.encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** A stable fraction in [0, 1). */
export function stableFraction(text: string): number {
  return stableHash(text) / 0x1_0000_0000;
}
