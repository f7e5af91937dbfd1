import { describe, expect, it } from 'vitest';
import { compare } from '../../../src/reads/diff-runs.ts';

describe('what differs between two values', () => {
  it('tells the smallest parts that differ, with both values', () => {
    const before = { files: ['a', 'b'], commit: '1', deep: { same: 1, other: null } };
    const after = { files: ['a', 'c', 'd'], commit: '1', deep: { same: 1, other: 'x' } };
    expect(compare(before, after)).toEqual({
      items: [
        { path: 'files[1]', before: 'b', after: 'c', clipped: false },
        { path: 'files[2]', after: 'd', clipped: false },
        { path: 'deep.other', before: null, after: 'x', clipped: false },
      ],
      more: 0,
    });
  });

  it('tells a value of another kind as a whole', () => {
    expect(compare([1], { a: 1 }).items).toEqual([{ path: '', before: [1], after: { a: 1 }, clipped: false }]);
    expect(compare(null, []).items).toHaveLength(1);
  });

  it('clips what is long and counts what is too much', () => {
    const long = compare({ text: 'a'.repeat(10_000) }, { text: 'b' }).items[0];
    expect(long?.clipped).toBe(true);
    expect(String(long?.before).length).toBeLessThan(600);
    const many = compare(
      Array.from({ length: 80 }, () => 1),
      Array.from({ length: 80 }, () => 2),
    );
    expect(many.items).toHaveLength(50);
    expect(many.more).toBe(30);
  });

  it('finds nothing in equal values', () => {
    expect(compare({ a: [{ b: 1 }] }, { a: [{ b: 1 }] })).toEqual({ items: [], more: 0 });
  });
});
