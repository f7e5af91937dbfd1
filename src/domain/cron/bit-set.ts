// A set of small numbers (0–63) in two integers: the values a cron field allows.

export interface BitSet {
  /** Bits of 0–31. */
  readonly low: number;
  /** Bits of 32–63. */
  readonly high: number;
}

export function bitSetOf(values: Iterable<number>): BitSet {
  let low = 0;
  let high = 0;
  for (const value of values) {
    if (value < 32) {
      low |= 1 << value;
    } else {
      high |= 1 << (value - 32);
    }
  }
  return { low, high };
}

export function hasBit(set: BitSet, value: number): boolean {
  return ((value < 32 ? set.low >>> value : set.high >>> (value - 32)) & 1) === 1;
}

/** The smallest member at or above `from`, or -1. */
export function nextBit(set: BitSet, from: number): number {
  if (from < 32) {
    const rest = set.low & (-1 << from);
    if (rest !== 0) {
      return lowestBit(rest);
    }
  }
  const start = Math.max(from, 32) - 32;
  if (start > 31) {
    return -1;
  }
  const rest = set.high & (-1 << start);
  return rest === 0 ? -1 : 32 + lowestBit(rest);
}

/** How many members are below `limit` (0–64). */
export function countBelow(set: BitSet, limit: number): number {
  if (limit < 32) {
    return countBits(set.low & ~(-1 << limit));
  }
  const inHigh = limit >= 64 ? set.high : set.high & ~(-1 << (limit - 32));
  return countBits(set.low) + countBits(inHigh);
}

export function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

export function countBits(bits: number): number {
  let rest = bits - ((bits >>> 1) & 0x55555555);
  rest = (rest & 0x33333333) + ((rest >>> 2) & 0x33333333);
  return Math.imul((rest + (rest >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
