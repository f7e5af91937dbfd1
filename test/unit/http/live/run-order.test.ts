// Entries of runs come from memory and from the database, twice, late and in any order: each is told once, in order.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRunOrder, firstSeq, type RunOrder } from '../../../../src/http/live/run-order.ts';
import { type HistoryEntry, leastIdAt } from '../../../../src/reads/live-history.ts';

const startedMs = Date.UTC(2026, 0, 31);
const young = leastIdAt(startedMs + 100);
const old = leastIdAt(startedMs - 3_600_000);

function createOrder(overrides: Partial<Parameters<typeof createRunOrder>[0]> = {}): RunOrder {
  return createRunOrder({ startedMs, holdMs: 2_000, memoryMs: 10_000, maxHeld: 100, ...overrides });
}

/** The row that ends with number `seq` and has `count` transitions. */
function entry(seq: number, count = 1, runId = young, at = startedMs + seq): HistoryEntry {
  const transitions = Array.from({ length: count }, (_, i) => ({ event: `e${seq - count + 1 + i}`, at }));
  return { runId, tenant: 'default', pipeline: 'p', schedule: null, seq, node: null, at, transitions };
}

const numbers = (entries: readonly HistoryEntry[]) => entries.map((one) => one.seq);

describe('the order of a run', () => {
  it('tells what follows at once, and nothing twice', () => {
    const order = createOrder();
    expect(numbers(order.offer(entry(1), startedMs))).toEqual([1]);
    expect(numbers(order.offer(entry(3, 2), startedMs))).toEqual([3]);
    expect(order.offer(entry(3, 2), startedMs)).toEqual([]);
    expect(order.offer(entry(1), startedMs)).toEqual([]);
    expect([1, 2, 3, 4].map((seq) => order.isKnown(young, seq))).toEqual([true, true, true, false]);
  });

  it('holds back what comes too early, and tells it with what was missing', () => {
    const order = createOrder();
    order.offer(entry(1), startedMs);
    expect(order.offer(entry(5, 2), startedMs)).toEqual([]);
    expect(order.offer(entry(6), startedMs)).toEqual([]);
    expect(order.waiting).toBe(2);
    expect(order.isKnown(young, 6)).toBe(true);
    expect(numbers(order.offer(entry(3, 2), startedMs))).toEqual([3, 5, 6]);
    expect(order.waiting).toBe(0);
  });

  it('tells the second entry of a run from before the start at once, and waits for the first of a young one', () => {
    const order = createOrder();
    expect(numbers(order.offer(entry(3, 2, old), startedMs))).toEqual([3]);
    expect(order.offer(entry(3, 2, young), startedMs)).toEqual([]);
    expect(numbers(order.offer(entry(1), startedMs))).toEqual([1, 3]);
  });

  it('looks for what is missing, and takes what it finds since the start', () => {
    const order = createOrder();
    expect(order.offer(entry(9, 2, old, startedMs + 50), startedMs)).toEqual([]);
    expect(order.wanted(startedMs)).toEqual([]);
    expect(order.wanted(startedMs + 25)).toEqual([{ runId: old, seq: 8 }]);
    expect(order.wanted(startedMs + 30)).toEqual([]);
    const before = [entry(3, 2, old, startedMs - 9_000), entry(5, 2, old, startedMs - 8_000)];
    const told = order.fill([...before, entry(7, 2, old, startedMs + 10)]);
    expect(numbers(told)).toEqual([7, 9]);
    expect(order.offer(entry(5, 2, old), startedMs)).toEqual([]);
  });

  it('goes on waiting where what it looked for is not there yet', () => {
    const order = createOrder();
    order.offer(entry(1), startedMs);
    order.offer(entry(5, 2), startedMs);
    order.wanted(startedMs + 25);
    expect(order.fill([entry(1)])).toEqual([]);
    expect(order.waiting).toBe(1);
    expect(order.wanted(startedMs + 300)).toEqual([{ runId: young, seq: 4 }]);
    expect(numbers(order.fill([entry(3, 2), entry(1)]))).toEqual([3, 5]);
  });

  it('gives up after a while, and tells what was missing late', () => {
    const order = createOrder();
    order.offer(entry(1), startedMs);
    order.offer(entry(5), startedMs);
    expect(order.expire(startedMs + 1_999)).toEqual([]);
    expect(numbers(order.expire(startedMs + 2_000))).toEqual([5]);
    expect(numbers(order.offer(entry(3), startedMs + 2_100))).toEqual([3]);
    expect(order.offer(entry(3), startedMs + 2_100)).toEqual([]);
    expect([2, 3, 4].map((seq) => order.isKnown(young, seq))).toEqual([false, true, false]);
    expect(numbers(order.offer(entry(6), startedMs + 2_200))).toEqual([6]);
  });

  it('holds no more than it may', () => {
    const order = createOrder({ maxHeld: 3 });
    for (let i = 0; i < 3; i += 1) expect(order.offer(entry(9, 1, leastIdAt(startedMs + i)), startedMs)).toEqual([]);
    expect(numbers(order.offer(entry(8, 1, leastIdAt(startedMs + 9)), startedMs))).toEqual([9]);
    expect(order.waiting).toBe(3);
  });

  it('forgets runs that are silent, and does not tell again what it then reads', () => {
    const order = createOrder();
    order.offer(entry(1), startedMs);
    order.offer(entry(2), startedMs);
    // Two lives of its memory later.
    for (const after of [11_000, 22_000]) order.offer(entry(1, 1, leastIdAt(startedMs + after)), startedMs + after);
    expect(order.isKnown(young, 2)).toBe(false);
    expect(order.offer(entry(4, 1, young, startedMs + 23_000), startedMs + 23_000)).toEqual([]);
    const found = [entry(3, 1, young, startedMs + 22_900), entry(2), entry(1)];
    expect(numbers(order.fill(found))).toEqual([3, 4]);
  });

  it('tells every entry once and in order, whatever order they come in', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 });
    const arrivals = sizes.chain((counts) => {
      let seq = 0;
      const all = [1, ...counts].map((count) => {
        seq += count;
        return entry(seq, count);
      });
      return fc.shuffledSubarray([...all, ...all], { minLength: all.length * 2 }).map((offers) => ({ all, offers }));
    });
    fc.assert(
      fc.property(arrivals, ({ all, offers }) => {
        const order = createOrder();
        const told = offers.flatMap((one) => [...order.offer(one, startedMs)]);
        expect(told.map(firstSeq)).toEqual(all.map(firstSeq));
        expect(order.waiting).toBe(0);
      }),
    );
  });
});
