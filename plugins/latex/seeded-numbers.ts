// Numbers that look random and are decided by a text: block after block of its hash.
import { createHash } from 'node:crypto';

export interface SeededNumbers {
  /** Whole, both ends included. */
  between(least: number, most: number): number;
}

export function createSeededNumbers(seed: string): SeededNumbers {
  let block = 0;
  let bytes = Buffer.alloc(0);
  function next(): number {
    if (bytes.length < 4) {
      bytes = createHash('sha256').update(`${block}\n${seed}`).digest();
      block += 1;
    }
    const value = bytes.readUInt32BE(0);
    bytes = bytes.subarray(4);
    return value;
  }
  return { between: (least, most) => least + (next() % (most - least + 1)) };
}
